//! Runs `git http-backend`, git's own server side of the smart HTTP protocol, for one request.
//!
//! Using git itself means that hooks, ref locks, quarantine, side-band messages and refusals are the real ones.

use std::{io, path::Path, process::Stdio};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
};

/// Bytes per piece of a streamed answer: large enough that a clone is not dominated by scheduling.
const PIECE: usize = 64 * 1024;

/// One request in the words of CGI.
pub(crate) struct CgiRequest {
    pub method: Method,
    /// Path below the repositories' folder, beginning with `/`.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The authenticated user; git allows pushes only when there is one.
    pub user: String,
}

/// Runs the request against the repositories below `root`; the answer's body is streamed from the process.
pub(crate) async fn http_backend(root: &Path, request: CgiRequest) -> io::Result<Response> {
    let mut child = spawn(root, &request)?;
    let mut stdin = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("git http-backend has no stdin"))?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("git http-backend has no stdout"))?;
    // Written beside the reading: git answers while it still reads, and both pipes are small.
    tokio::spawn(async move {
        // An error means that git stopped reading because it already knows its answer.
        let _ = stdin.write_all(&request.body).await;
    });
    let mut stdout = BufReader::with_capacity(PIECE, stdout);
    let (status, headers) = read_head(&mut stdout).await?;
    let mut response = Response::new(Body::from_stream(pieces(stdout, child)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn spawn(root: &Path, request: &CgiRequest) -> io::Result<Child> {
    let text = |name: HeaderName| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // The machine's own git configuration must not change how the remote behaves.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", text(HeaderName::from_static("git-protocol")))
        .env("REMOTE_USER", &request.user)
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn()
}

async fn read_head(stdout: &mut BufReader<ChildStdout>) -> io::Result<(StatusCode, HeaderMap)> {
    let mut status = StatusCode::OK;
    let mut headers = HeaderMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        if stdout.read_line(&mut line).await? == 0 {
            return Err(io::Error::other("git http-backend ended before it had answered"));
        }
        let text = line.trim_end();
        if text.is_empty() {
            return Ok((status, headers));
        }
        let Some((name, value)) = text.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            status = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
}

/// The answer as it comes: what git says early leaves early.
fn pieces(stdout: BufReader<ChildStdout>, child: Child) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((stdout, child), |(mut stdout, mut child)| async move {
        let mut piece = Vec::with_capacity(PIECE);
        if stdout.read_buf(&mut piece).await? == 0 {
            child.wait().await?;
            return Ok(None);
        }
        Ok(Some((Bytes::from(piece), (stdout, child))))
    })
}
