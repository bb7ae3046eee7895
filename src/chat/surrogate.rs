//! Characters beyond U+FFFF stand in JSON as two escapes, a high surrogate and a low one. One alone is no character.

use std::borrow::Cow;

/// What stands in the place of such a half. As long as it, so that a body keeps its length.
const REPLACEMENT: &[u8; 6] = br"\ufffd";

/// The same JSON with every half that lacks its other half replaced; borrowed where there is none.
pub(crate) fn whole_characters(json: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let begin = at + found;
        let (escape, next) = (escaped(json, begin), begin + REPLACEMENT.len());
        at = match escape {
            Some(Half::High) if escaped(json, next) == Some(Half::Low) => next + REPLACEMENT.len(),
            Some(_) => {
                mended.to_mut()[begin..next].copy_from_slice(REPLACEMENT);
                next
            }
            // A backslash, or any other character, behind this one is its own.
            None => begin + 2,
        };
    }
    mended
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// The half that is escaped at a place, if one is.
fn escaped(json: &[u8], at: usize) -> Option<Half> {
    let digits = json.get(at..at + REPLACEMENT.len())?.strip_prefix(br"\u")?;
    let [b'd' | b'D', second, rest @ ..] = digits else { return None };
    if !rest.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    match second.to_ascii_lowercase() {
        b'8' | b'9' | b'a' | b'b' => Some(Half::High),
        b'c'..=b'f' => Some(Half::Low),
        _ => None,
    }
}
