//! JSON as it is written, where reading it would cost more than looking at it, or would lose what is looked for.

use serde::de::IgnoredAny;

/// JSON text in which characters stand as themselves where they may: an escape hides them from whoever looks at the text.
/// Those of quotes, backslashes and controls stay, and so do order and spacing.
pub(crate) fn unescaped(json: String) -> String {
    if !["\\u", "\\/"].iter().any(|escape| json.contains(escape)) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let length = match read_escape(escape) {
            Some((char, length)) if !(char.is_control() || matches!(char, '"' | '\\')) => {
                out.push(char);
                length
            }
            _ => {
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                out.push_str(escape.get(..length).unwrap_or_default());
                length
            }
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The same of a text that is JSON; of another one nothing is changed.
pub(crate) fn unescaped_if_json(text: String) -> String {
    let is_json = text.contains('\\') && serde_json::from_str::<IgnoredAny>(&text).is_ok();
    if is_json { unescaped(text) } else { text }
}

/// The character that the escape at the beginning stands for, and the escape's bytes. Of those with one letter only that of
/// the slash.
fn read_escape(text: &str) -> Option<(char, usize)> {
    if text.starts_with("\\/") {
        return Some(('/', 2));
    }
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let first = unit(0)?;
    let char = |units: &[u16]| char::decode_utf16(units.iter().copied()).next()?.ok();
    match char(&[first]) {
        Some(char) => Some((char, 6)),
        None => Some((char(&[first, unit(6)?])?, 12)),
    }
}

/// The bytes outside of strings.
pub(crate) fn outside_strings(json: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = json.iter().copied();
    std::iter::from_fn(move || {
        while let Some(byte) = bytes.next() {
            if byte != b'"' {
                return Some(byte);
            }
            while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                if byte == b'\\' {
                    bytes.next();
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stand_as_themselves() {
        for (written, expected) in [
            (r#"{"a": "\u0065\u002Dmail", "b":1}"#, r#"{"a": "e-mail", "b":1}"#),
            (r#"["https:\/\/host", "\ud83d\ude00\u00fc"]"#, r#"["https://host", "😀ü"]"#),
            // What has to be escaped, what is not read, and what is no escape.
            (r#"["\u0022 \u005c \u000a \u001b \n \" \\"]"#, r#"["\u0022 \u005c \u000a \u001b \n \" \\"]"#),
            (r#"["\\u0041", "\\\u0041"]"#, r#"["\\u0041", "\\A"]"#),
            (
                r#"["\ud83d", "\ud83dx\u0041", "\ude00", "\ud83d\u0041"]"#,
                r#"["\ud83d", "\ud83dxA", "\ude00", "\ud83dA"]"#,
            ),
            (r#"{"cut": "\u004"#, r#"{"cut": "\u004"#),
            (r#"{"cut": "\u+041\é\"#, r#"{"cut": "\u+041\é\"#),
        ] {
            assert_eq!(unescaped(written.to_owned()), expected);
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(written) {
                assert_eq!(serde_json::from_str::<serde_json::Value>(expected).unwrap(), value);
            }
        }
        for (text, expected) in
            [(r#"{"a":"\u0041"}"#, r#"{"a":"A"}"#), (r#"let a = "\u0041";"#, r#"let a = "\u0041";"#)]
        {
            assert_eq!(unescaped_if_json(text.to_owned()), expected);
        }
    }
}
