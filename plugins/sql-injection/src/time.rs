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
    let is_joint = token.is_any(&["and", "or", "xor"]) || matches!(token.kind, Kind::And | Kind::Or);
    if is_joint {
        // "poll and sleep(5)" is a sentence; "1 and sleep(5)" is not.
        return before_call
            .checked_sub(1)
            .is_none_or(|value| matches!(tokens[value].kind, Kind::Quote | Kind::Number | Kind::Symbol(b')')))
            || before(tokens, before_call).any(|token| token.is("where"));
    }
    let is_clause = token.is_any(&["select", "where", "having", "then", "else", "when", "by"]);
    let is_argument = matches!(token.kind, Kind::Symbol(b',' | b'+' | b'*' | b'-' | b'|'))
        && before(tokens, outside).any(|token| token.is_any(&["select", "if", "iif", "values", "case"]));
    is_clause || is_argument
}
