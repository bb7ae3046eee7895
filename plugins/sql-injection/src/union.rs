//! `UNION SELECT`.
//!
//! A union of two complete queries over plain columns is everyday SQL and passes, unless it names what attackers are
//! after. Everything else is an addition to somebody else's query.

use crate::grammar::{after, before, name, skip_brackets};
use crate::token::{Kind, Token};

/// Parts of names that an attacker's half asks for.
const WANTED: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "card",
    "ssn",
    "salary",
    "admin",
    "user",
    "account",
    "schema",
    "sqlite_",
    "sysobjects",
    "syscolumns",
    "pg_",
    "mysql",
    "dual",
    "version",
    "database",
    "load_file",
    "char",
    "concat",
    "hash",
    "key",
];

/// Where the injection that begins with the token at `at` ends.
pub(crate) fn find(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !tokens[at].is("union") {
        return None;
    }
    let all = usize::from(tokens.get(at + 1)?.is_any(&["all", "distinct"]));
    let select = skip_brackets(tokens, at + 1 + all);
    if !tokens.get(select)?.is("select") {
        return None;
    }
    let list = select + 1 + usize::from(tokens.get(select + 1)?.is_any(&["all", "distinct"]));
    (is_select_list(tokens, list) && !is_plain(tokens, at, list)).then_some(list)
}

/// Whether columns follow, and not the rest of a sentence.
fn is_select_list(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(first) = tokens.get(at) else { return false };
    match first.kind {
        Kind::Number | Kind::Quote | Kind::Symbol(b'*' | b'@' | b'(') => true,
        Kind::Word if first.is("null") => true,
        Kind::Word => name(tokens, at).is_some_and(|next| match tokens.get(next) {
            None => false,
            Some(token) if token.is("from") => name(tokens, next + 1).is_some(),
            Some(token) => token.is("as") || matches!(token.kind, Kind::Comment | Kind::Symbol(b',' | b'(' | b';')),
        }),
        _ => false,
    }
}

/// A union of two complete queries over plain columns.
fn is_plain(tokens: &[Token<'_>], union: usize, list: usize) -> bool {
    let is_complete_before =
        before(tokens, union).any(|token| token.is("select")) && before(tokens, union).any(|token| token.is("from"));
    let is_complete_after = after(tokens, list).any(|token| token.is("from"));
    let is_harmless = |token: &Token<'_>| {
        token.kind != Kind::Comment && !token.is_symbol(b'@') && !(token.kind == Kind::Word && is_wanted(token.text))
    };
    let has_values = after(tokens, list)
        .take_while(|token| !token.is("from"))
        .any(|token| matches!(token.kind, Kind::Number | Kind::Quote) || token.is("null"));
    is_complete_before && is_complete_after && !has_values && after(tokens, list).all(is_harmless)
}

fn is_wanted(word: &str) -> bool {
    let holds =
        |part: &&str| word.as_bytes().windows(part.len()).any(|piece| piece.eq_ignore_ascii_case(part.as_bytes()));
    WANTED.iter().any(holds)
}
