//! Whether a refusal of a piece of a stream counts already. What stands at the end of a text that goes on may be the
//! beginning of something else: `cat` of `category`, and an end that is none.

use super::held::Held;
use crate::policy::verdict::Verdict;

/// Whether a refusal waits for more of the text: something that was found ends where a text that goes on ends, and the
/// client has nothing of what was found. What was found before in text that went out tells nothing new; a finding without
/// a place, or in text of which the client has the beginning, lets nothing wait. `shown` says which parts of the stream
/// stand where in the piece.
///
/// Whoever lets it wait passes on nothing of the piece. There is an end to that: parts end, and once something
/// `has_waited` for it, no more than some windows wait. Until then they wait for something else: a call, until the name of
/// the one before it is judged. Beside a part that is over nothing waits: that one has to go on whole, behind it comes the
/// end of its choice. Not so a call that says nothing, before its choice `has_ended`: its name waits as well.
pub(super) fn waits(
    verdict: &Verdict,
    shown: &[(usize, (u32, u32))],
    held: &[Held],
    window: usize,
    has_waited: bool,
    has_ended: impl Fn(usize) -> bool,
) -> bool {
    let is_too_much = || Held::is_too_much(held.iter().map(Held::waiting).sum(), window);
    if !verdict.action.refuses() || has_waited && is_too_much() {
        return false;
    }
    let must_go_on = |part, held: &Held| held.is_over() && (held.waiting() > 0 || has_ended(part));
    if shown.iter().any(|(part, _)| held.get(*part).is_some_and(|held| must_go_on(*part, held))) {
        return false;
    }
    let mut grows = false;
    for finding in &verdict.findings {
        let Some(place) = finding.place else { return false };
        let part = shown.iter().find(|(_, at)| *at == (place.message, place.part));
        let Some(held) = part.and_then(|(part, _)| held.get(*part)) else { return false };
        let (start, end, released) = (place.start as usize, place.end as usize, held.behind());
        if end > released && start < released {
            return false;
        }
        grows |= start >= released && held.ends_at(end);
    }
    grows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::verdict::{Action, Finding, Place, Severity};

    const SHOWN: [(usize, (u32, u32)); 1] = [(0, (0, 0))];

    fn finding(start: usize, end: usize) -> Finding {
        let place = Place { message: 0, part: 0, start: start as u32, end: end as u32 };
        Finding { rule: "r".into(), category: "c".into(), severity: Severity::Low, place: Some(place) }
    }

    fn refusal(findings: Vec<Finding>) -> Verdict {
        Verdict { action: Action::Deny, findings, ..Verdict::default() }
    }

    /// Refuses the word `cat`, as a policy would: in the whole text that it is shown, but for what it saw go out.
    fn no_cat(shown: &str, released: usize) -> Verdict {
        let is_letter = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        let found = shown.match_indices("cat").filter(|(at, word)| {
            let (before, after) = (shown[..*at].chars().next_back(), shown[at + word.len()..].chars().next());
            at + word.len() >= released && !is_letter(before) && !is_letter(after)
        });
        let findings: Vec<_> = found.map(|(at, word)| finding(at, at + word.len())).collect();
        if findings.is_empty() { Verdict::default() } else { refusal(findings) }
    }

    /// Whether the text is refused when it arrives in these pieces, and what went out.
    fn stream<'a>(pieces: impl Iterator<Item = &'a str>, window: usize) -> (bool, String) {
        let (mut held, mut out) = (Held::default(), String::new());
        let (mut pieces, mut waited) = (pieces.peekable(), false);
        while let Some(piece) = pieces.next() {
            held.push(piece);
            held.set_over(pieces.peek().is_none());
            if !held.is_due(window) {
                continue;
            }
            let verdict = no_cat(&held.shown().0, held.behind());
            waited = waits(&verdict, &SHOWN, std::slice::from_ref(&held), window, waited, |_| false);
            if waited {
                continue;
            }
            if verdict.action.refuses() {
                return (true, out);
            }
            let boundary = held.boundary([].iter(), window).unwrap();
            out.push_str(&held.release(boundary, [].iter(), window));
        }
        (false, out)
    }

    #[test]
    fn a_text_is_refused_as_when_it_is_whole_however_it_is_cut() {
        for (text, refused) in [
            ("Grüße, every category is fine, and so is a bobcat.", false),
            ("Every category, and then the cat sat on a mat again.", true),
            ("Der cat", true),
            ("cat 😀 and much more than that, really so much more", true),
            ("concatenate the catalogue of categories", false),
        ] {
            let begins =
                no_cat(text, 0).findings.first().and_then(|it| it.place).map_or(text.len(), |it| it.start as usize);
            let ends: Vec<_> = text.char_indices().map(|(index, _)| index).chain([text.len()]).collect();
            for window in [4, 8, 100] {
                let check = |pieces: &[&str]| {
                    let (was_refused, out) = stream(pieces.iter().copied(), window);
                    assert_eq!(was_refused, refused, "{window}: {pieces:?}");
                    assert!(text.starts_with(&out) && (refused || out == text), "{window}: {pieces:?}: {out}");
                    assert!(out.len() <= begins, "{window}: {pieces:?}: {out}");
                };
                for &cut in &ends {
                    for &second in ends.iter().filter(|it| **it >= cut) {
                        check(&[&text[..cut], &text[cut..second], &text[second..]]);
                    }
                }
                let single: Vec<_> = ends.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
                check(&single);
            }
        }
    }

    #[test]
    fn what_need_not_grow_is_refused_at_once() {
        let mut held = Held::default();
        held.push("one two three four");
        let boundary = held.boundary([].iter(), 8).unwrap();
        held.release(boundary, [].iter(), 8);
        assert_eq!((held.shown().0.as_str(), held.behind()), ("two three four", 6));
        let waits = |findings: Vec<Finding>, held: &Held| {
            waits(&refusal(findings), &SHOWN, std::slice::from_ref(held), 8, false, |_| false)
        };
        assert!(waits(vec![finding(10, 14)], &held));
        assert!(waits(vec![finding(0, 3), finding(6, 9), finding(10, 14)], &held), "one of them may grow");
        let placeless = Finding { place: None, ..finding(0, 0) };
        let elsewhere = Finding { place: Some(Place { message: 1, part: 0, start: 10, end: 14 }), ..finding(0, 0) };
        for findings in [
            vec![],
            vec![finding(6, 9)],
            vec![finding(0, 3)],
            vec![finding(4, 14)],
            vec![finding(10, 14), finding(4, 9)],
            vec![finding(10, 14), placeless],
            vec![finding(10, 14), elsewhere],
        ] {
            assert!(!waits(findings.clone(), &held), "{findings:?}");
        }
        held.set_over(true);
        assert!(!waits(vec![finding(10, 14)], &held), "nothing follows");
    }

    #[test]
    fn nothing_waits_beside_a_part_that_is_over_but_for_a_name() {
        let shown = [(0, (0, 0)), (1, (1, 0))];
        for (beside, is_over, has_ended, expected) in [
            ("a cat", false, false, true),
            ("a cat", true, false, false),
            ("", true, false, true),
            ("", true, true, false),
        ] {
            let mut held = [Held::default(), Held::default()];
            held[0].push("a cat");
            held[1].push(beside);
            held[1].set_over(is_over);
            let waits = waits(&refusal(vec![finding(2, 5)]), &shown, &held, 8, false, |part| has_ended && part == 1);
            assert_eq!(waits, expected, "{beside:?}, over: {is_over}, its choice: {has_ended}");
        }
    }

    #[test]
    fn a_refusal_that_goes_on_growing_counts_when_too_much_waits() {
        let mut held = Held::default();
        let grows = |held: &Held, has_waited: bool| {
            let verdict = refusal(vec![finding(0, held.waiting())]);
            waits(&verdict, &SHOWN, std::slice::from_ref(held), 8, has_waited, |_| false)
        };
        held.push(&"a".repeat(4_000));
        assert!(grows(&held, true));
        held.push(&"a".repeat(1_000));
        assert!(!grows(&held, true));
        assert!(grows(&held, false), "so much came at once, or waited for something else");
    }
}
