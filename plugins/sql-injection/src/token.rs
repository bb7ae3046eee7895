//! The plain reading of a text as SQL tokens.
//!
//! SQL is read as a server reads it: letters' case and the kind of white space do not matter, and a comment is white
//! space. An attacker may also *hide* code from a reader that skips comments (`'/*' UNION SELECT ... '*/'`). Therefore
//! a text with comment marks is read twice, once with comments as white space and once with their contents in view.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or name.
    Word,
    Number,
    /// One quotation mark, not a whole string: in an injection strings are broken. With the backslashes before it, since
    /// a text may be JSON in JSON.
    Quote,
    /// A run of `=`, `<`, `>`, `!`.
    Compare,
    /// `||`.
    Or,
    /// `&&`.
    And,
    /// The mark that begins a comment; its contents follow as tokens.
    Comment,
    /// Any other character, itself.
    Symbol(u8),
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    /// Nothing stands between it and the token before.
    pub(crate) is_glued: bool,
    /// A comment was skipped directly before it.
    pub(crate) is_after_comment: bool,
    /// The first one on its line.
    pub(crate) is_first_on_line: bool,
}

impl Token<'_> {
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword, in any case.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is one of these keywords, in any case.
    pub(crate) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub(crate) fn is_symbol(&self, symbol: u8) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// Whether it is the same mark or word.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }

    /// Written in capitals, as people write SQL and not prose.
    pub(crate) fn is_shouted(&self) -> bool {
        !self.text.bytes().any(|byte| byte.is_ascii_lowercase())
    }
}

/// How comments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comments {
    /// Marks are tokens, contents are in view.
    Shown,
    /// Closed comments are white space, as for a server.
    Skipped,
}

/// The tokens of a text.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    comments: Comments,
    line_ends: Next,
    comment_ends: Next,
    at: usize,
    last_end: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str, comments: Comments) -> Self {
        Self { text, comments, line_ends: Next::of("\n"), comment_ends: Next::of("*/"), at: 0, last_end: 0 }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        let (mut is_after_comment, mut is_first_on_line) = (false, self.at == 0);
        while self.at < bytes.len() {
            let start = self.at;
            let space = white_space(&bytes[start..]);
            if space > 0 {
                is_first_on_line |= bytes[start] == b'\n';
                self.at += space;
                continue;
            }
            if self.comments == Comments::Skipped
                && let Some(length) = comment(self.text, start, &mut self.line_ends, &mut self.comment_ends)
            {
                is_after_comment = true;
                self.at += length;
                continue;
            }
            let (kind, length) = token(&bytes[start..]);
            let is_glued = self.last_end == start && start > 0;
            self.at += length;
            self.last_end = self.at;
            let text = &self.text[start..self.at];
            return Some(Token { kind, text, start, is_glued, is_after_comment, is_first_on_line });
        }
        None
    }
}

/// White space, and those of its escapes in JSON and program text that the plain reading leaves. Some servers take every
/// control character for a space.
fn white_space(text: &[u8]) -> usize {
    match text {
        [0..=b' ', ..] => 1,
        [b'\\', b'f' | b'v' | b'b', ..] => 2,
        _ => 0,
    }
}

/// Bytes of a closed comment that begins at `at`, or of a mark that the server removes and whose contents it runs.
fn comment(text: &str, at: usize, line_ends: &mut Next, comment_ends: &mut Next) -> Option<usize> {
    match &text.as_bytes()[at..] {
        [b'/', b'*', b'!', rest @ ..] => Some(3 + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()),
        [b'*', b'/', ..] => Some(2),
        [b'/', b'*', ..] => comment_ends.from(text, at + 2).map(|end| end + 2 - at),
        [b'-', b'-', ..] | [b'#', ..] => line_ends.from(text, at).map(|end| end - at),
        _ => None,
    }
}

/// The next occurrence of something, remembered: a text full of comment marks is still read in linear time.
struct Next {
    what: &'static str,
    found: Option<usize>,
    is_searched: bool,
}

impl Next {
    fn of(what: &'static str) -> Self {
        Self { what, found: None, is_searched: false }
    }

    /// The first occurrence at `at` or behind it; `at` never goes back.
    fn from(&mut self, text: &str, at: usize) -> Option<usize> {
        if !self.is_searched || self.found.is_some_and(|found| found < at) {
            self.found = text.as_bytes()[at..]
                .windows(self.what.len())
                .position(|piece| piece == self.what.as_bytes())
                .map(|found| at + found);
            self.is_searched = true;
        }
        self.found
    }
}

/// What `text` begins with, and its bytes. Bytes of other alphabets are parts of words, so no token ends inside one of
/// their characters.
fn token(text: &[u8]) -> (Kind, usize) {
    match text {
        [byte, ..] if is_word(*byte) => (Kind::Word, word(text)),
        [b'0'..=b'9', ..] => (Kind::Number, number(text)),
        [b'\'' | b'"' | b'\\', ..] => quote(text),
        [b'=' | b'<' | b'>' | b'!', ..] => {
            (Kind::Compare, text.iter().take_while(|byte| matches!(byte, b'=' | b'<' | b'>' | b'!')).count())
        }
        [b'|', b'|', ..] => (Kind::Or, 2),
        [b'&', b'&', ..] => (Kind::And, 2),
        [b'-', b'-', ..] | [b'/', b'*', ..] => (Kind::Comment, 2),
        [b'#', ..] => (Kind::Comment, 1),
        [byte, ..] => (Kind::Symbol(*byte), 1),
        [] => (Kind::Symbol(0), 0),
    }
}

fn quote(text: &[u8]) -> (Kind, usize) {
    const REACH: usize = 8;
    let slashes = text.iter().take(REACH).take_while(|byte| **byte == b'\\').count();
    match text.get(slashes) {
        Some(b'\'' | b'"') => (Kind::Quote, slashes + 1),
        _ => (Kind::Symbol(b'\\'), 1),
    }
}

/// Letters of every alphabet, and digits behind them.
fn word(text: &[u8]) -> usize {
    text.iter().take_while(|byte| IN_WORD[usize::from(**byte)]).count()
}

/// The bytes that a word goes on with. A table, because most of every text is words.
const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_word(byte as u8) || (byte as u8).is_ascii_digit();
        byte += 1;
    }
    table
};

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// `1`, `1.5`, `0x61`. A number ends before a letter: servers accept `1UNION`.
fn number(text: &[u8]) -> usize {
    let count = |text: &[u8], belongs: fn(&u8) -> bool| text.iter().take_while(|byte| belongs(byte)).count();
    if let [b'0', b'x' | b'X', rest @ ..] = text {
        return 2 + count(rest, u8::is_ascii_hexdigit);
    }
    let whole = count(text, u8::is_ascii_digit);
    match &text[whole..] {
        [b'.', rest @ ..] => match count(rest, u8::is_ascii_digit) {
            0 => whole,
            digits => whole + 1 + digits,
        },
        _ => whole,
    }
}
