//! Statements that destroy data or open the server, as an injection or as a plain command.
//!
//! `DELETE` with a condition passes, `DELETE` without one does not. In lower case a statement must begin its line, or
//! stand behind a value or another statement, and be closed by a semicolon, a quotation or comment mark or the text's end:
//! "drop table reservations at the inn" is a sentence. So has `TRUNCATE` without `TABLE` in capitals, and what ends in a
//! word with which a sentence goes on: "TRUNCATE requires a privilege", "Why is DROP TABLE slow?"

use crate::grammar::{after, constant, is_called_sql, is_command, is_set_apart, literal, more_names, name};
use crate::sentence;
use crate::token::{Kind, Token};

const OBJECTS: &[&str] = &[
    "table",
    "database",
    "schema",
    "view",
    "user",
    "role",
    "login",
    "procedure",
    "function",
    "trigger",
    "index",
    "tablespace",
    "sequence",
];

/// Where the statement that begins with the token at `at` ends.
pub(crate) fn find(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let (first, second) = (tokens.get(at)?, tokens.get(at + 1));
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| token.is_any(words));
    let follows = |words: &[&str]| is(at + 1, words);
    if first.is("copy") {
        return to_program(tokens, at);
    }
    let is_bare = first.is("truncate") && !follows(&["table"]);
    let object = at + 1 + usize::from(follows(&["materialized", "temporary", "foreign"]));
    let end = if first.is("drop") && is(object, OBJECTS) {
        let end = name(tokens, object + 1 + if_exists(tokens, object + 1))?;
        end + usize::from(is(end, &["cascade", "restrict", "purge"]))
    } else if is_bare && first.is_shouted() {
        let end = more_names(tokens, name(tokens, at + 1)?);
        end + usize::from(is(end, &["cascade", "restrict"]))
    } else if first.is("truncate") && !is_bare {
        name(tokens, at + 2)?
    } else if first.is("delete") && follows(&["from"]) {
        every_row(tokens, name(tokens, at + 2)?)?
    } else if first.is("alter") && follows(&["table"]) {
        let drop = name(tokens, at + 2).filter(|drop| is(*drop, &["drop"]))?;
        let object = drop + 1 + usize::from(is(drop + 1, &["column", "constraint"]));
        name(tokens, object + if_exists(tokens, object))?
    } else if first.is_any(&["xp_cmdshell", "xp_regwrite"]) {
        return second.filter(|token| matches!(token.kind, Kind::Quote | Kind::Symbol(b'(' | b'@'))).map(|_| at + 1);
    } else if first.is("into") && follows(&["outfile", "dumpfile"]) {
        return tokens.get(at + 2).filter(|token| token.kind == Kind::Quote).map(|_| at + 2);
    } else if first.is("shutdown") && first.is_shouted() {
        at.checked_sub(1).filter(|before| tokens[*before].is_symbol(b';'))?;
        return Some(at);
    } else {
        return None;
    };
    let is_meant = match &tokens[end - 1] {
        // The text's end closes a sentence, too.
        last if sentence::goes_on(last) => {
            (end < tokens.len() || is_behind_statement(tokens, at)) && is_set_apart(tokens, at, end)
        }
        _ if is_bare => is_set_apart(tokens, at, end),
        _ => is_command(tokens, at, end),
    };
    is_meant.then_some(end - 1)
}

/// `COPY t TO PROGRAM '...'`, with which PostgreSQL runs a command. In small letters only behind a semicolon, and as the
/// value of what is called SQL: people copy files from program 'X'.
fn to_program(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let copied = at + 1;
    // `COPY table FROM PROGRAM 'command'` describes the syntax.
    let is_placeholder = tokens.get(copied)?.is("table");
    let mut behind = if tokens[copied].is_symbol(b'(') { copied } else { name(tokens, copied)? };
    // `public."t"`
    if tokens.get(behind)?.is_symbol(b'.') {
        behind = name(tokens, behind + 1)?;
    }
    let direction = if tokens.get(behind)?.is_symbol(b'(') {
        // Columns, or a query.
        behind + after(tokens, behind).position(|token| token.is("program"))?.checked_sub(1)?
    } else {
        behind
    };
    let program = direction + 1;
    let is_copy = tokens[direction].is_any(&["to", "from"]) && tokens.get(program)?.is("program");
    let is_shouted = tokens[at].is_shouted() && tokens[program].is_shouted();
    let is_meant = is_shouted
        || at.checked_sub(1).is_some_and(|before| match tokens[before].kind {
            Kind::Symbol(b';') => true,
            Kind::Quote => is_called_sql(tokens, before),
            _ => false,
        });
    (is_copy && !is_placeholder && is_meant && opens_string(tokens, program + 1)).then_some(program + 1)
}

/// Whether a string of PostgreSQL begins at `at`: `'id'`, `E'id'`, `$$id$$`.
fn opens_string(tokens: &[Token<'_>], at: usize) -> bool {
    let is_mark = |token: &Token<'_>| token.kind == Kind::Quote && token.text.ends_with('\'');
    tokens.get(at).is_some_and(|first| match first.kind {
        Kind::Word if first.is("e") => tokens.get(at + 1).is_some_and(|mark| mark.is_glued && is_mark(mark)),
        Kind::Word => first.text.starts_with('$'),
        _ => is_mark(first),
    })
}

/// Whether a semicolon stands before `at` that ends a statement, and no sentence.
fn is_behind_statement(tokens: &[Token<'_>], at: usize) -> bool {
    matches!(&tokens[..at], [.., last, end] if end.is_symbol(b';') && !sentence::goes_on(last))
}

/// Tokens of `IF EXISTS`.
fn if_exists(tokens: &[Token<'_>], at: usize) -> usize {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    if is(at, "if") && is(at + 1, "exists") { 2 } else { 0 }
}

/// Where a `DELETE` of every row ends, which goes on at `at`: without a condition, or with one of values alone.
fn every_row(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let Some(to_where) = after(tokens, at).position(|token| token.is("where")) else { return Some(at) };
    let condition = at + to_where + 1;
    let is_and = |token: &Token<'_>| token.is("and") || token.kind == Kind::And;
    let is_end = |token: &Token<'_>| matches!(token.kind, Kind::Symbol(b';') | Kind::Quote | Kind::Comment);
    constant(tokens, condition)
        .filter(|end| !tokens.get(*end).is_some_and(is_and))
        .or_else(|| literal(tokens, condition).filter(|end| tokens.get(*end).is_none_or(is_end)))
}
