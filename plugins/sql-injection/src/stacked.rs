//! A second statement behind a semicolon.
//!
//! A script of whole statements is no injection. It is one when what stands before the semicolon is the rest of a
//! value (`1; INSERT ...`, `'; UPDATE ...`), or a query is followed by a statement that destroys or opens something.

use crate::grammar::{after, before, is_command, is_unopened, more_names, name};
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
    let is_injected = is_fragment && is_value && (is_query || !is_program(tokens, at));
    (is_injected || (destroys.is_some() && is_query)).then_some(end)
}

/// `total := 0;` is a line of a procedure.
fn is_assigned(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2 && tokens[at - 1].text == "=" && tokens[at - 1].is_glued && tokens[at - 2].is_symbol(b':')
}

/// `const cmd = "ls";` and `exec(cmd)`: a program that calls a function of its own. `id=1;exec(...)` is a form's field.
fn is_program(tokens: &[Token<'_>], at: usize) -> bool {
    const REACH: usize = 64;
    let [call, bracket, ..] = &tokens[at + 1..] else { return false };
    if !call.is_any(&["exec", "execute"]) || call.is_shouted() || !bracket.is_symbol(b'(') {
        return false;
    }
    let mut places = (at.saturating_sub(REACH)..at).rev().take_while(|place| !tokens[*place].is_symbol(b';'));
    let Some(line) = places.find(|place| tokens[*place].is_first_on_line) else { return false };
    let is_name = |token: &&Token<'_>| matches!(token.kind, Kind::Word | Kind::Symbol(b'.' | b':' | b'*'));
    let length = tokens[line..at].iter().take_while(is_name).count();
    let equals = &tokens[line + length];
    let is_set_apart = length > 1 || !equals.is_glued || call.is_first_on_line;
    length > 0 && equals.kind == Kind::Compare && equals.text == "=" && is_set_apart
}

/// Whether the statement goes on at `at`, behind its object's name, as SQL and not as a sentence.
fn goes_on(tokens: &[Token<'_>], at: usize) -> bool {
    const WORDS: &[&str] =
        &["as", "identified", "with", "on", "add", "drop", "rename", "modify", "returns", "superuser", "cascade"];
    // `drop table users, orders`
    let at = more_names(tokens, at);
    let is_quote = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Quote);
    tokens.get(at).is_none_or(|next| match next.kind {
        Kind::Word => next.is_any(WORDS) || (next.is("password") && is_quote(at + 1)),
        kind => matches!(kind, Kind::Quote | Kind::Comment | Kind::Symbol(b'(' | b')' | b';' | b'@')),
    })
}

/// A statement that reads, changes or gives something, as `at` the position behind what identifies it.
fn statement(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let (first, second) = (tokens.get(at)?, tokens.get(at + 1)?);
    let object = &["table", "user", "login", "role", "database", "view", "function", "procedure", "trigger", "index"];
    if (first.is("insert") && second.is("into")) || (first.is("delete") && second.is("from")) {
        return name(tokens, at + 2);
    }
    if first.is_any(&["alter", "create", "drop"]) && second.is_any(object) {
        // "Python 3; create function names for the file"
        return name(tokens, at + 2).filter(|end| first.is_shouted() || goes_on(tokens, *end));
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
