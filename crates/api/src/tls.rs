//! TLS by certificate files, which a renewal may replace at any time: they are looked at again while the service runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use domain::Sha256Hash;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain in PEM, the service's own first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why TLS cannot be offered.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The certificate file holds no certificate, or something that is none.
    NoCertificate(PathBuf),
    /// The key file holds no private key.
    NoKey(PathBuf),
    /// The certificate is of another kind than clients take.
    Unusable(PathBuf, String),
    /// Certificate and key do not fit, or the kind of key is not supported.
    Refused(PathBuf, rustls::Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{} cannot be read: {error}; check the path and its permissions", path.display()),
            Self::NoCertificate(path) => write!(f, "{} holds no certificate in PEM", path.display()),
            Self::NoKey(path) => write!(f, "{} holds no private key in PEM", path.display()),
            Self::Unusable(path, why) => write!(f, "the certificate in {} cannot be used: {why}", path.display()),
            Self::Refused(path, error) => write!(f, "the certificate in {} cannot be used with its key: {error}", path.display()),
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsFiles {
    /// Why clients will refuse the certificate at this time, if its dates are the reason; `None` also where it cannot be read, which
    /// [`crate::serve`] tells.
    pub fn out_of_date(&self, now: SystemTime) -> Option<String> {
        let chain = chain(self, &content(&self.certificate).ok()?).ok()?;
        dates(self, chain.first()?, now)
    }

    /// Clients refuse it, and yet they are better answered by it than not at all: a renewal may come at any moment.
    fn warn_of_dates(&self) {
        if let Some(why) = self.out_of_date(SystemTime::now()) {
            tracing::warn!("{why}");
        }
    }
}

/// The acceptor for the files as they are, read again when they change.
pub struct Certificates {
    files: TlsFiles,
    /// At most so often the files are looked at.
    check_every: Duration,
    current: Mutex<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    acceptor: TlsAcceptor,
    content: Sha256Hash,
    checked: Instant,
}

impl Certificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: TlsFiles, check_every: Duration) -> Result<Self, TlsError> {
        let current = Mutex::new(read(&files)?);
        files.warn_of_dates();
        Ok(Self {
            files,
            check_every,
            current,
        })
    }

    /// The acceptor for a new connection. Files that cannot be used, such as half of a renewal, leave the old ones in force.
    pub fn acceptor(&self) -> TlsAcceptor {
        // Two small local files once per interval: quicker than a hop to another thread.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.checked.elapsed() >= self.check_every {
            current.checked = Instant::now();
            match read(&self.files) {
                Ok(loaded) if loaded.content != current.content => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate has changed");
                    *current = loaded;
                    self.files.warn_of_dates();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the old certificate stays in force"),
            }
        }
        current.acceptor.clone()
    }
}

fn read(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let certificate = content(&files.certificate)?;
    let key = content(&files.key)?;
    let chain = chain(files, &certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    let refused = |error| TlsError::Refused(files.certificate.clone(), error);
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        content: Sha256Hash::of(&[certificate, key].concat()),
        checked: Instant::now(),
    })
}

fn chain(files: &TlsFiles, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NoCertificate(files.certificate.clone());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| none())?;
    let own = chain.first().ok_or_else(none)?;
    match webpki::EndEntityCert::try_from(own) {
        Err(webpki::Error::UnsupportedCertVersion) => Err(TlsError::Unusable(
            files.certificate.clone(),
            "it is of X.509 version 1; make one of version 3, with the service's name as subjectAltName".to_owned(),
        )),
        // Whatever else is wrong with it, rustls says.
        Ok(_) | Err(_) => Ok(chain),
    }
}

/// What is wrong with the dates of the service's own certificate. Whom it chains up to is for clients to judge.
fn dates(files: &TlsFiles, own: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).ok()?);
    let parsed = webpki::EndEntityCert::try_from(own).ok()?;
    // Dates are looked at before issuers, and no issuer is given.
    let server = webpki::KeyUsage::server_auth();
    let refused = parsed.verify_for_usage(&[], &[], &[], now, server, None, None).err()?;
    let day = |time: UnixTime| {
        let seconds = i64::try_from(time.as_secs()).ok()?;
        Some(domain::Timestamp::from_timestamp(seconds, 0)?.format("%Y-%m-%d").to_string())
    };
    let file = files.certificate.display();
    match refused {
        webpki::Error::CertExpired { not_after, .. } => {
            Some(format!("the certificate in {file} has been out of date since {}", day(not_after)?))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            Some(format!("the certificate in {file} is valid from {} on only", day(not_before)?))
        }
        _ => None,
    }
}

fn content(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable(path.to_owned(), error))
}
