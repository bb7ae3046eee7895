//! A regular expression, within limits, and where it matches.

use std::ops::Range;

use regex_automata::Input;
use regex_automata::meta::{BuildError, Cache, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;
use regex_automata::util::iter::Searcher;
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;
use regex_syntax::{Error, ParserBuilder};

/// The longest expression, in characters.
pub(crate) const LONGEST_PATTERN: usize = 1_000;

/// Groups, classes and repetitions inside each other.
const DEEPEST: u32 = 50;

/// The largest automaton of one expression, in bytes.
const LARGEST: usize = 512 << 10;

/// What the lazily built automaton of one expression may hold at once, in bytes.
const CACHE: usize = 512 << 10;

/// Matches of more bytes than this are looked for in the whole text, and not only around what the sieve found.
const NEAR: usize = 256;

/// An expression that is ready to search.
#[derive(Debug)]
pub(crate) struct Expression {
    regex: Regex,
    longest: Option<usize>,
}

impl Expression {
    pub(crate) fn new(hir: &Hir) -> Result<Self, String> {
        let longest = hir.properties().maximum_len().filter(|longest| *longest <= NEAR);
        // The lazy automaton pays off in long searches, and near a place they are short.
        let config = limits().which_captures(WhichCaptures::Implicit).hybrid(longest.is_none());
        Ok(Self { regex: build(hir, config)?, longest })
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        self.regex.memory_usage()
    }

    /// Where a match may stand that contains what ends at `end`.
    pub(crate) fn around(&self, text: &str, end: usize) -> Range<usize> {
        match self.longest {
            None => 0..text.len(),
            Some(longest) => {
                text.floor_char_boundary(end.saturating_sub(longest))..text.ceil_char_boundary(end + longest)
            }
        }
    }

    /// Every match inside `range`, first to last and without overlap; matches of no characters are left out.
    pub(crate) fn search(
        &self,
        scratch: &mut Scratch,
        text: &str,
        range: Range<usize>,
        mut each: impl FnMut(Range<usize>),
    ) {
        let cache = scratch.cache_for(&self.regex);
        let mut searcher = Searcher::new(Input::new(text).range(range));
        while let Some(found) = searcher.advance(|input| Ok(self.regex.search_with(cache, input))) {
            if !found.is_empty() {
                each(found.range());
            }
        }
    }
}

/// The working memory of searches: one for all expressions of an evaluation, since each page that is written costs.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Option<Cache>);

impl Scratch {
    fn cache_for(&mut self, regex: &Regex) -> &mut Cache {
        match &mut self.0 {
            Some(cache) => {
                cache.reset(regex);
                cache
            }
            empty => empty.insert(regex.create_cache()),
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

/// Reads an expression. The error says what is wrong with it, and repeats nothing of it.
pub(crate) fn parse(pattern: &str) -> Result<Hir, String> {
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
                "it would take more than {} KiB; repeat less often, or take smaller classes, such as [0-9] or \
                 (?-u:\\w) for \\d or \\w",
                LARGEST >> 10
            ),
            None => error.to_string(),
        }
    })
}
