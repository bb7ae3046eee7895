//! Small pieces of SQL that several classes look for. Each takes the tokens and a position, and answers with the
//! position behind the piece.

use crate::sentence;
use crate::token::{Kind, Token};

/// Words that stand where a name would, when the text is prose about SQL and not SQL.
const PROSE: &[&str] = &[
    "a",
    "an",
    "the",
    "this",
    "that",
    "these",
    "those",
    "my",
    "your",
    "our",
    "his",
    "her",
    "its",
    "their",
    "all",
    "any",
    "some",
    "each",
    "every",
    "both",
    "of",
    "to",
    "in",
    "on",
    "at",
    "for",
    "from",
    "with",
    "by",
    "and",
    "or",
    "is",
    "are",
    "was",
    "do",
    "does",
    "did",
    "mean",
    "means",
    "work",
    "works",
    "statement",
    "statements",
    "command",
    "commands",
    "query",
    "queries",
    "keyword",
    "keywords",
    "clause",
    "operator",
    "syntax",
    "vs",
    "versus",
    "it",
    "me",
    "you",
    "we",
    "us",
    "them",
    "not",
    "but",
    "how",
    "what",
    "when",
    "why",
    "then",
    "as",
    "can",
    "should",
    "will",
    "select",
    "where",
    "set",
    "values",
    "into",
    "if",
    "one",
    "two",
    "so",
    "because",
    "privileges",
    "permission",
];

/// Words around a piece of SQL that ask about it.
pub(crate) const ASKING: &[&str] = &["do", "does", "mean", "means", "work", "works", "vs", "versus", "is", "differ"];

/// A table's or column's name, quoted or qualified as it may be.
pub(crate) fn name(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let is_mark =
        |token: &Token<'_>| token.kind == Kind::Quote || matches!(token.kind, Kind::Symbol(b'`' | b'[' | b']'));
    let mut next = at;
    loop {
        let quoted = tokens.get(next).is_some_and(is_mark);
        next += usize::from(quoted);
        let word = tokens.get(next).filter(|token| token.kind == Kind::Word)?;
        // In "what does `DROP TABLE` do?" the mark is the closing one.
        let is_prose = if quoted { !word.is_glued } else { word.is_any(PROSE) };
        if is_prose {
            return None;
        }
        next += 1;
        next += usize::from(quoted && tokens.get(next).is_some_and(is_mark));
        let dotted = tokens.get(next).is_some_and(|token| token.is_symbol(b'.') && token.is_glued)
            && tokens.get(next + 1).is_some_and(|token| token.is_glued && token.kind != Kind::Quote);
        if !dotted {
            return Some(next);
        }
        next += 1;
    }
}

/// Position behind any further names: `, orders, items`.
pub(crate) fn more_names(tokens: &[Token<'_>], mut at: usize) -> usize {
    const REACH: usize = 8;
    for _ in 0..REACH {
        let comma = tokens.get(at).filter(|token| token.is_symbol(b','));
        let Some(next) = comma.and_then(|_| name(tokens, at + 1)) else { break };
        at = next;
    }
    at
}

/// Whether the statement from `first` to before `at` is meant as one. In capitals it is unless somebody asks about it.
/// In lower case it may be a sentence, and has to be set apart.
pub(crate) fn is_command(tokens: &[Token<'_>], first: usize, at: usize) -> bool {
    if tokens[first].is_shouted() {
        return tokens.get(at).is_none_or(|next| next.is_first_on_line || !next.is_any(ASKING));
    }
    is_set_apart(tokens, first, at)
}

/// Whether the statement from `first` to before `at` begins as one does, and is closed.
pub(crate) fn is_set_apart(tokens: &[Token<'_>], first: usize, at: usize) -> bool {
    let before = first.checked_sub(1).map(|before| &tokens[before]);
    let is_behind = before.is_some_and(|before| matches!(before.kind, Kind::Quote | Kind::Number | Kind::Symbol(b';')));
    if !is_behind && !tokens[first].is_first_on_line {
        return false;
    }
    let Some(next) = tokens.get(at) else { return true };
    // "delete from iCloud -- not from disk", "delete from Anna's list"
    let goes_on = tokens.get(at + 1).is_some_and(|word| word.kind == Kind::Word && !word.is_first_on_line);
    match next.kind {
        Kind::Symbol(b';') => true,
        Kind::Comment => is_behind || !goes_on,
        Kind::Quote if before.is_some_and(|before| before.is_same(next)) => !goes_on && is_whole(tokens, first, at),
        Kind::Quote => !goes_on,
        _ => false,
    }
}

/// Whether the statement between two marks is meant as one: in capitals, or as the value of what is called SQL, such as
/// `"sql": "..."` and `execute('...')`. "Delete from history" is a button's label, `"mode": "TRUNCATE MIDDLE"` a setting.
fn is_whole(tokens: &[Token<'_>], first: usize, at: usize) -> bool {
    let (mark, verb) = (first - 1, &tokens[first]);
    let is_line = tokens[mark].is_first_on_line && tokens.get(at + 1).is_none_or(|next| next.is_first_on_line);
    let gives = |before: &Token<'_>| matches!(before.kind, Kind::Compare | Kind::Symbol(b':' | b'(' | b'[' | b','));
    let is_value = is_line || mark.checked_sub(1).is_some_and(|before| gives(&tokens[before]));
    let called = if is_value { called(tokens, mark) } else { Called::Other };
    if verb.is_shouted() {
        let is_bare = verb.is("truncate") && !tokens[first + 1].is_any(&["table", "database"]);
        return if is_value { !is_bare || called != Called::Other } else { !sentence::goes_on(&tokens[at - 1]) };
    }
    // `"query": "drop table lamp"` looks for a lamp.
    let is_no_search =
        || verb.is_any(&["alter", "truncate"]) || tokens[first..at].iter().any(|it| it.is_any(&["exists", "cascade"]));
    let is_sql = match called {
        Called::Sql => true,
        Called::Query => is_no_search(),
        Called::Other => false,
    };
    is_sql && verb.text.starts_with(char::is_lowercase)
}

/// What the name says of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Called {
    /// That it is SQL.
    Sql,
    /// That it is asked or run, in whatever language.
    Query,
    Other,
}

/// What the name says that is given what the mark at `at` opens. What stands before a comma is no name.
fn called(tokens: &[Token<'_>], at: usize) -> Called {
    let gives = |it: &Token<'_>| matches!(it.kind, Kind::Compare | Kind::Quote | Kind::Symbol(b':' | b'(' | b'['));
    let Some(marks) = tokens[..at].iter().rev().take(4).position(|it| !gives(it)) else { return Called::Other };
    let (name, next) = (&tokens[at - marks - 1], &tokens[at - marks]);
    // `db.query("...")` is called, and no search.
    let is_function = next.is_symbol(b'(') && next.is_glued;
    let may_search = name.is_any(&["query", "statement", "prepare", "raw"]);
    if name.is_any(&["stmt", "execute", "exec"]) || names_sql(name.text) || (may_search && is_function) {
        Called::Sql
    } else if may_search {
        Called::Query
    } else {
        Called::Other
    }
}

/// Whether the mark at `at` opens a value whose name says that it is SQL.
pub(crate) fn is_called_sql(tokens: &[Token<'_>], at: usize) -> bool {
    called(tokens, at) == Called::Sql
}

/// Whether `sql` is a part of the name, as in `sql_query`, `sqlQuery` and `rawSQL`. `mysql` and `sqlite` are other words.
fn names_sql(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.windows(3).enumerate().any(|(at, part)| {
        let begins = at.checked_sub(1).map(|before| bytes[before]).is_none_or(|before| {
            !before.is_ascii_alphabetic() || (before.is_ascii_lowercase() && part[0].is_ascii_uppercase())
        });
        let ends = bytes.get(at + 3).is_none_or(|next| !next.is_ascii_lowercase());
        part.eq_ignore_ascii_case(b"sql") && begins && ends
    })
}

/// The tokens of the statement around `at` that come before it, nearest first.
pub(crate) fn before<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> impl Iterator<Item = &'t Token<'a>> {
    const REACH: usize = 64;
    tokens[..at].iter().rev().take(REACH).take_while(|token| !token.is_symbol(b';'))
}

/// The tokens of the statement that comes from `at` on.
pub(crate) fn after<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> impl Iterator<Item = &'t Token<'a>> {
    const REACH: usize = 64;
    tokens[at.min(tokens.len())..].iter().take(REACH).take_while(|token| !token.is_symbol(b';'))
}

/// Whether a closing bracket at `at` closes none of its statement, as in `x'); DROP ...`. Rows and columns are long.
pub(crate) fn is_unopened(tokens: &[Token<'_>], at: usize) -> bool {
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

/// Whether the value at `at` ends in a bracket that it does not open.
pub(crate) fn closes_outer(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(end) = sum(tokens, at) else { return false };
    let (mut open, mut string) = (0_usize, None);
    for token in &tokens[at..end] {
        match (token.kind, string) {
            (Kind::Quote, None) => string = Some(token.text),
            (Kind::Quote, Some(mark)) if mark == token.text => string = None,
            (Kind::Symbol(b'('), None) => open += 1,
            (Kind::Symbol(b')'), None) if open == 0 => return true,
            (Kind::Symbol(b')'), None) => open -= 1,
            _ => {}
        }
    }
    false
}

/// Position behind any opening brackets.
pub(crate) fn skip_brackets(tokens: &[Token<'_>], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.is_symbol(b'(')) {
        at += 1;
    }
    at
}

/// A value: a number, `true`, `null`, or a string, whose last quotation mark the attacked query may bring.
pub(crate) fn literal(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    const REACH: usize = 8;
    let first = tokens.get(at)?;
    let behind = &tokens[at + 1..];
    match first.kind {
        Kind::Number => Some(at + 1),
        Kind::Word if first.is_any(&["true", "false", "null"]) => Some(at + 1),
        Kind::Quote => {
            let inside = behind.iter().take(REACH).take_while(|token| token.kind != Kind::Compare);
            let closed = inside.clone().position(|token| token.is_same(first)).map(|length| at + 1 + length + 1);
            closed.or_else(|| match behind.first() {
                Some(next) => matches!(next.kind, Kind::Word | Kind::Number).then_some(at + 2),
                None => Some(at + 1),
            })
        }
        _ => None,
    }
}

/// A condition of values alone, the same for every row: `1=1`, `'a' LIKE 'a'`, `2+1=3`, `1 BETWEEN 0 AND 2`.
pub(crate) fn constant(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let operator = sum(tokens, at)?;
    let word = tokens.get(operator)?;
    let right = operator + 1;
    // `"id" = 5` compares a column, `"a" = "a"` is an attack on a string in such marks.
    let is_double =
        |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Quote && token.text.ends_with('"'));
    let left = skip_brackets(tokens, at);
    if is_double(left) && tokens.get(left + 1)?.kind == Kind::Word && !is_double(right) {
        return None;
    }
    if word.is("between") {
        let and = sum(tokens, right).filter(|and| tokens.get(*and).is_some_and(|token| token.is("and")))?;
        return sum(tokens, and + 1);
    }
    let is_list = word.is("in") && tokens.get(right)?.is_symbol(b'(');
    let compares = word.kind == Kind::Compare || word.is_any(&["like", "rlike", "regexp"]) || is_list;
    sum(tokens, right).filter(|_| compares)
}

/// A value, in brackets and with others reckoned into it: `-1`, `(1)`, `2+1`. The brackets need not match: an attacked
/// query brings some.
fn sum(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    const REACH: usize = 8;
    let skip = |mut at: usize, symbols: &[u8]| {
        while matches!(tokens.get(at), Some(Token { kind: Kind::Symbol(symbol), .. }) if symbols.contains(symbol)) {
            at += 1;
        }
        at
    };
    let value = |at: usize| literal(tokens, skip(at, b"(-+~")).map(|end| skip(end, b")"));
    let mut end = value(at)?;
    for _ in 0..REACH {
        let operand = skip(end, b"+-*/%");
        let Some(next) = value(operand).filter(|_| operand > end) else { break };
        end = next;
    }
    Some(end)
}
