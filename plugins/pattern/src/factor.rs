//! What every match of an expression must contain: one of some short rows of characters.
//!
//! Looking for these rows is far cheaper than trying each expression, and a text without them needs no further look.
//! The answer may be too generous (a row that is no match) and is never too strict.

use regex_syntax::hir::{Hir, HirKind, Repetition};

use crate::class::Class;

/// Characters in a row.
pub(crate) type Chain = Vec<Class>;

/// The most rows that are multiplied out: `(a|b)(c|d)` makes four.
const MOST_CHAINS: usize = 128;

/// The most rows of one expression: an alternation of words has one for each.
const MOST_IN_ALL: usize = 2_048;

/// A row that is this long is not made longer by what follows.
const LONG_ENOUGH: usize = 24;

/// The rows of which each match contains at least one. `None` if there are none to name, or too many.
pub(crate) fn factor(hir: &Hir) -> Option<Vec<Chain>> {
    let known = look_at(hir);
    [known.whole, known.part].into_iter().flatten().find(|chains| chains.iter().all(|chain| weight(chain) > 0))
}

/// What is known about the matches of a piece of an expression.
#[derive(Default)]
struct Known {
    /// Each is one of these.
    whole: Option<Vec<Chain>>,
    /// Each begins with one of these, and ends with one of these.
    edges: Option<Vec<Chain>>,
    /// Each contains one of these.
    part: Option<Vec<Chain>>,
}

fn look_at(hir: &Hir) -> Known {
    let whole = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => match str::from_utf8(&literal.0) {
            Ok(text) => vec![text.chars().map(Class::of).collect()],
            Err(_) => return Known::default(),
        },
        HirKind::Class(class) => match Class::of_class(class) {
            class if class.is_empty() => Vec::new(),
            class => vec![vec![class]],
        },
        HirKind::Capture(capture) => return look_at(&capture.sub),
        HirKind::Repetition(repetition) => return repeated(repetition),
        HirKind::Concat(pieces) => return in_a_row(pieces),
        HirKind::Alternation(branches) => return one_of(branches),
    };
    Known { whole: Some(whole), ..Known::default() }
}

fn repeated(repetition: &Repetition) -> Known {
    let Known { whole, part, .. } = look_at(&repetition.sub);
    match (repetition.min, repetition.max) {
        (0, Some(1)) => {
            let whole = whole.map(|mut chains| {
                chains.insert(0, Vec::new());
                chains
            });
            Known { whole, ..Known::default() }
        }
        (0, _) => Known::default(),
        (least, most) => {
            let Some(once) = whole else { return Known { part, ..Known::default() } };
            let (mut chains, mut times) = (once.clone(), 1);
            while times < least
                && let Some(longer) = product(&chains, &once)
            {
                (chains, times) = (longer, times + 1);
            }
            if most == Some(times) {
                Known { whole: Some(chains), ..Known::default() }
            } else {
                Known { part: Some(chains.clone()), edges: Some(chains), whole: None }
            }
        }
    }
}

fn in_a_row(pieces: &[Hir]) -> Known {
    let nothing = || vec![Vec::new()];
    // What stands in a row since the last gap, and the best of what stood before.
    let (mut run, mut best, mut has_gap) = (nothing(), None, false);
    for piece in pieces {
        let Known { whole, edges, part } = look_at(piece);
        if let Some(longer) = whole.as_ref().and_then(|whole| product(&run, whole)) {
            run = longer;
            continue;
        }
        has_gap = true;
        let up_to_gap = edges.as_ref().and_then(|edges| product(&run, edges)).unwrap_or(run);
        for candidate in [Some(up_to_gap), part].into_iter().flatten() {
            keep_better(&mut best, candidate);
        }
        run = whole.or(edges).unwrap_or_else(nothing);
    }
    if !has_gap {
        return Known { whole: Some(run), ..Known::default() };
    }
    keep_better(&mut best, run);
    Known { part: best, ..Known::default() }
}

fn one_of(branches: &[Hir]) -> Known {
    let (mut all, mut is_whole) = (Vec::new(), true);
    for branch in branches {
        let Known { whole, part, .. } = look_at(branch);
        is_whole &= whole.is_some();
        let Some(chains) = whole.or(part) else { return Known::default() };
        all.extend(chains);
        if all.len() > MOST_IN_ALL {
            return Known::default();
        }
    }
    if is_whole {
        Known { whole: Some(all), ..Known::default() }
    } else {
        Known { part: Some(all), ..Known::default() }
    }
}

/// Each of `first` followed by each of `then`; `None` if that would be too many, or too long.
fn product(first: &[Chain], then: &[Chain]) -> Option<Vec<Chain>> {
    let is_extended = then.iter().any(|chain| !chain.is_empty());
    let is_too_long = is_extended && first.iter().any(|chain| chain.len() >= LONG_ENOUGH);
    if first.len() * then.len() > MOST_CHAINS || is_too_long {
        return None;
    }
    Some(first.iter().flat_map(|head| then.iter().map(move |tail| [head.as_slice(), tail].concat())).collect())
}

fn keep_better(best: &mut Option<Vec<Chain>>, candidate: Vec<Chain>) {
    let score = |chains: &[Chain]| {
        let least = chains.iter().map(weight).min().unwrap_or(u32::MAX);
        // Twice as many rows are twice as likely to stand somewhere.
        least.saturating_sub(chains.len().max(1).ilog2())
    };
    if score(&candidate) > best.as_deref().map_or(0, score) {
        *best = Some(candidate);
    }
}

/// How rarely a row stands in a text that has no match.
fn weight(chain: &Chain) -> u32 {
    chain.iter().map(Class::weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factor as a text: one letter for the class of each spelling, `?` for larger classes.
    fn shown(pattern: &str) -> Option<Vec<String>> {
        let spell = |class: &Class| match class.spellings(2).as_deref() {
            Some([character, ..]) => *character,
            _ => '?',
        };
        let chains = factor(&regex_syntax::parse(pattern).unwrap())?;
        Some(chains.iter().map(|chain| chain.iter().map(spell).collect()).collect())
    }

    #[test]
    fn the_rarest_row_is_chosen() {
        for (pattern, expected) in [
            ("secret", vec!["secret"]),
            (r"(?i)\bproject\s+x\b", vec!["project?"]),
            (r"\d{3}-\d{2}-\d{4}", vec!["???-??-????"]),
            (r"[\w.+-]+@[\w-]+\.example\.com", vec!["?.example.com"]),
            (r"sk-[A-Za-z0-9]{20,}", vec!["sk-????????????????????"]),
            (r".*password.*", vec!["password"]),
            ("colou?r", vec!["color", "colour"]),
            ("(union|insert) select", vec!["union select", "insert select"]),
            (r"(a|b)\w+(union|insert)", vec!["?union", "?insert"]),
            (r"(?:foo|\w+bar)", vec!["foo", "?bar"]),
            (r"\d{13,19}", vec!["?????????????"]),
            (r"(?s)a.{0,20}nuclear", vec!["nuclear"]),
            (r"(ab){2,}", vec!["abab"]),
            (r"x+y+zz", vec!["yzz"]),
        ] {
            assert_eq!(shown(pattern), Some(expected.into_iter().map(String::from).collect()), "{pattern}");
        }
    }

    #[test]
    fn an_expression_may_have_none() {
        for pattern in [r"\w*", ".", "(?s).+", "a?", "(a|)", r"foo|.", "(foo)*"] {
            assert_eq!(shown(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn large_expressions_stay_small() {
        for pattern in ["(a|b|c|d){50}x", "(?i)[a-z]{1000}", &vec!["word"; 500].join("|"), "((a{10}){10}){10}"] {
            let chains = factor(&regex_syntax::parse(pattern).unwrap()).unwrap();
            assert!(
                chains.len() <= MOST_IN_ALL && chains.iter().all(|chain| chain.len() < 2 * LONG_ENOUGH),
                "{pattern}"
            );
        }
    }
}
