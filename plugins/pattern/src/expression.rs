//! A regular expression, within limits, and where it matches.

use std::ops::Range;

use regex_automata::meta::{self, Config, Regex};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::util::iter::Searcher;
use regex_automata::{Input, Match, MatchError};
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

/// What a short search may write, in bytes, and how many bytes of text it may cover. Each of its steps begins anew with
/// all of that.
const NEAR_MEMORY: usize = 128 << 10;
const NEAR: usize = 1 << 10;

/// The most matches of one expression in one text that are told one by one; a verdict holds fewer.
pub(crate) const MOST_MATCHES: usize = 20_000;

/// An expression that is ready to search.
#[derive(Debug)]
pub(crate) struct Expression {
    /// For short searches. It needs no memory of its own in an evaluation, and writes none that others do not.
    near: BoundedBacktracker,
    /// Where matches may stand around a place inside them.
    pub(crate) reach: Reach,
    /// For long searches an automaton is built when one is needed: that is seldom, and it would be large to keep.
    pattern: Box<str>,
}

/// What short searches write into: one for all expressions, since each page that is written costs.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Option<backtrack::Cache>);

impl Expression {
    /// The expression, and the rows of characters of which each match contains one. The error says what is wrong with
    /// it, and repeats nothing of it.
    pub(crate) fn new(pattern: &str) -> Result<(Self, Option<Vec<Chain>>), String> {
        let hir = parse(pattern)?;
        let config = thompson::Config::new().nfa_size_limit(Some(LARGEST)).which_captures(WhichCaptures::Implicit);
        let nfa = NFA::compiler().configure(config).build_from_hir(&hir);
        let nfa = nfa.map_err(|error| too_large(error.size_limit(), &error))?;
        let config = BoundedBacktracker::config().visited_capacity(NEAR_MEMORY);
        let near = BoundedBacktracker::builder().configure(config).build_from_nfa(nfa);
        let near = near.map_err(|error| too_large(error.size_limit(), &error))?;
        Ok((Self { near, reach: Reach::of(&hir), pattern: pattern.into() }, factor(&hir)))
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        self.near.get_nfa().memory_usage() + self.pattern.len()
    }

    /// Tells every match inside one of `ranges`, first to last and without overlap; matches of no characters are left
    /// out. It goes on as long as it is told to.
    pub(crate) fn search(
        &self,
        scratch: &mut Scratch,
        text: &str,
        ranges: &[Range<usize>],
        mut each: impl FnMut(Range<usize>) -> bool,
    ) -> Result<(), String> {
        let cache = scratch.0.get_or_insert_with(|| self.near.create_cache());
        cache.reset(&self.near);
        let near = NEAR.min(self.near.max_haystack_len());
        let mut far: Option<Far> = None;
        for range in ranges {
            let mut searcher = Searcher::new(Input::new(text).range(range.clone()));
            loop {
                let found = if range.len() <= near {
                    searcher.advance(|input| self.search_near(cache, input))
                } else {
                    let far = match &mut far {
                        Some(far) => far,
                        none => none.insert(Far::new(&self.pattern)?),
                    };
                    searcher.advance(|input| Ok(far.regex.search_with(&mut far.cache, input)))
                };
                match found {
                    None => break,
                    Some(found) if found.is_empty() => {}
                    Some(found) if each(found.range()) => {}
                    Some(_) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    fn search_near(&self, cache: &mut backtrack::Cache, input: &Input<'_>) -> Result<Option<Match>, MatchError> {
        let mut slots = [None; 2];
        let pattern = self.near.try_search_slots(cache, input, &mut slots)?;
        Ok(match (pattern, slots) {
            (Some(pattern), [Some(start), Some(end)]) => Some(Match::new(pattern, start.get()..end.get())),
            _ => None,
        })
    }
}

/// For long searches: an automaton that is built while it searches, where the expression allows it.
struct Far {
    regex: Regex,
    cache: meta::Cache,
}

impl Far {
    fn new(pattern: &str) -> Result<Self, String> {
        let hir = parse(pattern)?;
        let config = limits().which_captures(WhichCaptures::Implicit);
        // Reading backwards, as that automaton does too, may take more than is allowed.
        let regex = build(&hir, config.clone()).or_else(|_| build(&hir, config.hybrid(false)))?;
        Ok(Self { cache: regex.create_cache(), regex })
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
    // A word's boundary is meant, and no text has a backspace.
    if pattern.contains('\u{8}') {
        return Err(
            r"it holds a backspace: in double quotes `\b` is one; write the expression in single quotes, or `\\b`"
                .into(),
        );
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
    Regex::builder().configure(config).build_from_hir(hir).map_err(|error| too_large(error.size_limit(), &error))
}

fn too_large(limit: Option<usize>, error: &dyn std::fmt::Display) -> String {
    match limit {
        Some(_) => format!(
            "it would take more than {} MiB; repeat less often, or take smaller classes, such as [0-9] or (?-u:\\w) for \
             \\d or \\w",
            LARGEST >> 20
        ),
        None => error.to_string(),
    }
}
