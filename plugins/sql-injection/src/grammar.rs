//! Small pieces of SQL that several classes look for. Each takes the tokens and a position, and answers with the
//! position behind the piece.

use crate::token::{Kind, Token};

/// Words that stand where a name would, when the text is prose about SQL and not SQL.
const PROSE: &[&str] = &[
    "a",
    "an",
    "the",
    "this",
    "that",
    "these",
    "those",
    "my",
    "your",
    "our",
    "his",
    "her",
    "its",
    "their",
    "all",
    "any",
    "some",
    "each",
    "every",
    "both",
    "of",
    "to",
    "in",
    "on",
    "at",
    "for",
    "from",
    "with",
    "by",
    "and",
    "or",
    "is",
    "are",
    "was",
    "do",
    "does",
    "did",
    "mean",
    "means",
    "work",
    "works",
    "statement",
    "statements",
    "command",
    "commands",
    "query",
    "queries",
    "keyword",
    "keywords",
    "clause",
    "operator",
    "syntax",
    "vs",
    "versus",
    "it",
    "me",
    "you",
    "we",
    "us",
    "them",
    "not",
    "but",
    "how",
    "what",
    "when",
    "why",
    "then",
    "as",
    "can",
    "should",
    "will",
    "select",
    "where",
    "set",
    "values",
    "into",
    "if",
    "one",
    "two",
    "so",
    "because",
    "privileges",
    "permission",
];

/// Words behind a statement that ask about it.
const ASKING: &[&str] = &["do", "does", "mean", "means", "work", "works", "vs", "versus", "is", "differ"];

/// A table's or column's name, quoted or qualified as it may be.
pub(crate) fn name(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let is_mark =
        |token: &Token<'_>| token.kind == Kind::Quote || matches!(token.kind, Kind::Symbol(b'`' | b'[' | b']'));
    let mut next = at;
    loop {
        let quoted = tokens.get(next).is_some_and(is_mark);
        next += usize::from(quoted);
        let word = tokens.get(next).filter(|token| token.kind == Kind::Word)?;
        if !quoted && word.is_any(PROSE) {
            return None;
        }
        next += 1;
        next += usize::from(quoted && tokens.get(next).is_some_and(is_mark));
        let dotted = tokens.get(next).is_some_and(|token| token.is_symbol(b'.') && token.is_glued)
            && tokens.get(next + 1).is_some_and(|token| token.is_glued && token.kind != Kind::Quote);
        if !dotted {
            return Some(next);
        }
        next += 1;
    }
}

/// Whether the statement that ends before `at` is meant as one: it is closed there, or written in capitals and nobody
/// asks about it.
pub(crate) fn is_command(tokens: &[Token<'_>], first: usize, at: usize) -> bool {
    let Some(next) = tokens.get(at) else { return true };
    let is_closed = matches!(next.kind, Kind::Quote | Kind::Comment | Kind::Symbol(b';' | b')' | b',' | b'`'))
        || next.is_first_on_line
        || next.is_any(&["cascade", "restrict", "purge"]);
    is_closed || (tokens[first].is_shouted() && !next.is_any(ASKING))
}

/// The tokens of the statement around `at` that come before it, nearest first.
pub(crate) fn before<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> impl Iterator<Item = &'t Token<'a>> {
    const REACH: usize = 64;
    tokens[..at].iter().rev().take(REACH).take_while(|token| !token.is_symbol(b';'))
}

/// The tokens of the statement that comes from `at` on.
pub(crate) fn after<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> impl Iterator<Item = &'t Token<'a>> {
    const REACH: usize = 64;
    tokens[at.min(tokens.len())..].iter().take(REACH).take_while(|token| !token.is_symbol(b';'))
}

/// Position behind any opening brackets.
pub(crate) fn skip_brackets(tokens: &[Token<'_>], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.is_symbol(b'(')) {
        at += 1;
    }
    at
}

/// A value: a number, `true`, `null`, or a string, whose last quotation mark the attacked query may bring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Literal<'a> {
    pub(crate) is_quoted: bool,
    pub(crate) text: &'a str,
}

pub(crate) fn literal<'a>(tokens: &[Token<'a>], at: usize) -> Option<(Literal<'a>, usize)> {
    let first = tokens.get(at)?;
    match first.kind {
        Kind::Number => Some((Literal { is_quoted: false, text: first.text }, at + 1)),
        Kind::Word if first.is_any(&["true", "false", "null"]) => {
            Some((Literal { is_quoted: false, text: first.text }, at + 1))
        }
        Kind::Quote => {
            let is_end = |token: &Token<'_>| token.kind == Kind::Quote && token.text == first.text;
            match tokens.get(at + 1) {
                None => Some((Literal { is_quoted: true, text: "" }, at + 1)),
                Some(next) if is_end(next) => Some((Literal { is_quoted: true, text: "" }, at + 2)),
                Some(next) if matches!(next.kind, Kind::Word | Kind::Number) => {
                    let closed = tokens.get(at + 2).is_some_and(is_end);
                    Some((Literal { is_quoted: true, text: next.text }, at + 2 + usize::from(closed)))
                }
                Some(_) => None,
            }
        }
        _ => None,
    }
}
