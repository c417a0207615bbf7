//! The accept loop over real sockets: silent, slow and oversized clients, TLS with renewal, stopping.

use std::net::SocketAddr;
use std::time::Instant;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

/// Far beyond what any step takes, even on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A time-out that is to strike soon.
const SOON: Duration = Duration::from_millis(300);
/// A time-out that is not to strike in a test.
const NEVER: Duration = Duration::from_secs(3600);

struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), TlsError>>,
}

impl Running {
    async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

async fn start(options: ServerOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let stuck = get(std::future::pending::<&str>);
    let waiting = get(async |axum::Extension(draining): axum::Extension<Draining>| {
        draining.begun().await;
        "drained"
    });
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: String| async { body }))
        .route("/stuck", stuck)
        .route("/waiting", waiting);
    let task = tokio::spawn(serve(listener, router, options, cancel.clone()));
    Running { address, cancel, task }
}

fn never() -> ServerOptions {
    ServerOptions {
        header_timeout: NEVER,
        idle_timeout: NEVER,
        drain_timeout: SOON,
        tls_check: Duration::ZERO,
        ..ServerOptions::default()
    }
}

/// Sends bytes and reads until the server closes the connection.
async fn until_closed(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is a way of closing, too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks until it is answered: on a crowded machine a small time-out may strike this client, too.
async fn hello(address: SocketAddr) -> String {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.get(format!("http://{address}/")).send().await {
            Ok(answer) => return answer.text().await.unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test]
async fn whoever_sends_no_request_is_cut_off() {
    let server = start(ServerOptions {
        header_timeout: SOON,
        ..never()
    })
    .await;
    for bytes in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n",
        b"\x16\x03\x01",
    ] {
        let answer = until_closed(server.address, bytes).await;
        assert!(!answer.contains("200 OK"), "{bytes:?}: {answer}");
    }
    assert_eq!(hello(server.address).await, "hello");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_cut_off_but_one_at_work_is_not() {
    let server = start(ServerOptions {
        idle_timeout: SOON,
        ..never()
    })
    .await;
    let answer = until_closed(server.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");

    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let cut = tokio::time::timeout(SOON * 3, stuck.read_u8()).await;
    assert!(cut.is_err(), "a request under way has no idle time");
    server.stop().await;
}

/// How long a first head may take says nothing about how long a connection is kept.
#[tokio::test]
async fn a_kept_connection_outlives_the_time_of_a_head() {
    let server = start(ServerOptions {
        header_timeout: SOON,
        ..never()
    })
    .await;
    // On a crowded machine its first head may come too late: then another one is tried.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut kept = TcpStream::connect(server.address).await.unwrap();
        kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 15];
        if kept.read_exact(&mut answer).await.is_ok() {
            assert_eq!(answer, b"HTTP/1.1 200 OK");
            let closed = tokio::time::timeout(SOON * 3, async { while kept.read_u8().await.is_ok() {} });
            assert!(closed.await.is_err(), "it was closed while idle");
            break;
        }
        assert!(Instant::now() < deadline);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_full_house_makes_room_by_closing_the_longest_idle() {
    let server = start(ServerOptions { connections: 2, ..never() }).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(tokio::time::timeout(PATIENCE, hello(server.address)).await.unwrap(), "hello");
    let mut first = silent.remove(0);
    let closed = tokio::time::timeout(PATIENCE, first.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "the oldest silent one was closed");
    server.stop().await;
}

#[tokio::test]
async fn both_http_versions_are_spoken_and_nonsense_is_refused() {
    let server = start(never()).await;
    let h2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = h2
        .post(format!("http://{}/echo", server.address))
        .body("over h2")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "over h2");
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", "400"),
        (
            "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "400",
        ),
        ("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\nab", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nidempotency-key: a\u{7f}b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nidempotency-key: a\u{1}b\r\n\r\n", "400"),
        (&huge, "431"),
    ] {
        let answer = until_closed(server.address, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(
            head.contains("content-type: application/problem+json") && body["code"] == "bad_request",
            "{answer}"
        );
        assert!(
            status == "431" || body["hint"].as_str().unwrap().contains("Idempotency-Key"),
            "{answer}"
        );
    }
    // After a first request the bare status stands: what follows it could be somebody's text.
    let second = until_closed(server.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\nnonsense\r\n\r\n").await;
    assert!(
        second.contains("hello") && second.contains("HTTP/1.1 400") && !second.contains("problem"),
        "{second}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_length_beside_chunks_never_smuggles_a_second_request() {
    let server = start(never()).await;
    let bytes = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = until_closed(server.address, bytes.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(!answer.contains("hello"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn stopping_wakes_waiters_and_drops_what_does_not_end() {
    let server = start(never()).await;
    let begin = async |path: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())
            .await
            .unwrap();
        stream
    };
    let mut waiting = begin("/waiting").await;
    let mut stuck = begin("/stuck").await;
    // On this one thread connections are served in the order of their arrival: both requests are under way when a later one is answered.
    assert_eq!(hello(server.address).await, "hello");
    let started = Instant::now();
    let address = server.address;
    server.stop().await;
    assert!(started.elapsed() < PATIENCE);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("drained"), "{answer}");
    assert!(matches!(stuck.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

fn client_of_the_authority() -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(include_bytes!("certificates/authority.pem")).unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .add_root_certificate(authority)
        .tls_built_in_root_certs(false)
        .tls_info(true)
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

#[tokio::test]
async fn tls_takes_a_renewed_certificate_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
    };
    let put = |certificate: &[u8], key: &[u8]| {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
    };
    let first = (include_bytes!("certificates/first.pem"), include_bytes!("certificates/first.key"));
    let second = (include_bytes!("certificates/second.pem"), include_bytes!("certificates/second.key"));
    put(first.0, first.1);
    let server = start(ServerOptions {
        tls: Some(files.clone()),
        ..never()
    })
    .await;
    let client = client_of_the_authority();
    let certificate = async || {
        let answer = client.get(format!("https://{}/", server.address)).send().await.unwrap();
        let seen = answer
            .extensions()
            .get::<reqwest::tls::TlsInfo>()
            .unwrap()
            .peer_certificate()
            .unwrap()
            .to_vec();
        assert_eq!(
            (answer.version(), answer.text().await.unwrap().as_str()),
            (reqwest::Version::HTTP_2, "hello")
        );
        seen
    };
    let seen_first = certificate().await;
    put(second.0, first.1);
    assert_eq!(certificate().await, seen_first, "half of a renewal leaves the old one in force");
    put(second.0, second.1);
    assert_ne!(certificate().await, seen_first);
    assert!(
        until_closed(server.address, b"GET / HTTP/1.1\r\n\r\n").await.contains('\u{15}'),
        "plain HTTP gets a TLS alert"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
    };
    std::fs::write(&files.certificate, include_bytes!("certificates/first.pem")).unwrap();
    std::fs::write(&files.key, include_bytes!("certificates/first.key")).unwrap();
    let server = start(ServerOptions {
        tls: Some(files),
        header_timeout: SOON,
        ..never()
    })
    .await;
    assert_eq!(until_closed(server.address, b"").await, "");
    until_closed(server.address, b"\x16\x03\x01\x02\x00").await;
    server.stop().await;
}

#[tokio::test]
async fn unusable_certificate_files_are_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let first = (
        &include_bytes!("certificates/first.pem")[..],
        &include_bytes!("certificates/first.key")[..],
    );
    for (crt, pem, expected) in [
        (None, None, "tls.crt cannot be read"),
        (Some(&b"hello"[..]), Some(first.1), "tls.crt holds no certificate in PEM"),
        (Some(first.0), Some(&b"hello"[..]), "tls.key holds no private key in PEM"),
        (
            Some(first.0),
            Some(&include_bytes!("certificates/second.key")[..]),
            "cannot be used with its key",
        ),
        (
            Some(&include_bytes!("certificates/version1.pem")[..]),
            Some(first.1),
            "it is of X.509 version 1; make one of version 3",
        ),
    ] {
        for (path, content) in [(&certificate, crt), (&key, pem)] {
            if let Some(content) = content {
                std::fs::write(path, content).unwrap();
            }
        }
        let files = TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = ServerOptions {
            tls: Some(files),
            ..never()
        };
        let error = serve(listener, Router::new(), options, CancellationToken::new())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}

#[test]
fn a_certificate_out_of_its_dates_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
    };
    std::fs::write(&files.certificate, include_bytes!("certificates/first.pem")).unwrap();
    // It is valid in the years 2020 to 2119.
    let year = |year: u64| std::time::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600);
    let told = |at| files.out_of_date(at).map(|why| why.split_once("tls.crt").unwrap().1.to_owned());
    assert_eq!(told(year(2019)).as_deref(), Some(" is valid from 2020-01-01 on only"));
    assert_eq!(told(year(2060)), None);
    assert_eq!(told(year(2121)).as_deref(), Some(" has been out of date since 2120-01-01"));
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(serve_metrics(listener, || "up 1\n".to_owned(), cancel.clone()));
    let get = async |path: &str| {
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .unwrap()
    };
    let answer = get("/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), "up 1\n");
    assert_eq!(get("/v1/me").await.status(), 404);
    cancel.cancel();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}
