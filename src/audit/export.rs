//! An export: one JSON object a line, with everything that a chain is verified by.
//!
//! `docs/audit.md` describes it for other implementations.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::chain::{ChainHash, Head, Seq};
use super::checkpoint::{Checkpoint, CheckpointKind};
use super::key::PublicKey;
use super::reader::{ChainInfo, Item, TrailRecord};
use super::verify::{Begins, ChainVerifier, Misfit, Verified};
use super::{AuditError, AuditReader, Texts};

/// The version of the format.
const FORMAT: u32 = 1;

/// A line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    /// The first.
    Export {
        format: u32,
        at: Timestamp,
        /// Whether each chain begins at its first record, or behind a signed cut.
        whole: bool,
    },
    /// A record.
    Record {
        node: String,
        seq: i64,
        /// Microseconds since 1970.
        at: i64,
        kind: String,
        id: String,
        /// The hash of the record before; absent, as `hash`, where the record is older than the chain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
        /// JSON, as a text: the bytes that the hash covers.
        body: String,
        /// JSON, as a text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
    },
    /// A signature over the chain up to a record.
    Checkpoint(Signature),
    /// The same, and the records up to it were removed on purpose.
    Cut(Signature),
}

#[derive(Debug, Serialize, Deserialize)]
struct Signature {
    node: String,
    seq: i64,
    at: i64,
    hash: String,
    public_key: String,
    signature: String,
}

/// What goes into an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Each chain from its first record on that is not older; from its last signed one, where those are all behind it:
    /// nothing would prove them.
    pub since: Option<Timestamp>,
    /// Without texts: nothing is missing for verification.
    pub without_content: bool,
}

/// Why an export could not be written or is none.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Nothing could be written, or read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line is none of an export.
    #[error("line {number}: {reason}")]
    Line {
        /// The line, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Something does not fit.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// Writes all chains. `told` hears of each record.
pub fn export(
    reader: &AuditReader,
    options: &ExportOptions,
    out: &mut dyn Write,
    told: &mut dyn FnMut(),
) -> Result<(), ExportError> {
    write_line(out, &Line::Export { format: FORMAT, at: Timestamp::now(), whole: options.since.is_none() })?;
    for chain in reader.chains_in_turn()? {
        export_chain(reader, &chain?, options, out, told)?;
    }
    Ok(out.flush()?)
}

fn export_chain(
    reader: &AuditReader,
    chain: &ChainInfo,
    options: &ExportOptions,
    out: &mut dyn Write,
    told: &mut dyn FnMut(),
) -> Result<(), ExportError> {
    let texts = if options.without_content { Texts::Left } else { Texts::Read };
    let items = reader.chain(chain, texts)?;
    let mut begun = options.since.is_none();
    // The last record that is signed, where any is not older than that.
    let signed = match options.since {
        Some(since) if items.ends_since(since)? => items.last_signed(),
        _ => None,
    };
    let is_signed_last = |seq: Seq| signed.is_some_and(|signed| seq >= signed);
    let mut previous = ChainHash::NONE;
    for item in items {
        match item? {
            Item::Record(record) => {
                told();
                begun = begun || options.since.is_none_or(|since| record.at >= since) || is_signed_last(record.seq);
                let hash = record.hash;
                if begun {
                    let named = hash.map(|_| previous);
                    write_line(out, &record_line(record, named))?;
                }
                previous = hash.unwrap_or(ChainHash::NONE);
            }
            Item::Checkpoint(checkpoint) => {
                if checkpoint.kind == CheckpointKind::Cut {
                    previous = checkpoint.head.hash;
                    begun = begun || is_signed_last(checkpoint.head.seq);
                }
                if begun {
                    write_line(out, &checkpoint_line(&chain.node, &checkpoint))?;
                }
            }
        }
    }
    Ok(())
}

fn write_line(out: &mut dyn Write, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn record_line(record: TrailRecord, previous: Option<ChainHash>) -> Line {
    Line::Record {
        node: record.node,
        seq: record.seq.0,
        at: record.at.as_microsecond(),
        kind: record.kind,
        id: record.id,
        previous: previous.map(|hash| hash.to_string()),
        hash: record.hash.map(|hash| hash.to_string()),
        body: record.body,
        content: record.content,
    }
}

fn checkpoint_line(node: &str, checkpoint: &Checkpoint) -> Line {
    let signature = Signature {
        node: node.to_owned(),
        seq: checkpoint.head.seq.0,
        at: checkpoint.at.as_microsecond(),
        hash: checkpoint.head.hash.to_string(),
        public_key: checkpoint.public_key.to_string(),
        signature: hex::encode(checkpoint.signature),
    };
    match checkpoint.kind {
        CheckpointKind::Checkpoint => Line::Checkpoint(signature),
        CheckpointKind::Cut => Line::Cut(signature),
    }
}

/// What an export holds that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifiedExport {
    /// The chains, by node.
    pub chains: Vec<Verified>,
    /// Records that are older than the chain, which nothing vouches for.
    pub older: u64,
}

/// Verifies an export with nothing but public keys. `told` hears of each line.
pub fn verify_export(
    lines: &mut dyn BufRead,
    trusted: &[PublicKey],
    told: &mut dyn FnMut(),
) -> Result<VerifiedExport, ExportError> {
    let mut begins = None;
    let mut chains: BTreeMap<String, ChainVerifier<'_>> = BTreeMap::new();
    let mut older = 0;
    for (index, text) in lines.lines().enumerate() {
        let wrong = |reason: String| ExportError::Line { number: index + 1, reason };
        let line: Line = serde_json::from_str(&text?).map_err(|error| wrong(error.to_string()))?;
        told();
        let Some(begins) = begins else {
            begins = match line {
                Line::Export { format: FORMAT, whole: true, .. } => Some(Begins::AtItsStart),
                Line::Export { format: FORMAT, whole: false, .. } => Some(Begins::Anywhere),
                Line::Export { format, .. } => {
                    return Err(wrong(format!("format {format}; this version reads {FORMAT}")));
                }
                _ => return Err(wrong("an export begins with a line of the type `export`".to_owned())),
            };
            continue;
        };
        match line {
            Line::Export { .. } => return Err(wrong("a second beginning".to_owned())),
            Line::Record { node, hash: None, .. } if node.is_empty() => older += 1,
            Line::Record { node, seq, at, kind, id, previous, hash, body, content } => {
                let hash_of = |text: Option<String>| {
                    text.map(|it| it.parse::<ChainHash>()).transpose().map_err(|error| wrong(error.to_string()))
                };
                let (hash, previous) = (hash_of(hash)?, hash_of(previous)?);
                if hash.is_some() && previous.is_none() {
                    return Err(wrong("a record with a hash has no `previous`".to_owned()));
                }
                let seq = sequence(seq).map_err(wrong)?;
                let at = Timestamp::from_microsecond(at).map_err(|error| wrong(error.to_string()))?;
                let record = TrailRecord { node, seq, at, kind, id, body, hash, content };
                chain_of(&mut chains, &record.node, trusted, begins).record(&record, previous)?;
            }
            Line::Checkpoint(signature) => {
                let checkpoint = checkpoint(CheckpointKind::Checkpoint, &signature).map_err(wrong)?;
                chain_of(&mut chains, &signature.node, trusted, begins).checkpoint(&checkpoint)?;
            }
            Line::Cut(signature) => {
                let checkpoint = checkpoint(CheckpointKind::Cut, &signature).map_err(wrong)?;
                chain_of(&mut chains, &signature.node, trusted, begins).checkpoint(&checkpoint)?;
            }
        }
    }
    if begins.is_none() {
        return Err(ExportError::Line { number: 1, reason: "the file is empty".to_owned() });
    }
    let chains = chains.into_values().map(ChainVerifier::end).collect::<Result<_, _>>()?;
    Ok(VerifiedExport { chains, older })
}

fn chain_of<'c, 'k>(
    chains: &'c mut BTreeMap<String, ChainVerifier<'k>>,
    node: &str,
    trusted: &'k [PublicKey],
    begins: Begins,
) -> &'c mut ChainVerifier<'k> {
    chains.entry(node.to_owned()).or_insert_with(|| ChainVerifier::new(node, trusted, begins))
}

/// A record's number, as a line says it.
fn sequence(number: i64) -> Result<Seq, String> {
    if number < 1 { Err(format!("seq: {number}; the first record has the number 1")) } else { Ok(Seq(number)) }
}

fn checkpoint(kind: CheckpointKind, line: &Signature) -> Result<Checkpoint, String> {
    let mut signature = [0; 64];
    hex::decode_to_slice(&line.signature, &mut signature).map_err(|error| format!("signature: {error}"))?;
    Ok(Checkpoint {
        kind,
        at: Timestamp::from_microsecond(line.at).map_err(|error| error.to_string())?,
        head: Head { seq: sequence(line.seq)?, hash: line.hash.parse().map_err(|error| format!("hash: {error}"))? },
        public_key: line.public_key.parse().map_err(|error: AuditError| error.to_string())?,
        signature,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audit::AuditKey;
    use crate::audit::chain::Covered;

    /// The secret of the test vector: bytes 0 to 31.
    const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    /// Three records of a node whose first record was cut off, and a checkpoint.
    fn vector() -> String {
        let key = AuditKey::parse(SECRET, "the vector").unwrap();
        let at = |seconds: i64| Timestamp::from_microsecond(1_790_000_000_000_000 + seconds * 1_000_000).unwrap();
        let text = r#"[{"role":"user","parts":[{"kind":"text","text":"Qu'est-ce qu'un octroi ? 🛃"}]}]"#;
        let hmac = key.hmac(text);
        let bodies = [
            ("lifecycle", "run-1", format!(r#"{{"event":"start","public_key":"{}"}}"#, key.public()), None),
            (
                "intent",
                "req_1",
                format!(r#"{{"request_id":"req_1","content_hmac":"{hmac}","kept_hmac":"{hmac}"}}"#),
                Some(text),
            ),
            ("outcome", "req_1", r#"{"request_id":"req_1","error":"d\u00e9lai dépassé"}"#.to_owned(), None),
        ];
        let cut = Head { seq: Seq(1), hash: ChainHash([0xab; 32]) };
        let sign =
            |kind, seconds, head| checkpoint_line("vector", &Checkpoint::sign(kind, "vector", at(seconds), head, &key));
        let mut lines =
            vec![Line::Export { format: FORMAT, at: at(9), whole: true }, sign(CheckpointKind::Cut, 1, cut)];
        let mut head = cut;
        for (index, (kind, id, body, content)) in bodies.into_iter().enumerate() {
            let previous = head.hash;
            let (seq, at) = (Seq(head.seq.0 + 1), at(2 + index as i64));
            let at_microseconds = at.as_microsecond();
            let covered = Covered { node: "vector", seq, previous, at_microseconds, kind, id, body: &body };
            head = Head { seq, hash: covered.hash() };
            let (kind, id, content) = (kind.to_owned(), id.to_owned(), content.map(str::to_owned));
            let record = TrailRecord { node: "vector".into(), seq, at, kind, id, body, hash: Some(head.hash), content };
            lines.push(record_line(record, Some(previous)));
        }
        lines.push(sign(CheckpointKind::Checkpoint, 8, head));
        let mut out = Vec::new();
        lines.iter().for_each(|line| write_line(&mut out, line).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_documented_vector_is_what_this_version_writes_and_reads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit-vector.jsonl");
        let vector = vector();
        if std::env::var_os("OCTROI_WRITE_DOCS").is_some() {
            std::fs::write(&path, &vector).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), vector, "docs/audit-vector.jsonl; `make docs` writes it");
        let key = AuditKey::parse(SECRET, "the vector").unwrap();
        let found = verify_export(&mut vector.as_bytes(), &[key.public()], &mut || ()).unwrap();
        assert_eq!((found.chains[0].records, found.chains[0].cut, found.chains[0].signed), (3, Some(Seq(1)), Seq(4)));
        let doc = std::fs::read_to_string(path.with_file_name("audit.md")).unwrap();
        for shown in [SECRET, &key.public().to_string(), &found.chains[0].head.hash.to_string()] {
            assert!(doc.contains(shown), "docs/audit.md does not show {shown}");
        }
    }

    #[test]
    fn a_changed_line_of_an_export_is_found() {
        let key = AuditKey::parse(SECRET, "the vector").unwrap();
        let vector = vector();
        let read =
            |text: &str| verify_export(&mut text.as_bytes(), &[key.public()], &mut || ()).map_err(|it| it.to_string());
        let without = |line: usize| {
            let left = vector.lines().enumerate().filter(|(number, _)| *number != line);
            left.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        let part = without(1).replace("\"whole\":true", "\"whole\":false");
        for (text, expected) in [
            (String::new(), "line 1: the file is empty"),
            (without(0), "line 1: an export begins with"),
            (without(1), "record 1 is missing, and no signed cut"),
            (without(3), "record 3 is missing"),
            (without(4), "records 4 to 4 are missing at the end"),
            (without(5) + "{}\n", "line 6: missing field"),
            (vector.replace("req_1\\\"", "req_2\\\""), "record 3 (intent req_1) was changed"),
            (vector.replace("\"whole\":true", "\"whole\":true,\"format\":2").replace("\"format\":1,", ""), "format 2"),
            (vector.replace("vector", "rotcev"), "wrong signature"),
            (vector.replace("\"seq\":2", "\"seq\":0"), "line 3: seq: 0"),
            (vector.replace("\"previous\"", "\"before\""), "line 3: a record with a hash has no `previous`"),
            (vector.replace("\"body\":", "\"body\":\"\",\"body\":"), "line 3: duplicate field `body`"),
            (part.replace("\"seq\":2", "\"seq\":-9223372036854775808"), "line 2: seq: -9223372036854775808"),
        ] {
            let found = read(&text).unwrap_err();
            assert!(found.contains(expected), "{expected}\n{found}");
        }
        let other = AuditKey::random().unwrap().public();
        let found = verify_export(&mut vector.as_bytes(), &[other], &mut || ()).unwrap_err().to_string();
        assert!(found.contains("another key"), "{found}");
    }

    /// Records of a node behind one another, each with this text in its body.
    fn chain(texts: &[&str]) -> (Vec<Line>, Vec<Head>) {
        let (mut lines, mut heads) = (Vec::new(), vec![Head::EMPTY]);
        for text in texts {
            let Head { seq: Seq(last), hash: previous } = heads[heads.len() - 1];
            let (seq, at) = (Seq(last + 1), Timestamp::from_second(1_790_000_000 + last).unwrap());
            let (body, at_microseconds) = (format!(r#"{{"text":"{text}"}}"#), at.as_microsecond());
            let covered = Covered { node: "n", seq, previous, at_microseconds, kind: "intent", id: text, body: &body };
            let hash = covered.hash();
            let (node, kind, id, hash_of) = ("n".into(), "intent".into(), (*text).into(), Some(hash));
            let record = TrailRecord { node, seq, at, kind, id, body, hash: hash_of, content: None };
            lines.push(record_line(record, Some(previous)));
            heads.push(Head { seq, hash });
        }
        (lines, heads)
    }

    #[test]
    fn a_checkpoint_counts_nowhere_but_right_behind_its_record() {
        let key = AuditKey::parse(SECRET, "the vector").unwrap();
        let at = Timestamp::from_second(1_790_000_100).unwrap();
        let export = |whole| Line::Export { format: FORMAT, at, whole };
        let written = |lines: &[&Line]| {
            let mut out = Vec::new();
            lines.iter().for_each(|line| write_line(&mut out, line).unwrap());
            out
        };
        let read = |lines: &[&Line]| {
            verify_export(&mut &*written(lines), &[key.public()], &mut || ())
                .map(|found| found.chains[0].signed)
                .map_err(|error| error.to_string())
        };
        let (genuine, heads) = chain(&["a", "b", "c"]);
        let sign = |kind, head| checkpoint_line("n", &Checkpoint::sign(kind, "n", at, head, &key));
        let [first, third] = [1, 3].map(|seq| sign(CheckpointKind::Checkpoint, heads[seq]));
        let cut = sign(CheckpointKind::Cut, heads[1]);
        let (whole, part) = (export(true), export(false));
        let [a, b, c] = [&genuine[0], &genuine[1], &genuine[2]];
        assert_eq!(read(&[&whole, a, &first, b, c, &third]), Ok(Seq(3)));
        assert_eq!(read(&[&whole, &cut, b, c, &third]), Ok(Seq(3)));
        assert_eq!(read(&[&part, b, c, &third]), Ok(Seq(3)));
        assert_eq!(read(&[&part, &cut, b, c]), Ok(Seq(1)));

        // Somebody without the key says that something else was asked, and hides the signatures behind a later record.
        let (forged, _) = chain(&["a", "B", "c", "d"]);
        let [f1, f2, f3, f4] = [&forged[0], &forged[1], &forged[2], &forged[3]];
        for (lines, expected) in [
            (&[&whole, f1, f2, f3, f4, &first, &third][..], "the checkpoint at record 1 stands behind record 4"),
            (&[&whole, f1, &first, f2, f3, f4, &third], "the checkpoint at record 3 stands behind record 4"),
            (&[&part, &third, f1, f2, f3, f4], "the checkpoint at record 3 stands before the first record"),
            (&[&part, &third, f4], "the checkpoint at record 3 stands before the first record"),
            (&[&whole, f1, &first, &cut, f2, f3], "the cut at record 1 stands behind record 1"),
            (&[&whole, f1, f2, &cut, f3], "the cut at record 1 stands behind record 2"),
            (&[&whole, &third, f1, f2], "records 1 to 3 are missing at the end"),
            (&[&part, &cut, &cut, b, c], "the cut at record 1 stands behind record 1"),
        ] {
            let found = read(lines).unwrap_err();
            assert!(found.contains(expected), "{expected}\n{found}");
        }
    }
}
