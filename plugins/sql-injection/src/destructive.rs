//! Statements that destroy data or open the server, as an injection or as a plain command.
//!
//! `DELETE` with a condition passes, `DELETE` without one does not. In lower case a statement must begin its line, or
//! stand behind a value or another statement, and be closed by a semicolon, a quotation or comment mark or the text's end:
//! "drop table reservations at the inn" is a sentence. So has `TRUNCATE` without `TABLE` in capitals, and what ends in a
//! word with which a sentence goes on: "TRUNCATE requires a privilege", "Why is DROP TABLE slow?"

use crate::grammar::{after, constant, is_command, is_set_apart, literal, more_names, name};
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

/// `COPY t TO PROGRAM '...'`, with which PostgreSQL runs a command. In small letters only behind a semicolon: people copy
/// files from program 'X'.
fn to_program(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let program = at + after(tokens, at).position(|token| token.is("program"))?;
    let is_copy = tokens[program - 1].is_any(&["to", "from"]) && tokens.get(program + 1)?.kind == Kind::Quote;
    let is_shouted = tokens[at].is_shouted() && tokens[program].is_shouted();
    let is_stacked = at.checked_sub(1).is_some_and(|before| tokens[before].is_symbol(b';'));
    (is_copy && (is_shouted || is_stacked)).then_some(program + 1)
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
