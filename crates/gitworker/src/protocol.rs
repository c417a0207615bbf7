//! The part of git's wire protocol that is spoken here: pkt-lines, the ref advertisement (v0 and v2), and one ref update with its report.
//! Source of facts: git's `gitprotocol-common`, `gitprotocol-v2` and `gitprotocol-pack`.

use domain::CommitId;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Largest ref advertisement that is read: about 400,000 refs.
pub(crate) const ADVERT_MAX: u64 = 32 << 20;
/// Largest report that is read, hook output included.
pub(crate) const REPORT_MAX: u64 = 1 << 20;

const AGENT: &str = concat!("agent=countersign/", env!("CARGO_PKG_VERSION"));
const ZERO: &str = "0000000000000000000000000000000000000000";

/// One pkt-line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Data(Vec<u8>),
    Flush,
    /// A delimiter or the end of a response.
    Mark,
}

/// What is wrong with an answer, in words without the answer's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Garbled {
    /// The stream ended or could not be read.
    Broken(String),
    /// It is not the git protocol.
    Wrong(String),
    /// The remote's own `ERR` line, raw.
    Said(Vec<u8>),
    /// Object ids are SHA-256.
    Sha256,
}

fn wrong(what: &str) -> Garbled {
    Garbled::Wrong(what.to_owned())
}

/// Reads one pkt-line.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Packet, Garbled> {
    let broken = |error: std::io::Error| Garbled::Broken(error.to_string());
    let mut head = [0; 4];
    from.read_exact(&mut head).await.map_err(broken)?;
    let length = std::str::from_utf8(&head)
        .ok()
        .and_then(|text| usize::from_str_radix(text, 16).ok());
    match length {
        Some(0) => Ok(Packet::Flush),
        Some(1 | 2) => Ok(Packet::Mark),
        Some(length) if length >= 4 => {
            let mut data = vec![0; length - 4];
            from.read_exact(&mut data).await.map_err(broken)?;
            match data.strip_prefix(b"ERR ") {
                Some(said) => Err(Garbled::Said(said.to_vec())),
                None => Ok(Packet::Data(data)),
            }
        }
        _ => Err(wrong("it does not start with a packet length")),
    }
}

/// Appends one pkt-line.
pub(crate) fn write(to: &mut Vec<u8>, line: &str) {
    to.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
}

/// What a service offers, and where one ref is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Advert {
    /// The remote speaks protocol 2: refs are asked for apart.
    pub(crate) version2: bool,
    /// The ref that was looked for. Always `None` with protocol 2.
    pub(crate) reference: Option<CommitId>,
    /// Its capabilities.
    pub(crate) capabilities: Vec<String>,
}

impl Advert {
    fn offer(&mut self, capability: &str) -> Result<(), Garbled> {
        if capability.strip_prefix("object-format=").is_some_and(|format| format != "sha1") {
            return Err(Garbled::Sha256);
        }
        self.capabilities.push(capability.to_owned());
        Ok(())
    }
}

/// Reads an advertisement up to its end, looking for one ref. Over HTTP a `# service=` line and a flush stand before it.
pub(crate) async fn read_advert(from: &mut (impl AsyncRead + Unpin), reference: &str) -> Result<Advert, Garbled> {
    let mut advert = Advert::default();
    let mut first = true;
    loop {
        let line = match read(from).await? {
            Packet::Flush => return Ok(advert),
            Packet::Mark => continue,
            Packet::Data(data) => data,
        };
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if first && line.starts_with(b"# service=") {
            if read(from).await? != Packet::Flush {
                return Err(wrong("its service line is not followed by a flush"));
            }
        } else if line == b"version 2" {
            advert.version2 = true;
        } else if line == b"version 1" {
        } else if advert.version2 {
            advert.offer(&String::from_utf8_lossy(line))?;
        } else {
            let mut halves = line.splitn(2, |byte| *byte == 0);
            let (named, offered) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            for capability in String::from_utf8_lossy(offered).split_ascii_whitespace() {
                advert.offer(capability)?;
            }
            let (id, name) = named_ref(named)?;
            if name == reference.as_bytes() {
                advert.reference = Some(id);
            }
        }
        first = false;
    }
}

/// `<id> <name>`.
fn named_ref(line: &[u8]) -> Result<(CommitId, &[u8]), Garbled> {
    let split = line
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or_else(|| wrong("it is not a list of refs"))?;
    if split == 64 {
        return Err(Garbled::Sha256);
    }
    let id = std::str::from_utf8(&line[..split]).ok().and_then(|text| text.parse().ok());
    Ok((id.ok_or_else(|| wrong("it is not a list of refs"))?, &line[split + 1..]))
}

/// Protocol 2: the question where one ref is.
pub(crate) fn ls_refs(reference: &str) -> Vec<u8> {
    let mut request = Vec::new();
    write(&mut request, "command=ls-refs\n");
    write(&mut request, AGENT);
    write(&mut request, "object-format=sha1");
    request.extend_from_slice(b"0001");
    write(&mut request, &format!("ref-prefix {reference}\n"));
    request.extend_from_slice(b"0000");
    request
}

/// Protocol 2: the answer. The prefix may match more refs than the one.
pub(crate) async fn read_ls_refs(from: &mut (impl AsyncRead + Unpin), reference: &str) -> Result<Option<CommitId>, Garbled> {
    let mut found = None;
    loop {
        match read(from).await? {
            Packet::Flush => return Ok(found),
            Packet::Mark => {}
            Packet::Data(line) => {
                let (id, rest) = named_ref(line.strip_suffix(b"\n").unwrap_or(&line))?;
                // Attributes may follow the name.
                if rest.split(|byte| *byte == b' ').next() == Some(reference.as_bytes()) {
                    found = Some(id);
                }
            }
        }
    }
}

/// One ref, from where it must be to where it shall be. `None` stands for "does not exist".
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) reference: String,
    pub(crate) old: Option<CommitId>,
    pub(crate) new: Option<CommitId>,
    /// Empty for a deletion, which carries no pack.
    pub(crate) pack: std::sync::Arc<[u8]>,
}

impl Update {
    /// The command in front of the pack.
    pub(crate) fn command(&self) -> Vec<u8> {
        let id = |id: Option<CommitId>| id.map_or_else(|| ZERO.to_owned(), |id| id.to_string());
        let mut request = Vec::with_capacity(256);
        write(
            &mut request,
            &format!(
                "{} {} {}\0 report-status side-band-64k quiet object-format=sha1 {AGENT}",
                id(self.old),
                id(self.new),
                self.reference
            ),
        );
        request.extend_from_slice(b"0000");
        request
    }
}

/// What the remote said about one update.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Whether the pack was taken and the ref was moved, if the remote said so in full.
    pub(crate) accepted: bool,
    /// What it said in words: hook output, then reasons. Raw.
    pub(crate) said: Vec<u8>,
}

/// Reads the answer to an update. An answer that breaks off is an error: then nothing is known.
pub(crate) async fn read_report(from: &mut (impl AsyncRead + Unpin), reference: &str) -> Result<Report, Garbled> {
    let mut report = Report::default();
    let mut status = Vec::new();
    loop {
        match read(from).await? {
            Packet::Flush => break,
            Packet::Mark => {}
            Packet::Data(data) => match data.split_first() {
                Some((1, rest)) => status.extend_from_slice(rest),
                Some((2, rest)) => report.said.extend_from_slice(rest),
                Some((3, rest)) => {
                    report.said.extend_from_slice(rest);
                    return Ok(report);
                }
                // No side-band: the status lines come bare.
                _ => {
                    status.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
                    status.extend_from_slice(&data);
                }
            },
        }
    }
    read_status(&status, reference, &mut report).await?;
    Ok(report)
}

/// Whether an answer that is still coming in has already said in full that the update was carried out. What may follow are the words of hooks
/// that run afterwards; an answer without a side-band cannot be told from one that goes on.
pub(crate) async fn read_accepted(mut answer: &[u8], reference: &str) -> Option<Report> {
    let (mut report, mut status) = (Report::default(), Vec::new());
    while let Ok(Packet::Data(data)) = read(&mut answer).await {
        match data.split_first()? {
            (1, rest) => status.extend_from_slice(rest),
            (2, rest) => report.said.extend_from_slice(rest),
            _ => return None,
        }
    }
    let mut rest = &status[..];
    while let Packet::Data(_) = read(&mut rest).await.ok()? {}
    read_status(&status, reference, &mut report).await.ok()?;
    report.accepted.then_some(report)
}

async fn read_status(mut status: &[u8], reference: &str, report: &mut Report) -> Result<(), Garbled> {
    let mut unpacked = false;
    while !status.is_empty() {
        let Packet::Data(line) = read(&mut status).await? else { break };
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if line == b"unpack ok" {
            unpacked = true;
        } else if line.strip_prefix(b"ok ") == Some(reference.as_bytes()) {
            report.accepted = unpacked;
        } else {
            // `unpack <why>` or `ng <ref> <why>`.
            report.said.extend_from_slice(b"\n");
            report.said.extend_from_slice(line);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REF: &str = "refs/heads/main";
    const ID: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    fn lines(parts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            match *part {
                "0000" | "0001" => bytes.extend_from_slice(part.as_bytes()),
                line => write(&mut bytes, line),
            }
        }
        bytes
    }

    #[tokio::test]
    async fn adverts_of_every_kind_are_read() {
        let refs = |reference| Advert {
            reference,
            capabilities: vec!["report-status".into()],
            ..Advert::default()
        };
        let id = ID.parse().ok();
        for (parts, expected) in [
            (vec![&*format!("{ID} {REF}\0report-status\n"), "0000"], Ok(refs(id))),
            (
                vec![
                    "# service=git-receive-pack\n",
                    "0000",
                    &*format!("{ID} {REF}\0report-status\n"),
                    "0000",
                ],
                Ok(refs(id)),
            ),
            (
                vec![
                    "version 1\n",
                    &*format!("{ID} refs/heads/x\0report-status\n"),
                    &*format!("{ID} {REF}\n"),
                    "0000",
                ],
                Ok(refs(id)),
            ),
            (vec![&*format!("{ZERO} capabilities^{{}}\0report-status\n"), "0000"], Ok(refs(None))),
            (vec![&*format!("{ID} {REF}\0object-format=sha256\n"), "0000"], Err(Garbled::Sha256)),
            (vec![&*format!("{} {REF}\0x\n", "a".repeat(64)), "0000"], Err(Garbled::Sha256)),
            (vec!["ERR go away"], Err(Garbled::Said(b"go away".to_vec()))),
            (vec!["hello\n", "0000"], Err(wrong("it is not a list of refs"))),
        ] {
            assert_eq!(read_advert(&mut &lines(&parts)[..], REF).await, expected, "{parts:?}");
        }
        assert!(matches!(read_advert(&mut &b"<html>"[..], REF).await, Err(Garbled::Wrong(_))));
        assert!(matches!(read_advert(&mut &b"00"[..], REF).await, Err(Garbled::Broken(_))));
    }

    #[tokio::test]
    async fn a_longer_ref_with_the_same_beginning_is_not_the_one() {
        let answer = lines(&[&format!("{ID} {REF}-2\n"), "0000"]);
        assert_eq!(read_ls_refs(&mut &answer[..], REF).await, Ok(None));
    }

    #[tokio::test]
    async fn reports_are_read_with_and_without_side_band() {
        for (status, accepted, said) in [
            (vec!["unpack ok\n", "ok refs/heads/main\n", "0000"], true, ""),
            (
                vec!["unpack ok\n", "ng refs/heads/main stale info\n", "0000"],
                false,
                "\nng refs/heads/main stale info",
            ),
            (
                vec!["unpack index-pack abnormal exit\n", "ng refs/heads/main unpacker error\n", "0000"],
                false,
                "\nunpack index-pack abnormal exit\nng refs/heads/main unpacker error",
            ),
            (vec!["unpack ok\n", "ok refs/heads/other\n", "0000"], false, "\nok refs/heads/other"),
        ] {
            let bare = lines(&status);
            let mut banded = Vec::new();
            let band = format!("\u{1}{}", String::from_utf8_lossy(&bare));
            write(&mut banded, &band);
            for end in 0..banded.len() {
                assert_eq!(read_accepted(&banded[..end], REF).await, None, "not said in full yet");
            }
            let early = read_accepted(&banded, REF).await.map(|report| report.accepted);
            assert_eq!(early, accepted.then_some(true), "known before the answer ends");
            banded.extend_from_slice(b"0000");
            for answer in [bare, banded] {
                let report = read_report(&mut &answer[..], REF).await;
                assert_eq!(
                    report,
                    Ok(Report {
                        accepted,
                        said: said.as_bytes().to_vec()
                    })
                );
            }
        }
        let cut = lines(&["unpack ok\n"]);
        assert!(
            matches!(read_report(&mut &cut[..], REF).await, Err(Garbled::Broken(_))),
            "a cut answer must not read as a refusal"
        );
    }
}
