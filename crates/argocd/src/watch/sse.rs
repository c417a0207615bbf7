//! Server-sent events, as far as Argo CD uses them: `data:` lines ended by an empty line, and comment lines as keep-alive.

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The data of one event.
    Data(String),
    /// A comment line.
    KeepAlive,
}

/// A line longer than this is no application.
const LONGEST_LINE: usize = 64 << 20;

/// Cuts a byte stream into frames, wherever the chunks happen to end.
#[derive(Default)]
pub(super) struct Frames {
    line: Vec<u8>,
    data: String,
}

/// The stream sends something that is no event stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Oversize;

impl Frames {
    /// Takes a chunk and returns the frames that it completes.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Frame>, Oversize> {
        let mut frames = Vec::new();
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.take_line(String::from_utf8_lossy(&line).trim_end_matches('\r'), &mut frames);
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.data.len() > LONGEST_LINE {
            Err(Oversize)
        } else {
            Ok(frames)
        }
    }

    fn take_line(&mut self, line: &str, frames: &mut Vec<Frame>) {
        if line.is_empty() {
            if !self.data.is_empty() {
                frames.push(Frame::Data(std::mem::take(&mut self.data)));
            }
        } else if line.starts_with(':') {
            frames.push(Frame::KeepAlive);
        } else if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_do_not_depend_on_where_chunks_end() {
        let wire = b":\ndata: {\"a\":1} \n\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\n: hello\ndata: never ended";
        let data = |text: &str| Frame::Data(text.to_owned());
        let expected = [Frame::KeepAlive, data("{\"a\":1}"), data("one\ntwo"), Frame::KeepAlive];
        for size in 1..wire.len() {
            let mut frames = Frames::default();
            let got: Vec<Frame> = wire.chunks(size).flat_map(|chunk| frames.push(chunk).expect("small")).collect();
            assert_eq!(got, expected, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut frames = Frames::default();
        let chunk = vec![b'x'; 1 << 20];
        assert!((0..80).any(|_| frames.push(&chunk) == Err(Oversize)));
    }
}
