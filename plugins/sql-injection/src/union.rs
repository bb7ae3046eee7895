//! `UNION SELECT`.
//!
//! A union of two complete queries is everyday SQL and passes, unless it names what attackers are after. Everything else
//! is an addition to somebody else's query. An addition goes where a value was: a second query behind a condition that
//! ends in a value has to be over plain columns, and nothing may be cut off behind it.

use crate::grammar::{after, before, name, skip_brackets};
use crate::token::{Kind, Token};

/// Parts of names that an attacker's half asks for.
const SECRETS: &[&str] =
    &["password", "passwords", "passwd", "pwd", "secret", "secrets", "credential", "credentials", "ssn"];

/// Where servers keep what they know about themselves.
const CATALOGUES: &[&str] = &[
    "information_schema",
    "sqlite_master",
    "sqlite_schema",
    "sysobjects",
    "syscolumns",
    "pg_catalog",
    "pg_shadow",
    "pg_user",
    "pg_tables",
    "mysql",
    "all_tables",
    "load_file",
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
pub(crate) fn is_select_list(tokens: &[Token<'_>], at: usize) -> bool {
    let inside = skip_brackets(tokens, at);
    let is_bracketed = inside > at;
    let Some(first) = tokens.get(inside) else { return false };
    // In "what does `UNION SELECT` do?" the mark is the closing one.
    let opens = is_bracketed
        || !first.is_glued
        || tokens.get(at + 1).is_some_and(|next| next.is_glued && matches!(next.kind, Kind::Word | Kind::Number));
    match first.kind {
        Kind::Number | Kind::Symbol(b'@') => true,
        Kind::Quote | Kind::Symbol(b'*') => opens,
        Kind::Word if first.is("null") || (is_bracketed && first.is("select")) => true,
        Kind::Symbol(b'`' | b'[') if !opens => false,
        Kind::Word | Kind::Symbol(b'`' | b'[') => name(tokens, inside).is_some_and(|next| match tokens.get(next) {
            None => false,
            Some(token) if token.is("from") => name(tokens, next + 1).is_some(),
            Some(token) if token.is_symbol(b')') => is_bracketed,
            Some(token) => token.is("as") || matches!(token.kind, Kind::Comment | Kind::Symbol(b',' | b'(' | b';')),
        }),
        _ => false,
    }
}

/// A union of two complete queries. Of the second one only the columns and the table's name are looked at.
fn is_plain(tokens: &[Token<'_>], union: usize, list: usize) -> bool {
    let Some(columns) = after(tokens, list).position(|token| token.is("from")) else { return false };
    let from = list + columns;
    let end = name(tokens, from + 1).unwrap_or(from + 1);
    let has_values = tokens[list..from]
        .iter()
        .any(|token| matches!(token.kind, Kind::Number | Kind::Quote | Kind::Symbol(b'@')) || token.is("null"));
    let is_cut_off =
        tokens[list..].iter().take(end + 1 - list).any(|token| token.kind == Kind::Comment && !token.is_first_on_line);
    is_complete(tokens, union)
        && !tokens[list..end].iter().any(is_wanted)
        && !(ends_in_value(tokens, union) && !ends_in_name(tokens, union) && (has_values || is_cut_off))
}

/// Whether a query, and not a sentence, ends before `union`.
fn is_complete(tokens: &[Token<'_>], union: usize) -> bool {
    let Some(back) = before(tokens, union).position(|token| token.is("select")) else { return false };
    let list = union - back;
    let is_list = tokens[list].kind != Kind::Word || name(tokens, list).is_some();
    is_list && tokens[list..union].iter().any(|token| token.is("from"))
}

/// Whether what stands before `union` could be the value that was broken out of.
fn ends_in_value(tokens: &[Token<'_>], union: usize) -> bool {
    before(tokens, union)
        .find(|token| !token.is_symbol(b')'))
        .is_none_or(|last| matches!(last.kind, Kind::Number | Kind::Quote) || last.is_any(&["null", "true", "false"]))
}

/// Whether that is a table's name in quotation marks, as ANSI has them: `SELECT "id" FROM "users"`. A query that does not
/// quote its columns so tells nothing.
fn ends_in_name(tokens: &[Token<'_>], union: usize) -> bool {
    let behind = |keyword: &str| before(tokens, union).position(|token| token.is(keyword)).map(|back| union - back);
    let (Some(list), Some(table)) = (behind("select"), behind("from")) else { return false };
    let is_double = |token: &Token<'_>| token.kind == Kind::Quote && token.text.ends_with('"');
    list < table && tokens[list..table].iter().any(is_double) && name(tokens, table) == Some(union)
}

fn is_wanted(token: &Token<'_>) -> bool {
    token.is_any(CATALOGUES)
        || token.text.split('_').any(|part| SECRETS.iter().any(|secret| part.eq_ignore_ascii_case(secret)))
}
