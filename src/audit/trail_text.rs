//! What a store has of a record's text.

use super::reader::TrailRecord;
use super::text_rule::TextDigests;
use super::{AuditError, AuditKey};

/// What is there of a record's text, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailText<'r> {
    /// The record is about no text.
    None,
    /// Nothing: no text was to be stored, or the audit policies withheld it.
    NotKept,
    /// Nothing any more.
    Erased,
    /// The text as it came.
    Original(&'r str),
    /// The text as the audit policies left it.
    Kept(&'r str),
}

impl TrailRecord {
    /// What there is of its text.
    pub fn text(&self) -> Result<TrailText<'_>, AuditError> {
        let TextDigests { content_hmac, kept_hmac } = self.text_digests()?;
        Ok(match self.content.as_deref() {
            Some(text) if kept_hmac.is_some() && kept_hmac == content_hmac => TrailText::Original(text),
            Some(text) => TrailText::Kept(text),
            None if kept_hmac.is_some() => TrailText::Erased,
            None if content_hmac.is_some() => TrailText::NotKept,
            None => TrailText::None,
        })
    }

    /// Whether the text is the one that was stored, and this the key of that time.
    pub fn text_fits(&self, key: &AuditKey) -> Result<bool, AuditError> {
        let stored = self.text_digests()?.kept_hmac;
        Ok(self.content.as_deref().map(|text| key.hmac(text)) == stored)
    }

    fn text_digests(&self) -> Result<TextDigests, AuditError> {
        serde_json::from_str(&self.body).map_err(|error| AuditError::Encoding(format!("{}: {error}", self.id)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::audit::Seq;

    #[test]
    fn a_text_is_what_its_hmacs_say() {
        let record = |body: &str, content: Option<&str>| TrailRecord {
            node: "n".into(),
            seq: Seq(1),
            at: Timestamp::UNIX_EPOCH,
            kind: "intent".into(),
            id: "r1".into(),
            body: body.into(),
            hash: None,
            content: content.map(str::to_owned),
        };
        let both = r#"{"content_hmac":"a","kept_hmac":"a"}"#;
        let other = r#"{"content_hmac":"a","kept_hmac":"b"}"#;
        for (body, content, expected) in [
            (both, Some("x"), TrailText::Original("x")),
            (other, Some("x"), TrailText::Kept("x")),
            ("{}", Some("x"), TrailText::Kept("x")),
            (both, None, TrailText::Erased),
            (r#"{"content_hmac":"a"}"#, None, TrailText::NotKept),
            ("{}", None, TrailText::None),
        ] {
            assert_eq!(record(body, content).text().unwrap(), expected, "{body}");
        }
        let key = AuditKey::random().unwrap();
        let fitting = format!(r#"{{"kept_hmac":"{}"}}"#, key.hmac("x"));
        assert!(record(&fitting, Some("x")).text_fits(&key).unwrap());
        assert!(!record(&fitting, Some("y")).text_fits(&key).unwrap());
        assert!(!record(&fitting, Some("x")).text_fits(&AuditKey::random().unwrap()).unwrap());
    }
}
