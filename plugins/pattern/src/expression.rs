//! A regular expression, within limits, and where it matches.

use std::ops::Range;

use regex_automata::Input;
use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;
use regex_automata::util::iter::Searcher;
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;
use regex_syntax::{Error, ParserBuilder};

use crate::factor::{Chain, factor};
use crate::reach::Reach;

/// The longest expression, in characters.
pub(crate) const LONGEST_PATTERN: usize = 1_000;

/// Groups, classes and repetitions inside each other.
const DEEPEST: u32 = 50;

/// The largest automaton of one expression, in bytes.
const LARGEST: usize = 4 << 20;

/// What the lazily built automaton of one expression may hold at once, in bytes.
const CACHE: usize = 1 << 20;

/// From this many bytes on it pays to build a faster automaton first.
const LONG: usize = 16 << 10;

/// An expression that is ready to search.
#[derive(Debug)]
pub(crate) struct Expression {
    /// For short searches: what it writes while it searches is little.
    near: Regex,
    /// Where matches may stand around a place inside them.
    pub(crate) reach: Reach,
    /// For long ones its automaton is built when it is needed, which is seldom, and would be large to keep.
    pattern: Box<str>,
}

impl Expression {
    /// The expression, and the rows of characters of which each match contains one. The error says what is wrong with
    /// it, and repeats nothing of it.
    pub(crate) fn new(pattern: &str) -> Result<(Self, Option<Vec<Chain>>), String> {
        let hir = parse(pattern)?;
        let near = build(&hir, limits().which_captures(WhichCaptures::Implicit).hybrid(false))?;
        Ok((Self { near, reach: Reach::of(&hir), pattern: pattern.into() }, factor(&hir)))
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        self.near.memory_usage() + self.pattern.len()
    }

    /// Every match inside one of `ranges`, first to last and without overlap; matches of no characters are left out.
    pub(crate) fn search(&self, text: &str, ranges: &[Range<usize>], mut each: impl FnMut(Range<usize>)) {
        let far = match ranges.iter().any(|range| range.len() >= LONG) {
            true => {
                parse(&self.pattern).and_then(|hir| build(&hir, limits().which_captures(WhichCaptures::Implicit))).ok()
            }
            false => None,
        };
        let regex = far.as_ref().unwrap_or(&self.near);
        let mut cache = regex.create_cache();
        for range in ranges {
            let mut searcher = Searcher::new(Input::new(text).range(range.clone()));
            while let Some(found) = searcher.advance(|input| Ok(regex.search_with(&mut cache, input))) {
                if !found.is_empty() {
                    each(found.range());
                }
            }
        }
    }
}

/// An expression that also tells what its groups matched.
#[derive(Debug)]
pub(crate) struct Grouped {
    regex: Regex,
}

impl Grouped {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let hir = parse(pattern)?;
        Ok(Self { regex: build(&hir, limits().which_captures(WhichCaptures::All))? })
    }

    /// Every match, first to last and without overlap.
    pub(crate) fn search<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Captures> + 'a {
        self.regex.captures_iter(text).filter(|found| found.get_match().is_some_and(|found| !found.is_empty()))
    }
}

/// Reads an expression.
fn parse(pattern: &str) -> Result<Hir, String> {
    if pattern.chars().nth(LONGEST_PATTERN).is_some() {
        return Err(format!("longer than {LONGEST_PATTERN} characters"));
    }
    let hir = ParserBuilder::new().nest_limit(DEEPEST).build().parse(pattern).map_err(|error| match &error {
        Error::Parse(error) => told(error.kind(), error.span()),
        Error::Translate(error) => told(error.kind(), error.span()),
        other => other.to_string(),
    })?;
    if hir.properties().minimum_len() == Some(0) {
        return Err("it matches the empty text, and so every text; ask for one character at least".into());
    }
    Ok(hir)
}

fn told(what: &dyn std::fmt::Display, span: &regex_syntax::ast::Span) -> String {
    let (line, column) = (span.start.line, span.start.column);
    if line > 1 {
        format!("{what}, at line {line}, character {column}")
    } else {
        format!("{what}, at character {column}")
    }
}

fn limits() -> Config {
    Regex::config().nfa_size_limit(Some(LARGEST)).hybrid_cache_capacity(CACHE).dfa(false).onepass(false)
}

fn build(hir: &Hir, config: Config) -> Result<Regex, String> {
    Regex::builder().syntax(syntax::Config::new()).configure(config).build_from_hir(hir).map_err(|error: BuildError| {
        match error.size_limit() {
            Some(_) => format!(
                "it would take more than {} MiB; repeat less often, or take smaller classes, such as [0-9] or \
                 (?-u:\\w) for \\d or \\w",
                LARGEST >> 20
            ),
            None => error.to_string(),
        }
    })
}
