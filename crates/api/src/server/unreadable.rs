//! A request whose head cannot be read never reaches the router: hyper answers it by itself, with a bare status and without asking anybody.
//! This layer between hyper and the socket gives that answer the body that every refusal has.
//!
//! Only the very first answer of a connection is looked at. Later ones may follow documents whose text comes from others, and a text must
//! never be taken for an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use engine::Problem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uuid::Uuid;

use super::HEAD_BYTES_MAX;
use super::activity::Watch;
use crate::problem::{PROBLEM_JSON, ProblemDocument};

/// A socket on which hyper's own refusals have a body.
pub struct Worded<S> {
    stream: S,
    watch: Watch,
    first: bool,
    answer: Option<Answer>,
}

/// What is sent instead of a bare answer.
struct Answer {
    bytes: Vec<u8>,
    sent: usize,
    stands_for: usize,
}

impl<S> Worded<S> {
    /// `watch` knows whether a request has reached the router.
    pub const fn new(stream: S, watch: Watch) -> Self {
        Self {
            stream,
            watch,
            first: true,
            answer: None,
        }
    }
}

/// The answer with a body, if these bytes are a bare refusal of hyper's.
fn worded(bytes: &[u8]) -> Option<Answer> {
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let (status_line, headers) = head.split_once("\r\n")?;
    let status: u16 = status_line.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let problem = problem(status)?;
    let kept: Vec<&str> = headers.split("\r\n").filter(|line| *line != "content-length: 0").collect();
    if kept.len() == headers.split("\r\n").count() {
        return None;
    }
    let id = Uuid::new_v4();
    tracing::info!(request = %id, status, code = problem.code, "answered a request that cannot be read");
    let body = serde_json::to_string(&ProblemDocument::new(&problem, id)).ok()?;
    let mut text = format!("{status_line}\r\n");
    for line in kept {
        text.push_str(&format!("{line}\r\n"));
    }
    let length = body.len();
    text.push_str(&format!(
        "content-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\ncache-control: no-store\r\nx-request-id: {id}\r\n\r\n{body}"
    ));
    Some(Answer {
        bytes: text.into_bytes(),
        sent: 0,
        stands_for: bytes.len(),
    })
}

fn problem(status: u16) -> Option<Problem> {
    let (detail, hint) = match status {
        400 => (
            "the request's head could not be read".to_owned(),
            "HTTP/1.1 as RFC 9112 has it: one Content-Length or chunks; header values such as Idempotency-Key of printable ASCII without control characters (DEL is one)",
        ),
        414 => ("the request's address is too long".to_owned(), "use the addresses of /openapi.json"),
        431 => (
            format!("the request's head is larger than {HEAD_BYTES_MAX} bytes or has too many headers"),
            "send fewer and shorter headers",
        ),
        _ => return None,
    };
    Some(Problem::new(status, "bad_request", detail, hint))
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Worded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if std::mem::take(&mut this.first) && !this.watch.was_asked() {
            this.answer = worded(bytes);
        }
        let Some(answer) = &mut this.answer else {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        };
        while answer.sent < answer.bytes.len() {
            match ready!(Pin::new(&mut this.stream).poll_write(cx, &answer.bytes[answer.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => answer.sent += sent,
            }
        }
        let stands_for = answer.stands_for;
        this.answer = None;
        Poll::Ready(Ok(stands_for))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Worded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_refusal_gets_words() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"\xff\r\n\r\n",
            b"",
        ] {
            assert!(worded(bytes).is_none(), "{}", String::from_utf8_lossy(bytes));
        }
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let answer = worded(bare).unwrap();
        let text = String::from_utf8(answer.bytes).unwrap();
        assert_eq!(answer.stands_for, bare.len());
        assert!(
            text.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"),
            "{text}"
        );
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["status"], &body["code"]), (&431.into(), &"bad_request".into()));
    }
}
