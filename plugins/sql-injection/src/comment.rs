//! Comment marks as tools: cutting the rest of a query off, and breaking up keywords.

use crate::token::{Kind, Token};

const KEYWORDS: &[&str] =
    &["union", "select", "insert", "update", "delete", "drop", "truncate", "where", "sleep", "exec"];

/// `admin'--`, `x') #`, `1' ORDER BY 10-- -`: a quotation mark that ends a value, and a comment mark. Where it ends.
pub(crate) fn find_cut(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let quote = &tokens[at];
    let ends_value = at > 0
        && quote.is_glued
        && (matches!(tokens[at - 1].kind, Kind::Word | Kind::Number) || tokens[at - 1].is_symbol(b')'));
    if quote.kind != Kind::Quote || !ends_value {
        return None;
    }
    let mut mark = at + 1;
    while tokens.get(mark).is_some_and(|token| token.is_symbol(b')') || token.is_symbol(b';')) {
        mark += 1;
    }
    if let [by, number, ..] = tokens.get(mark + 1..)?
        && tokens[mark].is_any(&["order", "group"])
        && by.is("by")
        && number.kind == Kind::Number
    {
        mark += 3;
    }
    // A comment on its own line follows values in every configuration file.
    let comment = tokens.get(mark).filter(|token| token.kind == Kind::Comment && !token.is_first_on_line)?;
    // In prose a closing quotation mark may be followed by a dash: "the 'old' -- and slow -- way".
    let is_closing = (0..at)
        .rev()
        .take(64)
        .take_while(|before| !tokens[before + 1].is_first_on_line)
        .any(|before| tokens[before].is_same(quote) && !is_apostrophe(tokens, before));
    let cuts = match behind(tokens, mark) {
        Behind::Nothing => true,
        // He called it "art" --
        // and left.
        Behind::Line => !is_closing,
        Behind::Text => comment.is_glued && !is_closing,
    };
    cuts.then_some(mark)
}

/// What a comment hides.
enum Behind {
    /// Nothing: the text ends, or the attacked query's string.
    Nothing,
    /// The rest of its line, which is empty.
    Line,
    /// Some text.
    Text,
}

/// What stands behind a comment mark. `-- -` and `--+` keep the space that MySQL wants.
fn behind(tokens: &[Token<'_>], mark: usize) -> Behind {
    let is_keeper = |token: &Token<'_>| token.is_symbol(b'-') || token.is_symbol(b'+');
    let next = mark + 1 + usize::from(tokens.get(mark + 1).is_some_and(is_keeper));
    let Some(token) = tokens.get(next) else { return Behind::Nothing };
    if token.is_first_on_line {
        return Behind::Line;
    }
    // The mark in `git log 'main' -- './src'` opens a string.
    let opens = !token.is_glued && tokens.get(next + 1).is_some_and(|inside| inside.is_glued);
    if token.kind == Kind::Quote && !opens { Behind::Nothing } else { Behind::Text }
}

/// The mark in "don't".
fn is_apostrophe(tokens: &[Token<'_>], at: usize) -> bool {
    let is_word = |token: &Token<'_>| token.kind == Kind::Word;
    tokens[at].is_glued
        && tokens[at].text.ends_with('\'')
        && at.checked_sub(1).is_some_and(|before| is_word(&tokens[before]))
        && tokens.get(at + 1).is_some_and(|next| next.is_glued && is_word(next))
}

/// `UN/**/ION`, `/*!50000UNION*/`: seen when comments are skipped. Where it ends.
pub(crate) fn find_broken_keyword(text: &str, tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let token = &tokens[at];
    if !token.is_after_comment || token.kind != Kind::Word {
        return None;
    }
    let gap = &text[at.checked_sub(1).map_or(0, |before| tokens[before].end())..token.start];
    let is_executed = gap.contains("/*!") && token.is_any(KEYWORDS);
    let is_broken = at > 0 && gap.starts_with("/*") && gap.ends_with("*/") && tokens[at - 1].kind == Kind::Word && {
        let halves = [tokens[at - 1].text, token.text].concat();
        KEYWORDS.iter().any(|keyword| halves.eq_ignore_ascii_case(keyword))
    };
    (is_executed || is_broken).then_some(at)
}
