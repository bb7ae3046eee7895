//! Statements that destroy data or open the server, as an injection or as a plain command.
//!
//! `DELETE` with a condition passes, `DELETE` without one does not. In lower case a statement must be closed (by the
//! end of the line or text, a semicolon, a quotation or comment mark): "drop table reservations at the inn" is a sentence.

use crate::grammar::{after, is_command, literal, name};
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
    let follows = |words: &[&str]| second.is_some_and(|token| token.is_any(words));
    let end = if first.is("drop") && follows(OBJECTS) {
        name(tokens, at + 2 + if_exists(tokens, at + 2))?
    } else if first.is("truncate") && follows(&["table"]) {
        name(tokens, at + 2)?
    } else if first.is("truncate") && first.is_shouted() {
        name(tokens, at + 1)?
    } else if first.is("delete") && follows(&["from"]) {
        name(tokens, at + 2).filter(|end| deletes_everything(tokens, *end))?
    } else if first.is("alter") && follows(&["table"]) {
        name(tokens, at + 2).filter(|end| tokens.get(*end).is_some_and(|token| token.is("drop")))? + 1
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
    is_command(tokens, at, end).then_some(end - 1)
}

/// Tokens of `IF EXISTS`.
fn if_exists(tokens: &[Token<'_>], at: usize) -> usize {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    if is(at, "if") && is(at + 1, "exists") { 2 } else { 0 }
}

/// Without a condition, or with one between two values.
fn deletes_everything(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(condition) = after(tokens, at).position(|token| token.is("where")) else { return true };
    literal(tokens, at + condition + 1).is_some_and(|(_, operator)| {
        tokens.get(operator).is_none_or(|token| token.kind == Kind::Compare) && literal(tokens, operator + 1).is_some()
    })
}
