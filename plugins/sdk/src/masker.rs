//! Masks that leave a JSON text JSON.

use std::ops::Range;

use serde::de::IgnoredAny;

use crate::json::Reader;
use crate::{Edit, PartKind, Text};

/// Masks what was found in a text, place by place in their order. See [`Text::masker`].
#[derive(Debug, Clone)]
pub struct Masker<'a> {
    text: Text<'a>,
    json: Reader<'a>,
    /// The end of what is masked.
    masked: usize,
}

impl<'a> Masker<'a> {
    pub(crate) fn new(text: Text<'a>) -> Self {
        let json = match text.kind {
            _ if !text.is_cut() => Reader::new(text.as_str()),
            PartKind::ToolCall => Reader::of_cut_json(text.as_str()),
            _ => Reader::of_cut(text.as_str()),
        };
        Self { text, json, masked: 0 }
    }

    /// The edit that puts `mask` in the place of `range`. A number, truth value or `null` of a JSON text is replaced
    /// whole, sign and fraction included, and by a JSON value: the mask in quotes, where it is none by itself. Only in
    /// a number that the mask leaves one are its digits enough. In a string the mask is escaped. No escape of a string is
    /// cut in two: what begins in one, as `n` in `\n` does, begins behind it, and what ends in one takes it along. `None`:
    /// an earlier edit has replaced all of it, or it is a part of an escape alone.
    pub fn mask(&mut self, range: Range<usize>, mask: &str) -> Option<Edit> {
        if range.start < self.masked && range.end <= self.masked {
            return None;
        }
        let is_in_string = self.json.is_in_string(range.start.max(self.masked));
        let start = self.outside_escape(range.start);
        if start >= range.end {
            return None;
        }
        let range = start..range.end;
        let scalar =
            self.json.scalar(&range).filter(|scalar| scalar.start >= self.masked && self.text.may_edit(scalar));
        let (range, replacement) = match scalar {
            Some(scalar) if !self.leaves_number(&scalar, &range, mask) => (scalar, as_value(mask)),
            _ => {
                let end = self.json.escape_around(range.end).map_or(range.end, |escape| escape.end);
                let replacement = if is_in_string { escaped(mask) } else { mask.to_owned() };
                (range.start.max(self.masked)..end, replacement)
            }
        };
        self.masked = range.end;
        Some(self.text.edit(range, replacement))
    }

    /// Where a match that begins at `start` may begin: behind the escape that it would cut, or before one that stands for
    /// the character at `start` itself.
    fn outside_escape(&mut self, start: usize) -> usize {
        let Some(escape) = self.json.escape_around(start) else { return start };
        let is_itself = matches!(self.text.as_bytes()[escape.start + 1], b'"' | b'\\' | b'/');
        if is_itself && escape.start >= self.masked && self.text.may_edit(&escape) { escape.start } else { escape.end }
    }

    /// Whether it is digits in place of a number's digits, behind its first.
    fn leaves_number(&self, scalar: &Range<usize>, range: &Range<usize>, mask: &str) -> bool {
        let first = self.text[scalar.clone()].find(|it: char| it.is_ascii_digit()).map(|at| scalar.start + at);
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        first.is_some_and(|first| first < range.start) && is_digits(&self.text[range.clone()]) && is_digits(mask)
    }
}

/// As a JSON value: in quotes, where it is none.
fn as_value(mask: &str) -> String {
    match serde_json::to_string(mask) {
        Ok(quoted) if serde_json::from_str::<IgnoredAny>(mask).is_err() => quoted,
        _ => mask.to_owned(),
    }
}

/// As a part of a JSON string.
fn escaped(mask: &str) -> String {
    let quoted = serde_json::to_string(mask).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(mask).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Window, texts};

    /// With each place of `found` masked.
    fn masked_in(message: &Message, found: &str, mask: &str) -> String {
        let messages = std::slice::from_ref(message);
        let text = texts(messages).next().unwrap();
        let mut masker = text.masker();
        let places: Vec<_> = text.match_indices(found).map(|(at, found)| at..at + found.len()).collect();
        let edits: Vec<_> = places
            .into_iter()
            .filter_map(|range| text.editable(range))
            .filter_map(|range| masker.mask(range, mask))
            .collect();
        let (mut out, mut rest) = (String::new(), 0);
        for Edit { place, original, replacement } in edits {
            let (start, end) = (place.start as usize, place.end as usize);
            assert_eq!(text[start..end], original);
            // Overlaps would be refused.
            out.push_str(&text[rest..start]);
            out.push_str(&replacement);
            rest = end;
        }
        out + &text[rest..]
    }

    fn masked(text: &str, found: &str, mask: &str) -> String {
        masked_in(&Message::user(text), found, mask)
    }

    #[test]
    fn a_number_is_masked_whole_with_a_value() {
        for (text, mask, expected) in [
            (r#"{"card":4111}"#, "[CARD]", r#"{"card":"[CARD]"}"#),
            (r#"{"card":-4111}"#, "[CARD]", r#"{"card":"[CARD]"}"#),
            (r#"{"card":4111.5e1}"#, "[CARD]", r#"{"card":"[CARD]"}"#),
            (r#"{"card":54111}"#, "[CARD]", r#"{"card":"[CARD]"}"#),
            (r#"[411141115, 4111]"#, "[CARD]", r#"["[CARD]", "[CARD]"]"#),
            (r#"[4111]"#, "0", "[0]"),
            (r#"[4111]"#, "null", "[null]"),
            (r#"[4111]"#, "0000", r#"["0000"]"#),
            (r#"[4111]"#, "a\"b", r#"["a\"b"]"#),
            (r#"[4111]"#, "", r#"[""]"#),
            (r#"[54111,-5.4111]"#, "0000", "[50000,-5.0000]"),
            (r#"[411154111]"#, "00", r#"["00"]"#),
            (r#"["4111",["4111"],4111]"#, "#", r##"["#",["#"],"#"]"##),
        ] {
            assert_eq!(masked(text, "4111", mask), expected);
        }
    }

    #[test]
    fn elsewhere_the_mask_is_bare() {
        for text in ["Cards: 1, 4111, 2", "4111", r#"{"note":"1, 4111, 2"}"#, "[CARD] is 4111, not 4111"] {
            assert_eq!(masked(text, "4111", "#"), text.replace("4111", "#"));
        }
        assert_eq!(masked(r#"{"card":4111}"#, r#""card":4111"#, "#"), "{#}");
        assert_eq!(masked("[1, 4111]", "[1, 4", "#"), "#111]");
    }

    #[test]
    fn in_a_string_the_mask_is_escaped() {
        let mask = "<pii type=\"x\">\n\\";
        let escaped = r#"<pii type=\"x\">\n\\"#;
        for text in [
            r#"{"to":"4111"}"#,
            r#"{"4111":"a \" 4111, 4111"}"#,
            r#"{"to":"\u00e94111 \"4111\""}"#,
            r#"["a\/4111","{\"card\":4111}"]"#,
            "See:\n```json\n{\"to\": \"4111\"}\n```",
        ] {
            assert_eq!(masked(text, "4111", mask), text.replace("4111", escaped));
        }
        for text in ["Cards: \"4111\"", "\"4111\"", "[see \"4111\"]", "```js\nf(\"4111\")\n```"] {
            assert_eq!(masked(text, "4111", mask), text.replace("4111", mask));
        }
        assert_eq!(masked(r#"{"on":"say \"hi\""}"#, "\"hi", "\""), r#"{"on":"say \"\""}"#);
        assert_eq!(masked(r#"{"to":"41114111"}"#, "4111", "\""), r#"{"to":"\"\""}"#);
    }

    /// Prose looks as a string does inside.
    #[test]
    fn of_a_cut_text_it_is_escaped_where_a_quotation_mark_tells_of_strings_or_it_is_a_tool_calls() {
        let cut = |mut message: Message, rest: &str| {
            message.parts[0].window = Some(Window { offset: 9, released: 0 });
            message.parts[0].text = rest.to_owned();
            masked_in(&message, "4111", "\"#\"")
        };
        for (rest, of_text, of_call) in [
            ("Call Jane, 4111 is hers", "Call Jane, \"#\" is hers", r##"Call Jane, \"#\" is hers"##),
            (r#"Jane 4111","card":"4111""#, r##"Jane "#"","card":"\"#\"""##, r##"Jane \"#\"","card":"\"#\"""##),
            (r#"Jane \"4111"#, r##"Jane \""#""##, r##"Jane \"\"#\""##),
        ] {
            assert_eq!(cut(Message::assistant("x"), rest), of_text);
            assert_eq!(cut(Message::tool_call("pay", "x"), rest), of_call);
        }
    }

    #[test]
    fn an_escape_in_a_string_is_not_cut_in_two() {
        for (text, found, expected) in [
            (r#"{"on":"it:\nbuild-7"}"#, "nbuild-7", r##"{"on":"it:\n#"}"##),
            (r#"{"on":"it:\u00e9build-7"}"#, "u00e9build-7", r##"{"on":"it:\u00e9#"}"##),
            (r#"{"on":"it:\u00e9build-7"}"#, "9build-7", r##"{"on":"it:\u00e9#"}"##),
            (r#"{"on":"it:\u00e9build-7"}"#, r"\u00e9build-7", r##"{"on":"it:#"}"##),
            (r#"{"on":"say \"hi\""}"#, "\"hi", r##"{"on":"say #\""}"##),
            (r#"{"on":"say \"hi\""}"#, r"hi\", r##"{"on":"say \"#"}"##),
            (r#"{"on":"C:\\nas"}"#, r"nas", r##"{"on":"C:\\#"}"##),
            (r#"{"on":"C:\\nas"}"#, r"\nas", r##"{"on":"C:#"}"##),
            (r#"{"of":"a\nb"}"#, "n", r#"{"of":"a\nb"}"#),
            ("See:\n```\n[\"a\\nbuild-7\"]\n```", "nbuild-7", "See:\n```\n[\"a\\n#\"]\n```"),
            (r"C:\nas and C:\home", "nas", r"C:\# and C:\home"),
        ] {
            assert_eq!(masked(text, found, "#"), expected);
        }
    }

    /// However a streamed text is cut: the strings behind the cut tell where a number stands.
    #[test]
    fn of_a_cut_text_it_is_masked_as_of_the_whole() {
        let text =
            r#"{"note:":"4111, 4111","C:\\":-4111,"4111":[4111,-4111],"x":[{"a":null,"b":4111},["x","y",[4111]]]}"#;
        let whole = masked(text, "4111", "#");
        let expected = r##"{"note:":"#, #","C:\\":"#","#":["#","#"],"x":[{"a":null,"b":"#"},["x","y",["#"]]]}"##;
        assert_eq!(whole, expected);
        for cut in 1..text.len() {
            let rest = &text[cut..];
            let mut message = Message::assistant(rest);
            message.parts[0].window = Some(Window { offset: cut as u64, released: 0 });
            let (of_rest, bare) = (masked_in(&message, "4111", "#"), rest.replace("4111", "#"));
            // What stands before the second quote may be in a string.
            let known = of_rest.char_indices().filter(|(_, it)| *it == '"').nth(1).map_or("", |(at, _)| &of_rest[at..]);
            assert!(whole.ends_with(known), "{rest} became {of_rest}");
            assert!(of_rest.len() >= bare.len(), "{rest} became {of_rest}");
        }
    }
}
