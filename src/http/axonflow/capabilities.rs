//! `X-Axonflow-PEP-Handshake`: what an application says that it can do with a verdict. Without the header it is taken to do
//! whatever the answer asks for, as it always was.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::chat::Object;
use crate::http::ApiError;

const HEADER: &str = "x-axonflow-pep-handshake";
/// The only version of the document.
const PROFILE: u64 = 1;
/// The longest header.
const MOST: usize = 4_096;

#[derive(Deserialize)]
struct Handshake {
    profile_version: u64,
    pep_id: String,
    audience: String,
    capabilities: Vec<Object<Capability>>,
}

#[derive(Deserialize)]
struct Capability {
    #[serde(rename = "type")]
    kind: String,
    version: u64,
}

/// Whether the application would mask what a verdict says is to be masked. What cannot be read is an error: whoever sends
/// it relies on it.
pub(super) fn can_redact(headers: &HeaderMap) -> Result<bool, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let (Some(first), further) = (sent.next(), sent.next()) else { return Ok(true) };
    let read = further.is_none().then(|| read(first.as_bytes())).flatten();
    let Some(handshake) = read else {
        let expected = "expected base64url, without padding and at most 4096 bytes, of JSON with `profile_version` 1, \
                        `pep_id`, `audience` and `capabilities`, each with `type` and `version`";
        return Err(ApiError::field("X-Axonflow-PEP-Handshake", expected));
    };
    Ok(handshake.capabilities.iter().any(|Object(it)| it.kind == "field_redact" && it.version == 1))
}

fn read(encoded: &[u8]) -> Option<Handshake> {
    let json = URL_SAFE_NO_PAD.decode(Some(encoded).filter(|it| it.len() <= MOST)?).ok()?;
    let Object(handshake): Object<Handshake> = serde_json::from_slice(&json).ok()?;
    let is_whole = |it: &Handshake| it.profile_version == PROFILE && !it.pep_id.is_empty() && !it.audience.is_empty();
    Some(handshake).filter(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&str]) -> Result<bool, ApiError> {
        let values = values.iter().map(|value| (HEADER.parse().unwrap(), value.parse().unwrap()));
        can_redact(&values.collect())
    }

    fn encoded(capabilities: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!(
            r#"{{"profile_version":1,"pep_id":"app","audience":"octroi","capabilities":{capabilities}}}"#
        ))
    }

    #[test]
    fn what_is_not_said_is_taken_for_granted_and_what_is_said_counts() {
        assert!(with(&[]).unwrap());
        for (capabilities, can) in [
            ("[]", false),
            (r#"[{"type":"field_redact","version":1}]"#, true),
            (r#"[{"type":"field_redact","version":2}]"#, false),
            (r#"[{"type":"step_up","version":1},{"type":"field_redact","version":1}]"#, true),
        ] {
            assert_eq!(with(&[&encoded(capabilities)]).unwrap(), can, "{capabilities}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let whole = encoded("[]");
        let other = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for wrong in [
            vec![""],
            vec!["{}"],
            vec![&*format!("{whole}=")],
            vec![&*encoded("null")],
            vec![&*other(r#"{"profile_version":1,"pep_id":"app","audience":"octroi"}"#)],
            vec![&*other(r#"{"profile_version":2,"pep_id":"app","audience":"octroi","capabilities":[]}"#)],
            vec![&*other(r#"{"profile_version":1,"pep_id":"app","audience":"","capabilities":[]}"#)],
            vec![&*other(r#"[1,"app","octroi",[]]"#)],
            vec![&*encoded(r#"[["field_redact",1]]"#)],
            vec![&*whole, &*whole],
            vec![&*"A".repeat(MOST + 4)],
        ] {
            assert_eq!(with(&wrong).unwrap_err().code(), "invalid_field", "{wrong:?}");
        }
    }
}
