//! One text, all classes.

use std::ops::Range;

use crate::token::{Comments, Kind, Token, has_comment, tokens};
use crate::{Class, boolean, comment, destructive, stacked, time, union};

/// The first place of each class in a text.
pub(crate) type Found = [Option<Range<usize>>; Class::ALL.len()];

/// Looks for every class.
pub(crate) fn find(text: &str) -> Found {
    let mut found = Found::default();
    let shown = tokens(text, Comments::Shown);
    look(&shown, &mut found);
    let quotes = (0..shown.len()).filter(|at| shown[*at].kind == Kind::Quote);
    note(&mut found, Class::Comment, &shown, quotes, comment::find_cut);
    if has_comment(&shown) {
        let skipped = tokens(text, Comments::Skipped);
        look(&skipped, &mut found);
        let behind = (0..skipped.len()).filter(|at| skipped[*at].is_after_comment);
        note(&mut found, Class::Comment, &skipped, behind, |tokens, at| comment::find_broken_keyword(text, tokens, at));
    }
    found
}

/// Asks only at the few tokens with which something can begin.
fn look(tokens: &[Token<'_>], found: &mut Found) {
    for at in (0..tokens.len()).filter(|at| begins_something(&tokens[*at])) {
        note(found, Class::UnionBased, tokens, at..=at, union::find);
        note(found, Class::StackedQuery, tokens, at..=at, stacked::find);
        note(found, Class::BooleanBased, tokens, at..=at, boolean::find);
        note(found, Class::TimeBased, tokens, at..=at, time::find);
        note(found, Class::Destructive, tokens, at..=at, destructive::find);
    }
}

/// Whether a detector looks at this token first. Words are told apart by their first letter: most end there.
fn begins_something(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Or | Kind::And | Kind::Symbol(b';') => true,
        Kind::Word => match token.text.as_bytes()[0] | 0x20 {
            b'a' => token.is_any(&["and", "alter"]),
            b'b' => token.is("benchmark"),
            b'd' => token.is_any(&["drop", "delete"]),
            b'h' => token.is("having"),
            b'i' => token.is("into"),
            b'o' => token.is("or"),
            b'p' => token.is("pg_sleep"),
            b'r' => token.is_any(&["randomblob", "receive_message"]),
            b's' => token.is_any(&["sleep", "shutdown"]),
            b't' => token.is("truncate"),
            b'u' => token.is("union"),
            b'w' => token.is("waitfor"),
            b'x' => token.is_any(&["xor", "xp_cmdshell", "xp_regwrite"]),
            _ => false,
        },
        _ => false,
    }
}

/// Keeps the first place at which the detector finds its class.
fn note(
    found: &mut Found,
    class: Class,
    tokens: &[Token<'_>],
    mut places: impl Iterator<Item = usize>,
    detector: impl Fn(&[Token<'_>], usize) -> Option<usize>,
) {
    let place = &mut found[class as usize];
    if place.is_none() {
        *place = places.find_map(|first| {
            let last = detector(tokens, first)?.min(tokens.len() - 1);
            Some(tokens[first].start..tokens[last].end())
        });
    }
}
