//! Conditions that are always true, or always false.

use crate::grammar::{ASKING, before, closes_outer, constant, is_unopened, literal, name, skip_brackets};
use crate::token::{Kind, Token};

/// Functions with which a condition reads one character of an answer, or makes an error carry it.
const PROBES: &[&str] =
    &["ascii", "substring", "substr", "mid", "ord", "length", "exists", "extractvalue", "updatexml", "convert", "cast"];

/// Where the condition that is joined on with the token at `at` ends.
pub(crate) fn find(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let joint = &tokens[at];
    let is_or = joint.kind == Kind::Or || joint.is_any(&["or", "xor", "having"]);
    if !is_or && joint.kind != Kind::And && !joint.is("and") {
        return None;
    }
    let negated = usize::from(tokens.get(at + 1)?.is("not"));
    let left = skip_brackets(tokens, at + 1 + negated);
    // Two strings that are quoted in JSON within JSON are whole, as in a filter or in code.
    let is_escaped = |at: usize| tokens.get(at).is_some_and(|token| token.text.starts_with('\\'));
    if at > 0 && is_escaped(at - 1) && is_escaped(left) && !breaks_out(tokens, at) {
        return None;
    }
    constant(tokens, at + 1 + negated)
        .filter(|_| is_joined_to_sql(tokens, at, is_or) && !is_operand(tokens, at, at + 1 + negated))
        .or_else(|| same_name(tokens, left).filter(|_| is_after_quote(tokens, at) || is_in_condition(tokens, at)))
        .or_else(|| cut_off(tokens, at, left))
        .or_else(|| always_true(tokens, at, left).filter(|_| is_or && joint.kind != Kind::Or))
        .or_else(|| probe(tokens, at, left))
}

/// A name compared with itself.
fn same_name(tokens: &[Token<'_>], left: usize) -> Option<usize> {
    // Looked at first because it is cheap: a comparison stands close behind even a qualified name.
    tokens[left.min(tokens.len())..].iter().take(8).find(|token| token.kind == Kind::Compare)?;
    let operator = name(tokens, left)?;
    let end = name(tokens, operator + 1)?;
    let words = |from: usize, to: usize| tokens[from..to].iter().map(|token| token.text);
    (tokens[operator].kind == Kind::Compare && words(left, operator).eq(words(operator + 1, end))).then_some(end)
}

/// `' OR 1 --`: a value alone, with the rest cut off.
fn cut_off(tokens: &[Token<'_>], at: usize, left: usize) -> Option<usize> {
    let end = literal(tokens, left)?;
    // `say "Save" or "Submit" -- which?`: whole strings, unless an attacked query brings the first mark.
    let is_joined = breaks_out(tokens, at) || (is_after_quote(tokens, at) && is_in_query(tokens, at));
    // A mark that begins its line is a heading's or a comment's.
    let cuts = |mark: &Token<'_>| mark.kind == Kind::Comment && !mark.is_first_on_line;
    (is_joined && cuts(tokens.get(end)?)).then_some(end)
}

/// `' OR TRUE;`, and `WHERE id = 5 OR TRUE` at the query's end. Not `||`: a shell's `|| true` stands behind anything that
/// may fail.
fn always_true(tokens: &[Token<'_>], at: usize, left: usize) -> Option<usize> {
    if !tokens.get(left)?.is("true") {
        return None;
    }
    let is_bracket = |token: &&Token<'_>| token.is_symbol(b')');
    let value = at - tokens[..at].iter().rev().take_while(is_bracket).count();
    let end = left + 1 + tokens[left + 1..].iter().take_while(is_bracket).count();
    let breaks_out = breaks_out(tokens, value);
    let is_joined = || (breaks_out || is_compared(tokens, value)) && is_in_query(tokens, at);
    ((breaks_out && is_closed(tokens, end)) || (is_end(tokens, end) && is_joined())).then_some(left)
}

/// Whether a condition that ends before `at` is followed by what ends it in SQL alone.
fn is_closed(tokens: &[Token<'_>], at: usize) -> bool {
    let (next, behind) = (tokens.get(at), tokens.get(at + 1));
    next.is_some_and(|next| match next.kind {
        Kind::Symbol(b';') => true,
        Kind::Word if next.is_any(&["order", "group"]) => behind.is_some_and(|word| word.is("by")),
        Kind::Word if next.is("limit") => behind.is_some_and(|limit| limit.kind == Kind::Number),
        // The attacked query brings the rest.
        Kind::Word if next.is_any(&["or", "and"]) => behind.is_some_and(|mark| mark.kind == Kind::Quote),
        _ => false,
    })
}

/// Whether a condition in a query may end before `at`.
fn is_end(tokens: &[Token<'_>], at: usize) -> bool {
    let ends =
        |next: &Token<'_>| matches!(next.kind, Kind::Quote | Kind::Comment) || next.is_any(&["or", "and", "limit"]);
    tokens.get(at).is_none_or(ends) || is_closed(tokens, at)
}

/// Whether the value that ends before `at` is compared with something, as in SQL: code has `==`.
fn is_compared(tokens: &[Token<'_>], at: usize) -> bool {
    const REACH: usize = 8;
    let Some(last) = at.checked_sub(1) else { return false };
    let opens = |token: &Token<'_>| token.is_same(&tokens[last]);
    let first = match tokens[last].kind {
        Kind::Number => Some(last),
        Kind::Quote => tokens[..last].iter().rev().take(REACH).position(opens).map(|inside| last - 1 - inside),
        _ => None,
    };
    let compares = |token: &Token<'_>| (token.kind == Kind::Compare && !token.text.contains("==")) || token.is("like");
    first.and_then(|first| first.checked_sub(1)).is_some_and(|before| compares(&tokens[before]))
}

/// `' AND ASCII(SUBSTRING(...`, `' AND 1=CAST((SELECT ...`: behind a mark that opens no string.
fn probe(tokens: &[Token<'_>], at: usize, left: usize) -> Option<usize> {
    let compare = literal(tokens, left).filter(|end| tokens.get(*end).is_some_and(|token| token.kind == Kind::Compare));
    let left = compare.map_or(left, |compare| skip_brackets(tokens, compare + 1));
    let is_function = tokens.get(left)?.is_any(PROBES) && tokens.get(left + 1)?.is_symbol(b'(');
    let is_subquery = tokens.get(left)?.is("select") && tokens[left - 1].is_symbol(b'(');
    ((is_function || is_subquery) && breaks_out(tokens, at)).then_some(left + 1)
}

/// Whether a quotation mark stands before the joint and closes no string of the text.
fn breaks_out(tokens: &[Token<'_>], at: usize) -> bool {
    is_after_quote(tokens, at) && {
        let quote = &tokens[at - 1];
        let marks = before(tokens, at).zip((0..at).rev()).filter(|(token, _)| token.is_same(quote));
        marks.filter(|(_, place)| !is_apostrophe(tokens, *place)).count() % 2 == 1
    }
}

/// Whether the mark at `at` is the one of `user's` or `don't`.
fn is_apostrophe(tokens: &[Token<'_>], at: usize) -> bool {
    let is_behind_word = at.checked_sub(1).is_some_and(|before| tokens[before].kind == Kind::Word);
    let ends_word = |end: &Token<'_>| end.is_glued && end.is_any(&["s", "t", "d", "m", "re", "ll", "ve"]);
    is_behind_word && tokens[at].is_glued && tokens.get(at + 1).is_some_and(ends_word)
}

/// `(items.length || 0) > 0`: a default value, joined inside a bracket that is compared as a whole. Behind `where` a
/// query may bring the bracket.
fn is_operand(tokens: &[Token<'_>], at: usize, left: usize) -> bool {
    let is_behind_name = at.checked_sub(1).is_some_and(|before| match tokens[before].kind {
        Kind::Word => true,
        // `(map.get(key) || 0) > 0`
        Kind::Symbol(b')') => !is_unopened(tokens, before),
        _ => false,
    });
    is_behind_name && closes_outer(tokens, left) && !is_in_condition(tokens, at) && !is_unopened(tokens, at)
}

fn is_after_quote(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && tokens[at - 1].kind == Kind::Quote
}

fn is_in_query(tokens: &[Token<'_>], at: usize) -> bool {
    is_in_condition(tokens, at) && before(tokens, at).any(|token| token.is_any(&["select", "update", "delete"]))
}

fn is_in_condition(tokens: &[Token<'_>], at: usize) -> bool {
    before(tokens, at).any(|token| token.is_any(&["where", "having"]))
}

/// Whether a value, and not a sentence about numbers, stands before the joint. "1=1 and 2=2" is arithmetic.
fn is_joined_to_sql(tokens: &[Token<'_>], at: usize, is_or: bool) -> bool {
    if is_in_condition(tokens, at) || is_after_quote(tokens, at) {
        return true;
    }
    let Some(before) = at.checked_sub(1).map(|before| &tokens[before]) else { return true };
    match before.kind {
        Kind::Number => at.checked_sub(2).is_none_or(|first| match tokens[first].kind {
            // "Is 5 or 3 > 2?", "the answer 12 or 3 * 4 = 12"
            Kind::Word => {
                let reckons = |token: &Token<'_>| matches!(token.kind, Kind::Symbol(b'+' | b'-' | b'*' | b'/' | b'%'));
                !tokens[first].is_any(ASKING) && !tokens.get(at + 2).is_some_and(reckons)
            }
            Kind::Compare => first.checked_sub(1).is_none_or(|value| tokens[value].kind != Kind::Number),
            _ => true,
        }),
        Kind::Symbol(b')') | Kind::Word | Kind::Comment => is_or,
        _ => false,
    }
}
