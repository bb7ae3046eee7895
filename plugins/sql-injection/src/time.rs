//! Delays.
//!
//! `sleep(5)` alone is a line of almost every programming language. It is an injection as part of a condition or of a
//! query's columns.

use crate::grammar::before;
use crate::token::{Kind, Token};

/// Where the delay at `at` ends.
pub(crate) fn find(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let word = &tokens[at];
    let next = tokens.get(at + 1)?;
    if word.is("waitfor") {
        let is_delay = next.is_any(&["delay", "time"]);
        return tokens.get(at + 2).filter(|token| is_delay && token.kind == Kind::Quote).map(|_| at + 2);
    }
    let is_call = next.is_symbol(b'(') && tokens.get(at + 2).is_some_and(|token| !token.is_symbol(b')'));
    let is_own = word.is_any(&["pg_sleep", "benchmark", "randomblob"]) || is_package(tokens, at);
    (is_call && (is_own || word.is("sleep")) && is_in_query(tokens, at)).then_some(at + 2)
}

/// `DBMS_LOCK.SLEEP`, `DBMS_PIPE.RECEIVE_MESSAGE`.
fn is_package(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2
        && tokens[at].is_any(&["sleep", "receive_message"])
        && tokens[at - 2].is_any(&["dbms_lock", "dbms_pipe", "dbms_session"])
}

fn is_in_query(tokens: &[Token<'_>], at: usize) -> bool {
    let start = if is_package(tokens, at) { at - 2 } else { at };
    let mut outside = start;
    while outside > 0 && tokens[outside - 1].is_symbol(b'(') {
        outside -= 1;
    }
    let Some(before_call) = outside.checked_sub(1) else { return false };
    let token = &tokens[before_call];
    let is_joint = token.is_any(&["and", "or", "xor", "rlike", "regexp"]) || matches!(token.kind, Kind::And | Kind::Or);
    if is_joint {
        // "poll and sleep(5)" is a sentence; "1 and sleep(5)" is not.
        return before_call
            .checked_sub(1)
            .is_none_or(|value| matches!(tokens[value].kind, Kind::Quote | Kind::Number | Kind::Symbol(b')')))
            || before(tokens, before_call).any(|token| token.is("where"));
    }
    // Programs and sentences have a `sleep` too, but none of the other names.
    let is_plain = tokens[start].is("sleep");
    let is_behind = |words: &[&str]| before(tokens, outside).any(|token| token.is_any(words));
    let is_case = || is_behind(&["case"]) && is_behind(&["when"]);
    let is_clause = if token.is_any(&["then", "else", "when"]) {
        !is_plain || is_case()
    } else if token.is("by") {
        !is_plain || before_call.checked_sub(1).is_some_and(|by| tokens[by].is_any(&["order", "group"]))
    } else if token.is("where") {
        !is_plain || is_behind(&["select", "update", "delete"])
    } else {
        token.is_any(&["select", "having"])
    };
    let is_argument = || {
        is_behind(&["select", "iif", "values"])
            || if is_plain { is_case() || is_in_if(tokens, outside) } else { is_behind(&["if", "case"]) }
    };
    is_clause || (matches!(token.kind, Kind::Symbol(b',' | b'+' | b'*' | b'-' | b'|')) && is_argument())
}

/// Whether `at` stands among the arguments of `IF(...)`, and not in the block or a list behind a program's `if (...)`.
fn is_in_if(tokens: &[Token<'_>], at: usize) -> bool {
    let mut closed = 0_usize;
    let mut outwards =
        before(tokens, at).take_while(|token| !matches!(token.kind, Kind::Symbol(b'{' | b'['))).peekable();
    while let Some(token) = outwards.next() {
        match token.kind {
            Kind::Symbol(b')') => closed += 1,
            Kind::Symbol(b'(') if closed > 0 => closed -= 1,
            Kind::Symbol(b'(') if outwards.peek().is_some_and(|word| word.is("if")) => return true,
            _ => {}
        }
    }
    false
}
