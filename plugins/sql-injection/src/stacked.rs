//! A second statement behind a semicolon.
//!
//! A script of whole statements is no injection. It is one when what stands before the semicolon is the rest of a
//! value (`1; INSERT ...`, `'; UPDATE ...`), or a query is followed by a statement that destroys or opens something.

use crate::grammar::{after, before, is_command, name};
use crate::token::{Kind, Token};
use crate::{destructive, union};

/// Words with which, somewhere before the semicolon, a whole statement stands.
const STATEMENTS: &[&str] = &[
    "select", "insert", "update", "delete", "create", "alter", "drop", "truncate", "begin", "set", "use", "with",
    "grant", "declare", "exec", "execute", "call", "pragma",
];

/// What a `GRANT` may give.
const PRIVILEGES: &[&str] = &["all", "select", "insert", "update", "delete", "create", "execute", "usage", "dba"];

/// Where the injection that begins with the semicolon at `at` ends.
pub(crate) fn find(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !tokens[at].is_symbol(b';') || at == 0 {
        return None;
    }
    let destroys = destructive::find(tokens, at + 1);
    let end = destroys.or_else(|| statement(tokens, at + 1))?;
    let is_fragment = !before(tokens, at).any(|token| token.is_any(STATEMENTS));
    let is_value = match tokens[at - 1].kind {
        Kind::Symbol(b')') => is_unopened(tokens, at - 1),
        Kind::Quote | Kind::Number => !is_assigned(tokens, at - 1),
        _ => false,
    };
    let is_query = before(tokens, at).any(|token| token.is_any(&["select", "where"]));
    ((is_fragment && is_value) || (destroys.is_some() && is_query)).then_some(end)
}

/// Whether the bracket at `at` closes none of its statement, as in `x'); DROP ...`. Rows and columns are long.
fn is_unopened(tokens: &[Token<'_>], at: usize) -> bool {
    const REACH: usize = 240;
    let mut open = 1;
    for token in tokens[..at].iter().rev().take(REACH).take_while(|token| !token.is_symbol(b';')) {
        match token.kind {
            Kind::Symbol(b')') => open += 1,
            Kind::Symbol(b'(') => open -= 1,
            _ => {}
        }
        if open == 0 {
            return false;
        }
    }
    true
}

/// `total := 0;` is a line of a procedure.
fn is_assigned(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2 && tokens[at - 1].text == "=" && tokens[at - 1].is_glued && tokens[at - 2].is_symbol(b':')
}

/// A statement that reads, changes or gives something, as `at` the position behind what identifies it.
fn statement(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let (first, second) = (tokens.get(at)?, tokens.get(at + 1)?);
    let object = &["table", "user", "login", "role", "database", "view", "function", "procedure", "trigger", "index"];
    if (first.is("insert") && second.is("into")) || (first.is("delete") && second.is("from")) {
        return name(tokens, at + 2);
    }
    if first.is_any(&["alter", "create", "drop"]) && second.is_any(object) {
        return name(tokens, at + 2);
    }
    if first.is("update") {
        let set = name(tokens, at + 1).filter(|set| tokens.get(*set).is_some_and(|token| token.is("set")))?;
        let column = name(tokens, set + 1)?;
        return tokens.get(column).filter(|token| token.kind == Kind::Compare).map(|_| column);
    }
    if first.is("select") && union::is_select_list(tokens, at + 1) {
        let from = at + 1 + after(tokens, at + 1).position(|token| token.is("from"))?;
        let end = name(tokens, from + 1)?;
        let has_condition = tokens.get(end).is_some_and(|token| token.is("where"));
        return (second.is_symbol(b'*') || has_condition || is_command(tokens, at, end)).then_some(end);
    }
    if first.is("grant") && second.is_any(PRIVILEGES) {
        let third = tokens.get(at + 2)?;
        let goes_on = third.is_any(&["privileges", "on", "to"]) || matches!(third.kind, Kind::Symbol(b',' | b'('));
        let to = at + 2 + after(tokens, at + 2).position(|token| token.is("to"))?;
        return name(tokens, to + 1).filter(|_| goes_on);
    }
    if first.is("truncate") && second.is("table") {
        return name(tokens, at + 2);
    }
    if first.is_any(&["exec", "execute"]) {
        let is_procedure = |prefix: &str| second.text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        return (second.is_symbol(b'(') || second.is_symbol(b'@') || is_procedure("xp_") || is_procedure("sp_"))
            .then_some(at + 2);
    }
    (first.is("declare") && second.is_symbol(b'@')).then_some(at + 2)
}
