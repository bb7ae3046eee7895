//! The person behind a call, as records name them.

use sha2::{Digest as _, Sha256};

use crate::text::does_harm;

/// The longest text that is kept as it is: an e-mail address has no more.
const LONGEST: usize = 254;

/// What records show of a `user_token`. AxonFlow's clients put a name, an e-mail address, `anonymous` or a JSON Web Token
/// there. A name is kept as it is. What could be a credential (a token by its form, anything longer than an address, or
/// with characters that break or turn a line) is kept as `token:` and twelve digits of its SHA-256: enough to find the same person again,
/// too little to be that person. `None` for nothing. Spaces around it are nobody's.
pub fn user(token: String) -> Option<String> {
    let token = token.trim();
    if token.is_empty() {
        return None;
    }
    let could_be_secret = token.len() > LONGEST || is_credential(token) || token.chars().any(does_harm);
    if !could_be_secret {
        return Some(token.to_owned());
    }
    let digest = hex::encode(Sha256::digest(token.as_bytes()));
    Some(format!("token:{digest:.12}"))
}

/// JSON Web Tokens begin with the base64 of `{"`; some callers hand over a whole `Authorization`.
fn is_credential(text: &str) -> bool {
    let scheme = text.split_once(char::is_whitespace).map_or("", |(scheme, _)| scheme);
    let has_scheme = ["bearer", "basic"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    has_scheme || text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_tokens_are_not() {
        for (token, expected) in [
            ("", None),
            (" \u{a0}", None),
            (" anonymous ", Some("anonymous")),
            ("anonymous", Some("anonymous")),
            ("jane.doe@example.org", Some("jane.doe@example.org")),
            ("Grüße 😀", Some("Grüße 😀")),
        ] {
            assert_eq!(user(token.to_owned()).as_deref(), expected, "{token}");
        }
        let web_token = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned();
        let (lower, opaque) = (format!("bearer {web_token}"), "BASIC dXNlcjpzZWNyZXQ=".to_owned());
        for token in [
            "x".repeat(255),
            "a\nb".to_owned(),
            "eve\u{202e}gro".to_owned(),
            format!("Bearer {web_token}"),
            lower,
            opaque,
            web_token,
        ] {
            let shown = user(token.clone()).unwrap();
            assert_eq!(shown, user(token).unwrap(), "the same person is found again");
            assert!(shown.starts_with("token:") && shown.len() == 18, "{shown}");
        }
    }
}
