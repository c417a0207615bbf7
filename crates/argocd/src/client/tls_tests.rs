//! TLS: which servers are trusted. The certificates below `testdata` are made for these tests and serve nothing else.

use std::io::Cursor;
use std::sync::Arc;

use reqwest::Url;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Client, ClientOptions, Error};

const AUTHORITY: &[u8] = include_bytes!("testdata/authority.pem");
const SERVER: &[u8] = include_bytes!("testdata/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("testdata/server-key.pem");

/// A TLS server that answers every request with a version.
async fn server() -> Url {
    let certificates = CertificateDer::pem_reader_iter(Cursor::new(SERVER))
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate");
    let key = PrivateKeyDer::from_pem_reader(Cursor::new(SERVER_KEY)).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = config
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("a matching pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(connection).await else { continue };
            let _ = tls.read(&mut [0; 4096]).await;
            let body = r#"{"Version":"v3.5.1"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.shutdown().await;
        }
    });
    Url::parse(&format!("https://{address}")).expect("an address")
}

async fn version(adjust: impl FnOnce(&mut ClientOptions)) -> Result<String, Error> {
    let mut options = ClientOptions::new(server().await, SecretString::from("a.b.c"));
    adjust(&mut options);
    Client::new(options).expect("a client").version().await
}

#[tokio::test]
async fn an_unknown_authority_is_refused_a_named_one_trusted_and_checks_can_be_switched_off() {
    let refused = version(|_| {}).await.expect_err("nobody knows that authority");
    assert!(
        matches!(&refused, Error::Unavailable { reason, .. } if reason.contains("certificate")),
        "{refused}"
    );
    assert_eq!(
        version(|options| options.extra_ca = Some(AUTHORITY.to_vec())).await.as_deref(),
        Ok("v3.5.1")
    );
    assert_eq!(
        version(|options| options.insecure_skip_verify = true).await.as_deref(),
        Ok("v3.5.1")
    );
}
