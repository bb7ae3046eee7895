//! How deep brackets can be nested in a text, judged before the library reads it.
//!
//! For each token the library looks at every bracket that is open, so that its time grows with the length times the
//! depth. The depth found here is never less than the true one. A line is understood where it begins outside of
//! everything that may span lines (quotes, block texts, brackets), which is so for all lines up to the first that is
//! not understood. Of a line that is not, every opening bracket is taken to stay open.

/// Brackets that may be open at one time, at most.
pub(super) fn deepest(text: &str) -> usize {
    let (mut known, mut left_open, mut within) = (true, 0, 0);
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let understood = if known { entry(line).or_else(|| closed(line)) } else { closed(line) };
        match understood {
            Some(depth) => within = within.max(depth),
            None => {
                known = false;
                left_open += line.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
            }
        }
    }
    left_open + within
}

/// Characters that end a line for the library, beside the line feed.
const BREAKS: [char; 4] = ['\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// The depth of a line that holds nothing, a comment, or `- `, a key and a value, where the value is in quotes or
/// brackets and ends on the line.
fn entry(line: &str) -> Option<usize> {
    if line.contains(BREAKS) {
        return None;
    }
    let mut rest = line.trim_start_matches(' ');
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start_matches(' ');
    }
    if ends(rest) || rest.starts_with('#') {
        return Some(0);
    }
    rest = value(rest).unwrap_or(rest);
    match rest.as_bytes().first()? {
        b'"' | b'\'' => quoted(rest).filter(|rest| ends(rest)).map(|_| 0),
        b'[' | b'{' => flow(rest).filter(|(_, rest)| ends(rest)).map(|(depth, _)| depth),
        _ => None,
    }
}

/// Whether nothing but a comment is left of the line.
fn ends(rest: &str) -> bool {
    let trimmed = rest.trim_start_matches(' ');
    trimmed.is_empty() || (trimmed.starts_with('#') && trimmed.len() < rest.len())
}

/// What follows a key without quotes.
fn value(rest: &str) -> Option<&str> {
    let inside = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    let end = rest.find(|character| !inside(character))?;
    if !rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') {
        return None;
    }
    rest.get(end..)?.strip_prefix(": ").map(|value| value.trim_start_matches(' '))
}

/// What follows a text in quotes.
fn quoted(rest: &str) -> Option<&str> {
    let bytes = rest.as_bytes();
    let quote = *bytes.first()?;
    let mut at = 1;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (b'\\', _) if quote == b'"' => at += 2,
            (b'\'', Some(b'\'')) if quote == b'\'' => at += 2,
            (byte, _) if byte == quote => return rest.get(at + 1..),
            _ => at += 1,
        }
    }
}

/// The depth of a list or mapping in brackets, and what follows it. Texts in it are in quotes or of plain characters.
fn flow(whole: &str) -> Option<(usize, &str)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b'+');
    let (mut rest, mut depth, mut deepest) = (whole, 0_usize, 0);
    // Whether a value may begin here, and whether one in quotes or brackets has just ended: what looks like a quote
    // elsewhere is a character of a text.
    let (mut fresh, mut ended) = (true, false);
    loop {
        let byte = *rest.as_bytes().first()?;
        let next = rest.as_bytes().get(1);
        let mut taken = 1;
        match byte {
            b' ' => {}
            b'[' | b'{' if fresh => {
                depth += 1;
                deepest = deepest.max(depth);
                ended = false;
            }
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((deepest, rest.get(1..)?));
                }
                (fresh, ended) = (false, true);
            }
            b',' => (fresh, ended) = (true, false),
            b':' if !fresh && (ended || next == Some(&b' ')) => (fresh, ended) = (true, false),
            b'"' | b'\'' if fresh => {
                taken = rest.len() - quoted(rest)?.len();
                (fresh, ended) = (false, true);
            }
            _ if plain(byte) && (fresh || !ended) => (fresh, ended) = (false, false),
            _ => return None,
        }
        rest = rest.get(taken..)?;
    }
}

/// The depth of a line whose brackets close on it, wherever it stands: without quotes, comments and tags, within which a
/// bracket is none, and without what makes the lines behind it something else.
fn closed(line: &str) -> Option<usize> {
    if line.contains(['"', '\'', '#', '!', '|', '>', '%', '&', '*', '@', '`']) || line.contains(BREAKS) {
        return None;
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in line.bytes() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then_some(deepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_quotes_and_closed_ones_do_not_add_up() {
        for (text, expected) in [
            ("", 0),
            ("a: b\nc: [d, {e: f}]\ng: [h]\n", 2),
            ("a: \"[[[[\"\n- 'it''s [[' # [[[\n# [[[[ it's\n  b: \"\\\"[[\" \n", 0),
            ("tests:\n  - { name: 'a [', query: \"b ]{\", expect: { rules: [c, d] } } # it's\n", 3),
            ("a: {\"b\":\"[[\",\"c\":['d [', e f: g]}\n", 2),
            ("a: {\n  b: [c],\n}\n", 2),
            ("a: x [ y ] z\nb: 'c ['\n", 1),
            ("plain: it says 09:00\nb: '['\r\nc: '['\r\n", 0),
        ] {
            assert_eq!(deepest(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_counts_in_full() {
        for (text, expected) in [
            // A quote that began earlier ends where another seems to begin.
            ("a: \"\nb: \", [[[ \"", 3),
            ("{ a: \"\nb: \", c: [[[ \"", 4),
            ("a: it's [[[\n", 3),
            ("a: |\n  b: \"\n  c: '[[['\n", 3),
            ("a: [b # ]\n", 1),
            ("a: [!<]> b\n", 1),
            ("a: {b:'[[['}\n", 4),
            ("a: {b c'[[', d: ']'}\n", 3),
            ("a: [[[\n", 3),
            ("a: ]]][[[\n", 3),
            ("'a': [b, ']'\n", 1),
            ("a: '[' b: '[['\n", 3),
            ("# [\u{2028}[[[\n", 4),
            ("a: 'b' #\u{85}[[[\n", 3),
            ("a: 'b'\r[[[\n", 3),
            ("? '['\nb: '[['\n", 3),
            ("a: &b '['\n", 1),
            ("a:\t'['\n", 1),
        ] {
            assert_eq!(deepest(text), expected, "{text}");
        }
    }
}
