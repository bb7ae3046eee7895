//! YAML, written by a program: one value a line, no brackets but those of what is empty, no text over several lines. Such
//! a text is read however large it is ([`super::Bounds`]), since no bracket in it is open at the end of its line.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as YAML. In each mapping the keys in `first` stand first, in this order, then the others by name.
pub fn write(value: &Value, first: &[&str]) -> String {
    let mut writer = Writer { text: String::new(), first };
    match value {
        value if is_block(value) => writer.block(value, 0, true),
        value => writer.line(value),
    }
    writer.text
}

struct Writer<'a> {
    text: String,
    first: &'a [&'a str],
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

impl Writer<'_> {
    /// A mapping or list that is not empty. Unless `indented`, the first line's indentation stands there already.
    fn block(&mut self, value: &Value, indent: usize, mut indented: bool) {
        let mut begin = |text: &mut String| {
            if std::mem::replace(&mut indented, true) {
                text.extend(std::iter::repeat_n(' ', indent));
            }
        };
        match value {
            Value::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                let place = |key: &str| self.first.iter().position(|first| *first == key).unwrap_or(self.first.len());
                entries.sort_by_cached_key(|(key, _)| (place(key), key.as_str()));
                for (key, value) in entries {
                    begin(&mut self.text);
                    self.string(key);
                    self.text.push(':');
                    if is_block(value) {
                        self.text.push('\n');
                        self.block(value, indent + 2, true);
                    } else {
                        self.text.push(' ');
                        self.line(value);
                    }
                }
            }
            Value::Array(items) => {
                for value in items {
                    begin(&mut self.text);
                    self.text.push_str("- ");
                    if is_block(value) { self.block(value, indent + 2, false) } else { self.line(value) }
                }
            }
            value => self.line(value),
        }
    }

    /// A value that has a line's rest for itself. JSON's forms of what is no text are YAML's.
    fn line(&mut self, value: &Value) {
        match value {
            Value::String(value) => self.string(value),
            other => {
                let _ = write!(self.text, "{other}");
            }
        }
        self.text.push('\n');
    }

    /// Plain where nothing else could be meant, in single quotes where no character needs an escape.
    fn string(&mut self, value: &str) {
        let text = &mut self.text;
        if is_plain(value) {
            text.push_str(value);
        } else if value.chars().all(is_printable) {
            text.push('\'');
            text.push_str(&value.replace('\'', "''"));
            text.push('\'');
        } else {
            text.push('"');
            for character in value.chars() {
                match character {
                    '"' | '\\' => text.extend(['\\', character]),
                    '\n' => text.push_str("\\n"),
                    '\t' => text.push_str("\\t"),
                    '\r' => text.push_str("\\r"),
                    _ if is_printable(character) => text.push(character),
                    _ => {
                        let _ = write!(text, "\\u{:04x}", u32::from(character));
                    }
                }
            }
            text.push('"');
        }
    }
}

/// A word that YAML takes for nothing but a text, and that needs no quotes as a key either.
fn is_plain(value: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];
    value.len() <= 128
        && value.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && value.bytes().all(inside)
        && !words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether a character can stand in single quotes: the library reads it, and it ends no line.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::yaml::parse;

    #[test]
    fn a_value_is_written_a_line_each() {
        let value = json!({
            "name": "rules", "count": 3, "rate": 0.5, "on": true, "none": null, "empty": [], "nothing": {},
            "list": ["a", { "b": "[c]", "d": ["e"] }, ["f", "g"]], "map": { "key with space": "it's", "n": "line\nbreak" },
        });
        let expected = "name: rules\nmap:\n  'key with space': 'it''s'\n  'n': \"line\\nbreak\"\ncount: 3\nempty: []\n\
                        list:\n  - a\n  - b: '[c]'\n    d:\n      - e\n  - - f\n    - g\nnone: null\nnothing: {}\n'on': \
                        true\nrate: 0.5\n";
        assert_eq!(write(&value, &["name", "map"]), expected);
        assert_eq!(parse::<Value>(expected, "it").unwrap(), value);
    }

    #[test]
    fn every_text_comes_back() {
        let mut texts: Vec<String> = [
            "",
            " ",
            "a ",
            " a",
            "-",
            "- a",
            "a: b",
            "a:",
            "#",
            "a #b",
            "1",
            "1e3",
            "0x10",
            "1_000",
            "~",
            "=",
            "<<",
            "null",
            "Yes",
            ".nan",
            "2026-11-20",
            "[",
            "{",
            "\"",
            "'",
            "''",
            "\\",
            "\\n",
            "\n",
            "\r\n",
            "\t",
            "a\tb",
            "\u{85}",
            "\u{2028}x",
            "\u{feff}",
            "\u{7f}",
            "\u{0}",
            "\u{ffff}",
            "é",
            "日本",
            "😀",
            "%TAG",
            "---",
            "...",
            "!a",
            "&a",
            "*a",
            "|",
            ">",
            "@",
            "`",
            "?",
            "? a",
        ]
        .map(str::to_owned)
        .into();
        texts.extend(
            (0_u32..0x300).chain(0x2000..0x2100).chain(0xfe00..0x10010).filter_map(char::from_u32).map(String::from),
        );
        texts.push("x".repeat(5_000));
        for text in texts {
            let value = json!({ "a": [text], "b": text });
            let written = write(&value, &[]);
            assert_eq!(parse::<Value>(&written, "it").unwrap(), value, "{written}");
            if !text.is_empty() && text.chars().count() < 900 {
                let value = json!({ text.as_str(): { text.as_str(): text } });
                let written = write(&value, &[]);
                assert_eq!(parse::<Value>(&written, "it").unwrap(), value, "{written}");
            }
        }
    }
}
