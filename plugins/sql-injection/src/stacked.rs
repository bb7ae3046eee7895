//! A second statement behind a semicolon.
//!
//! A script of whole statements is no injection. It is one when what stands before the semicolon is the rest of a
//! value (`1; INSERT ...`, `'; UPDATE ...`), or a query is followed by a statement that destroys or opens something.

use crate::destructive;
use crate::grammar::{before, name};
use crate::token::{Kind, Token};

/// Words with which, somewhere before the semicolon, a whole statement stands.
const STATEMENTS: &[&str] = &[
    "select", "insert", "update", "delete", "create", "alter", "drop", "truncate", "begin", "set", "use", "with",
    "grant",
];

/// Where the injection that begins with the semicolon at `at` ends.
pub(crate) fn find(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !tokens[at].is_symbol(b';') || at == 0 {
        return None;
    }
    let destroys = destructive::find(tokens, at + 1);
    let end = destroys.or_else(|| statement(tokens, at + 1))?;
    let is_fragment = !before(tokens, at).any(|token| token.is_any(STATEMENTS));
    let is_value = matches!(tokens[at - 1].kind, Kind::Quote | Kind::Number | Kind::Symbol(b')'));
    let is_query = before(tokens, at).any(|token| token.is_any(&["select", "where"]));
    ((is_fragment && is_value) || (destroys.is_some() && is_query)).then_some(end)
}

/// A statement that changes something, as `at` the position behind what identifies it.
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
