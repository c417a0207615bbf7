//! Over https, against a server whose certificate only a configured authority vouches for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gitworker::{GitError, PushOutcome, Repository, RepositoryOptions};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

const SEED: &[(&str, &str)] = &[("README.md", "hello\n")];
const AUTHORITY: &str = "authority.pem";

/// Ends TLS in front of a server, as an ingress does.
async fn tls_in_front_of(server: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("certificates/server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("certificates/server.key")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate that fits its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A caller that does not trust the certificate hangs up here.
                let Ok(mut caller) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(server).await.expect("the server");
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
            });
        }
    });
    address
}

/// Options for the remote over https; the authority's certificate lies beside it.
fn options(remote: &Remote, at: SocketAddr) -> RepositoryOptions {
    let authority = remote.dir.path().join(AUTHORITY);
    std::fs::write(&authority, include_bytes!("certificates/authority.pem")).expect("a file");
    RepositoryOptions {
        extra_ca: Some(authority),
        ..remote.options_at(&format!("https://{at}/remote.git"))
    }
}

#[tokio::test]
async fn a_configured_authority_is_trusted_for_cloning_asking_fetching_and_pushing() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let repository = Repository::open(options(&remote, tls_in_front_of(server.address()).await))
        .await
        .expect("a clone over https");
    let (built, outcome) = deliver(&repository, vec![write("README.md", "ours\n")], "ours").await;
    assert_eq!((outcome, remote.head()), (PushOutcome::Confirmed, built.tip()));
    let theirs = remote.commit(&[("README.md", "theirs\n")], "theirs");
    assert_eq!(
        repository.refresh(Duration::ZERO).await.map(|tip| tip.commit),
        Ok(theirs),
        "fetched over https"
    );
    remote.fsck();
}

#[tokio::test]
async fn git_itself_pushes_over_https_where_that_is_configured() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let mut options = options(&remote, tls_in_front_of(server.address()).await);
    options.push_with_git_cli = true;
    let repository = Repository::open(options).await.expect("a clone over https");
    let (built, outcome) = deliver(&repository, vec![write("README.md", "ours\n")], "ours").await;
    assert_eq!((outcome, remote.head()), (PushOutcome::Confirmed, built.tip()));
}

#[tokio::test]
async fn without_the_authority_the_server_is_refused_and_the_error_says_why() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let mut options = options(&remote, tls_in_front_of(server.address()).await);
    options.extra_ca = None;
    let error = Repository::open(options.clone()).await.expect_err("an unknown authority");
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    assert!(
        error.to_string().contains("certificate") && error.to_string().contains("extra_ca_file"),
        "{error}"
    );
    assert_eq!(server.requests(), [], "nothing was said to a server that is not trusted");

    options.extra_ca = Some(remote.dir.path().join("missing.pem"));
    let error = Repository::open(options).await.expect_err("no such file");
    assert!(
        matches!(&error, GitError::Config(why) if why.contains("missing.pem cannot be read")),
        "{error:?}"
    );
}
