//! Where values stand in a JSON text.
//!
//! The text is read once, forward, however many places are asked about. Each byte leads from the states in which the text
//! may be to those in which it may be behind it. Where the text's beginning is known there is one, or none when it is no
//! JSON; where it is not, as in a piece of a stream, all are possible at first, and what cannot stand in a string, or
//! outside of one, soon leaves one alone.

use std::ops::Range;

use serde::de::IgnoredAny;

/// What may be true of a JSON text at a place: a set, a bit each.
type States = u8;

/// A value may begin.
const VALUE: States = 1;
/// In a number, `true`, `false` or `null`.
const SCALAR: States = 1 << 1;
/// In a string.
const STRING: States = 1 << 2;
/// In a string, behind its backslash.
const ESCAPE: States = 1 << 3;
/// Behind a string, which may be a member's name.
const NAME: States = 1 << 4;
/// Behind another value.
const AFTER: States = 1 << 5;

const NO_JSON: States = 0;
const UNKNOWN: States = VALUE | SCALAR | STRING | ESCAPE | NAME | AFTER;

/// What stands around a block of JSON in an answer.
const FENCE: &str = "```";

/// Reads a JSON text as far as it is asked about.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    /// What stands before was read.
    at: usize,
    states: States,
    /// Where the text or the block of JSON begins that is read.
    begin: usize,
    /// The backticks that a fence at the text's very beginning has at least.
    first_fence: usize,
    /// Whether what can only stand in a string does stand in one. In a text that has lost its beginning it may be prose
    /// until a quotation mark was read.
    has_strings: bool,
    /// Where the escape read last begins.
    escape: Option<usize>,
    /// Where the scalar at `at` begins, or the one read last; not known of one that is cut off at the text's beginning.
    scalar: Option<usize>,
    /// The scalar that was given last.
    given: Option<Range<usize>>,
}

impl<'a> Reader<'a> {
    /// Of a text whose beginning is known: JSON if it begins as an object or an array does. In other text, JSON stands
    /// behind a line that begins with three backticks.
    pub(crate) fn new(text: &'a str) -> Self {
        Self::from(text, if opens(text) { VALUE } else { NO_JSON }, FENCE.len())
    }

    /// Of a text that has lost its beginning, which may be a part of a fence.
    pub(crate) fn of_cut(text: &'a str) -> Self {
        Self::from(text, UNKNOWN, 1)
    }

    /// Of a text that has lost its beginning, and is JSON.
    pub(crate) fn of_cut_json(text: &'a str) -> Self {
        Self { has_strings: true, ..Self::of_cut(text) }
    }

    fn from(text: &'a str, states: States, first_fence: usize) -> Self {
        Self { text, at: 0, states, begin: 0, first_fence, has_strings: false, escape: None, scalar: None, given: None }
    }

    /// The escape of a string that has its beginning before `place` and its end behind it. To be asked about places in
    /// their order, before [`scalar`](Self::scalar) is asked about what begins there.
    pub(crate) fn escape_around(&mut self, place: usize) -> Option<Range<usize>> {
        self.read_to(place);
        let bytes = self.text.as_bytes();
        let begin = match self.states {
            states if self.at > place || states & (STRING | ESCAPE) == 0 => None,
            states if states & ESCAPE != 0 => self.at.checked_sub(1),
            _ => self.escape,
        }?;
        let end = match bytes.get(begin + 1)? {
            b'u' => begin + "\\u0000".len(),
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => begin + "\\n".len(),
            // None of JSON's.
            _ => return None,
        };
        (place < end && self.text.is_char_boundary(end)).then_some(begin..end)
    }

    /// Whether `place` is in a string, where that is sure. To be asked about places in their order, before
    /// [`scalar`](Self::scalar) is asked about what begins there.
    pub(crate) fn is_in_string(&mut self, place: usize) -> bool {
        self.read_to(place);
        self.has_strings && self.at == place && matches!(self.states, STRING | ESCAPE)
    }

    /// The number, truth value or `null` in which all of `range` stands, where that is sure. To be asked about ranges in
    /// their order; a scalar that has two of them is given twice.
    pub(crate) fn scalar(&mut self, range: &Range<usize>) -> Option<Range<usize>> {
        if range.start >= self.at && !range.is_empty() {
            self.given = self.next(range.start);
        }
        self.given
            .clone()
            .filter(|given| given.start <= range.start && range.start < given.end && range.end <= given.end)
    }

    /// The scalar that has the character at `start`, read to its end.
    fn next(&mut self, start: usize) -> Option<Range<usize>> {
        self.read_to(start);
        if self.states != NO_JSON {
            self.read_to((start + 1).min(self.text.len()));
        }
        let begin = self.scalar.filter(|_| self.states == SCALAR)?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let end = self.at + rest.iter().position(|byte| !is_of_scalar(*byte)).unwrap_or(rest.len());
        self.at = end;
        let next = self.text.get(end..)?.trim_start_matches(is_space).bytes().next();
        let ends = matches!(next, None | Some(b',' | b'}' | b']'));
        (ends && serde_json::from_str::<IgnoredAny>(self.text.get(begin..end)?).is_ok()).then_some(begin..end)
    }

    fn read_to(&mut self, end: usize) {
        let bytes = self.text.as_bytes();
        while self.at < end {
            let rest = &bytes[self.at..end];
            match self.states {
                NO_JSON => {
                    let block = self.block(end);
                    (self.at, self.states) = block.map_or((end, NO_JSON), |block| (block, VALUE));
                    self.begin = block.unwrap_or(self.begin);
                }
                STRING if is_of_string(rest[0]) => {
                    self.at += rest.iter().position(|byte| !is_of_string(*byte)).unwrap_or(rest.len());
                }
                _ => self.step(rest[0]),
            }
        }
    }

    fn step(&mut self, byte: u8) {
        if self.states & SCALAR != 0 && !is_of_scalar(byte) && !self.is_scalar() {
            self.states &= !SCALAR;
        }
        let next = follow(self.states, byte);
        if next & SCALAR != 0 && self.states & SCALAR == 0 {
            self.scalar = Some(self.at);
        }
        if self.states & ESCAPE != 0 {
            self.escape = self.at.checked_sub(1);
        }
        self.has_strings |= byte == b'"' && self.states != ESCAPE;
        self.states = next;
        self.at = if next == NO_JSON { self.line() } else { self.at + 1 };
    }

    /// Where the line at `at` begins, or what is read of it: it may be the fence of the next block.
    fn line(&self) -> usize {
        let read = &self.text.as_bytes()[self.begin..self.at];
        self.begin + read.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
    }

    /// Whether the scalar that ends here is one. Of numbers the characters suffice: prose has words.
    fn is_scalar(&self) -> bool {
        let Some(begin) = self.scalar else { return true };
        let scalar = &self.text.as_bytes()[begin..self.at];
        !scalar[0].is_ascii_lowercase() || matches!(scalar, b"true" | b"false" | b"null")
    }

    /// Where the next block of JSON begins, if its fence stands before `end`.
    fn block(&self, end: usize) -> Option<usize> {
        let mut at = self.text.ceil_char_boundary(self.at);
        loop {
            at = self.fence(at, end)?;
            at += self.text.get(at..end)?.find('\n')? + 1;
            if self.text.get(at..end).is_some_and(opens) {
                return Some(at);
            }
            // The line's end may be what stands before the next fence.
            at -= 1;
        }
    }

    /// Behind the backticks of the first line from `at` on that begins with a fence.
    fn fence(&self, mut at: usize, end: usize) -> Option<usize> {
        let ticks = self.text.bytes().take_while(|byte| *byte == b'`').take(FENCE.len()).count();
        if at == 0 && ticks >= self.first_fence {
            return Some(ticks);
        }
        loop {
            let fence = at + self.text.get(at..end)?.find(FENCE)?;
            at = fence + FENCE.len();
            // In a list it is indented.
            let before = self.text.get(..fence)?.trim_end_matches(|it| is_space(it) && it != '\n');
            if before.is_empty() || before.ends_with('\n') {
                return Some(at);
            }
        }
    }
}

/// The states behind a byte.
fn follow(states: States, byte: u8) -> States {
    // Those of `from` that are possible become `to`.
    let go = |from: States, to: States| if states & from == 0 { NO_JSON } else { to };
    let outside = match byte {
        b' ' | b'\t' | b'\n' | b'\r' | b'>' => states & (VALUE | NAME | AFTER) | go(SCALAR, AFTER),
        // Behind a value another one may begin: lines of JSON.
        b'{' | b'[' => go(VALUE | AFTER, VALUE),
        b'}' | b']' => go(VALUE | SCALAR | NAME | AFTER, AFTER),
        b',' => go(SCALAR | NAME | AFTER, VALUE),
        b':' => go(NAME, VALUE),
        b'"' => go(VALUE, STRING) | go(STRING, NAME),
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => go(VALUE | SCALAR, SCALAR),
        byte if is_of_scalar(byte) => go(SCALAR, SCALAR),
        _ => NO_JSON,
    };
    let inside = match byte {
        b'\\' => go(STRING, ESCAPE) | go(ESCAPE, STRING),
        b'"' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u' => go(ESCAPE, STRING),
        _ => NO_JSON,
    };
    outside | inside | if is_of_string(byte) { states & STRING } else { NO_JSON }
}

/// Whether it may stand in a string, as itself.
fn is_of_string(byte: u8) -> bool {
    byte >= b' ' && !matches!(byte, b'"' | b'\\')
}

/// Whether it may stand in a number, `true`, `false` or `null`.
fn is_of_scalar(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.')
}

/// Whether it begins as an object or an array does.
fn opens(text: &str) -> bool {
    text.trim_start_matches(is_space).starts_with(['{', '['])
}

/// Also what stands at the beginning of a line that is quoted.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '>')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scalar at the `~` of the text, and the text without it.
    fn at_mark(marked: &str, reader: fn(&str) -> Reader<'_>) -> Option<String> {
        let start = marked.find('~').unwrap();
        let text = marked.replacen('~', "", 1);
        let end = text[start..].find(|it: char| !it.is_ascii_digit()).map_or(text.len(), |end| start + end);
        reader(&text).scalar(&(start..end)).map(|range| text[range].to_owned())
    }

    #[test]
    fn a_scalar_is_found_where_a_value_stands() {
        for (marked, scalar) in [
            (r#"{"card": ~411}"#, "411"),
            (r#" {"card":~411,"name":"Jane"}"#, "411"),
            ("{\"cards\":[\n  1,\n  true, ~411\n]}", "411"),
            ("[~411]", "411"),
            (r#"[{"a":"b"},~411]"#, "411"),
            (r#"{"a":{"b":"4"},"c":~411"#, "411"),
            (r#"["Card number:", ~411, "x"]"#, "411"),
            (r#"["a,", "b[", "c{", ~411]"#, "411"),
            (r#"{"Card:": ~411, "": 1}"#, "411"),
            (r#"{"": ~411}"#, "411"),
            (r#"["C:\\", ~411]"#, "411"),
            (r#"["a\"", "\\\"", ~411]"#, "411"),
            (r#"{"n": -~411}"#, "-411"),
            (r#"{"n": ~411.5e+1}"#, "411.5e+1"),
            (r#"{"n": 1~411}"#, "1411"),
            ("{\"n\":1}\n{\"n\":~411}", "411"),
            ("See:\n```json\n{\"card\": ~411}\n```", "411"),
            ("```js\nlet a = [];\n```\nor\n```\n[1, ~411]\n```", "411"),
            ("1. It is\n   ```json\n   {\"card\": ~411}\n   ```", "411"),
            ("He wrote:\n> ```json\n> {\n>   \"card\": ~411\n> }\n> ```", "411"),
        ] {
            assert_eq!(at_mark(marked, |text| Reader::new(text)).as_deref(), Some(scalar), "{marked}");
        }
    }

    #[test]
    fn there_is_none_in_strings_nor_in_prose() {
        for marked in [
            r#"{"note":"card: ~411, thanks"}"#,
            r#"{"note":"~411"}"#,
            r#"{"note":"1, ~411, 2"}"#,
            r#"{"note":": ~411, 2"}"#,
            r#"{"note":"the \"card\": ~411, 2"}"#,
            r#"{"note":"C:\\\", ~411, 2"}"#,
            "Cards: 1, ~411, 2",
            "1, ~411",
            "~411",
            "[Note] Card: ~411, thanks",
            "[note, ~411, thanks]",
            "[tests, ~411, thanks]",
            "[~411 is my card]",
            "{\"a\n\": ~411}",
            r#"{"n": ~411-411}"#,
            r#"He said "yes", ~411, "no""#,
            "Run ```\n[1, 2]: ~411, 5",
            "```js\n{ card: ~411 }\n```",
        ] {
            assert_eq!(at_mark(marked, |text| Reader::new(text)), None, "{marked}");
        }
    }

    /// Whatever stands before, what follows tells a string from what stands outside, or nothing is said.
    #[test]
    fn without_its_beginning_a_text_says_what_is_sure() {
        for (marked, scalar) in [
            (r#"rds":["[CARD]",~411], "a": 1"#, Some("411")),
            (r#"":["[CARD]",~411]"#, Some("411")),
            (r#"","1","2",~411]"#, Some("411")),
            (r#"\", \"a", ~411]"#, Some("411")),
            ("411,\n  ~411\n]", Some("411")),
            ("```json\n{\"a\": ~411}", Some("411")),
            ("``json\n{\"a\": ~411}", Some("411")),
            ("`\n{\"a\": ~411}", Some("411")),
            ("json\n{\"a\": ~411}", Some("411")),
            ("as \"JSON\",\n```json\n{\"a\": ~411}", Some("411")),
            ("as JSON:\n```json\n{\"a\": ~411}", Some("411")),
            ("as `JSON`\n{\"a\": ~411}", None),
            ("`JSON` is\nthis\n{\"a\": ~411}", None),
            (r#"1, 2, ~411, 5"}"#, None),
            ("1, ~411]", None),
            ("1~411]", None),
            (r#" said "yes", ~411, "no""#, None),
            (r#"", "b": "1, ~411, 2"}"#, None),
        ] {
            assert_eq!(at_mark(marked, |text| Reader::of_cut(text)).as_deref(), scalar, "{marked}");
        }
    }

    /// Of each place in these texts it is known whether a number stands there.
    #[test]
    fn a_cut_text_never_says_what_the_whole_one_does_not() {
        for text in [
            r#"{"cards":[411,-411],"note":"411, 411","C:\\":411,"deep":[{"a":null,"b":411},[411]],"\"411\":":"\\\"411"}"#,
            r#"{"nums":"411, 411, 411, [411], {411}: 411","a,":[[1,411],[411.5,true,411]],"411":"é411,"}"#,
            "[\n  {\n    \"a:\": 411,\n    \"b\": [\n      411,\n      \"411,\"\n    ]\n  },\n  411\n]",
        ] {
            let places: Vec<_> = text.match_indices("411").map(|(at, found)| at..at + found.len()).collect();
            let mut whole = Reader::new(text);
            let known: Vec<_> = places.iter().map(|range| whole.scalar(range)).collect();
            for cut in (1..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let mut reader = Reader::of_cut(&text[cut..]);
                for (range, known) in places.iter().zip(&known).filter(|(range, _)| range.start >= cut) {
                    let said = reader.scalar(&(range.start - cut..range.end - cut));
                    let said = said.map(|said| said.start + cut..said.end + cut);
                    assert!(said.is_none() || said == *known, "{:?} of {text} from {cut}", range);
                }
            }
        }
    }

    /// Each was made to cost more with every place that is asked about.
    #[test]
    fn hostile_texts_are_read_once() {
        let spaces = " ".repeat(300_000);
        for (text, expected) in [
            (format!("[{}1]", "12345,".repeat(50_000)), 50_000),
            (format!("[{}]", "9".repeat(300_000)), 60_000),
            (format!("[{}-]", "9".repeat(300_000)), 0),
            (format!("[\"{}\"]", "12345,".repeat(50_000)), 0),
            (format!("[12345{spaces}]"), 1),
            ("```\n".repeat(75_000), 0),
            ("```12".repeat(60_000), 0),
            ("```\n[12345#\n".repeat(30_000), 0),
            (format!("```\n[{}", "#12345".repeat(40_000)), 0),
            (format!("x{}\n[12345]", "    ```".repeat(40_000)), 0),
        ] {
            let mut reader = Reader::new(&text);
            let starts = (0..text.len()).filter(|at| text[*at..].starts_with(|it: char| it.is_ascii_digit()));
            let starts = starts.scan(0, |free, at| {
                let is_free = at >= *free;
                *free = if is_free { at + 5 } else { *free };
                Some(is_free.then_some(at))
            });
            let found = starts.flatten().filter(|at| reader.scalar(&(*at..at + 5)).is_some()).count();
            assert_eq!(found, expected, "{}", &text[..20]);
        }
    }
}
