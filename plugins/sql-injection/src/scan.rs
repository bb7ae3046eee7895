//! One text, all classes.

use std::ops::Range;

use crate::token::{Comments, Kind, Token, Tokens};
use crate::{Class, boolean, comment, destructive, stacked, time, union};

/// The first place of each class in a text.
pub(crate) type Found = [Option<Range<usize>>; Class::ALL.len()];

/// Looks for every class in the plain reading of a text.
pub(crate) fn find(text: &str) -> Found {
    let mut found = Found::default();
    let mut has_comment = false;
    views(text, Comments::Shown, |tokens, places| {
        has_comment |= tokens[places.clone()].iter().any(|token| token.kind == Kind::Comment);
        look(tokens, places.clone(), &mut found);
        let quotes = places.filter(|at| tokens[*at].kind == Kind::Quote);
        note(&mut found, Class::Comment, tokens, quotes, comment::find_cut);
    });
    if has_comment {
        views(text, Comments::Skipped, |tokens, places| {
            look(tokens, places.clone(), &mut found);
            let behind = places.filter(|at| tokens[*at].is_after_comment);
            let find = |tokens: &[Token<'_>], at| comment::find_broken_keyword(text, tokens, at);
            note(&mut found, Class::Comment, tokens, behind, find);
        });
    }
    found
}

/// Shows the tokens of a text, some thousand at a time, and which of them are to be asked about. A token takes more
/// memory than most tokens' text, and a text may have as many tokens as bytes. Around each place more tokens are in view
/// than a detector looks at.
fn views(text: &str, comments: Comments, mut show: impl FnMut(&[Token<'_>], Range<usize>)) {
    const VIEW: usize = 4096;
    const REACH: usize = 256;
    let mut tokens = Tokens::of(text, comments);
    let mut view = Vec::with_capacity(VIEW);
    let mut first = 0;
    loop {
        view.extend(tokens.by_ref().take(VIEW - view.len()));
        if view.len() < VIEW {
            return show(&view, first..view.len());
        }
        let end = VIEW - REACH;
        show(&view, first..end);
        view.drain(..end - REACH);
        first = REACH;
    }
}

/// Asks only at the few tokens with which something can begin.
fn look(tokens: &[Token<'_>], places: Range<usize>, found: &mut Found) {
    for at in places.filter(|at| begins_something(&tokens[*at])) {
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
            b'c' => token.is("copy"),
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
