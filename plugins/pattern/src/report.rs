//! From matches to a verdict that the gateway takes: bounded, and without edits that overlap.

use std::cmp::Reverse;
use std::ops::Range;

use octroi_policy::{Action, Finding, Masker, Text, Verdict};

use crate::rule::Rule;
use crate::rules::{Match, Rules};

/// The most findings; what is beyond is counted. Also what they may take in the verdict, in bytes: a manifest's default
/// for the whole is 1 MiB.
const MOST_FINDINGS: usize = 2_000;
const LARGEST_FINDINGS: usize = 256 << 10;

/// The most edits, and what they may take. Beyond that the request is refused: the rest would pass unmasked.
const MOST_EDITS: usize = 10_000;
const LARGEST_EDITS: usize = 640 << 10;

/// What a finding or an edit takes beside its texts.
const OVERHEAD: usize = 80;

/// A verdict in the making.
pub(crate) struct Report<'a> {
    rules: &'a Rules,
    verdict: Verdict,
    /// The rule whose reason counts: of the strongest action, the first of the list.
    refusing: Option<usize>,
    /// A finding of it is there.
    is_named: bool,
    /// Each with its rule.
    found: Vec<(usize, Finding)>,
    findings: Bounded,
    edits: Bounded,
    left_out: usize,
    /// An edit found no room.
    is_cut_off: bool,
}

/// Room in the verdict.
struct Bounded {
    count: usize,
    bytes: usize,
}

impl Bounded {
    /// Whether there was room for one more of this size.
    fn take(&mut self, bytes: usize) -> bool {
        if self.count == 0 || self.bytes < bytes {
            return false;
        }
        self.count -= 1;
        self.bytes -= bytes;
        true
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            verdict: Verdict::allow(),
            refusing: None,
            is_named: false,
            found: Vec::new(),
            findings: Bounded { count: MOST_FINDINGS, bytes: LARGEST_FINDINGS },
            edits: Bounded { count: MOST_EDITS, bytes: LARGEST_EDITS },
            left_out: 0,
            is_cut_off: false,
        }
    }

    /// Adds what was found in one text, by place.
    pub(crate) fn add(&mut self, text: &Text<'_>, matches: &[Match]) {
        let mut masker = text.masker();
        // What is to be masked next; it grows while matches overlap it.
        let mut masked: Option<(Range<usize>, &Rule)> = None;
        for found in matches {
            let rule = self.rules.rule(found.rule);
            // What of a stream is out, and what follows it, was judged in the piece before, with all that stands before it.
            let end = found.range.end;
            if rule.action >= Action::RequireApproval && !text.may_edit(&(end..end)) {
                continue;
            }
            self.judge(found.rule, rule.action);
            self.find(found.rule, |finding| finding.at(text.place(found.range.clone())));
            if rule.action != Action::Redact {
                continue;
            }
            match &mut masked {
                Some((range, _)) if found.range.start < range.end => range.end = range.end.max(found.range.end),
                masked => {
                    if let Some((range, rule)) = masked.replace((found.range.clone(), rule)) {
                        self.mask(text, &mut masker, range, rule);
                    }
                }
            }
        }
        if let Some((range, rule)) = masked {
            self.mask(text, &mut masker, range, rule);
        }
    }

    /// Adds what was found in a tool's name, where nothing can be masked.
    pub(crate) fn add_name(&mut self, matches: &[Match]) {
        for found in matches {
            let rule = self.rules.rule(found.rule);
            let action = if rule.action == Action::Redact { Action::Deny } else { rule.action };
            self.judge(found.rule, action);
            self.find(found.rule, |finding| finding);
        }
    }

    fn find(&mut self, index: usize, placed: impl FnOnce(Finding) -> Finding) {
        let rule = self.rules.rule(index);
        let names = self.refusing == Some(index) && !self.is_named;
        let fits = self.findings.take(OVERHEAD + rule.name.len() + rule.category.len());
        if !fits {
            self.left_out += 1;
        }
        if !fits && names {
            self.found.pop();
        }
        if fits || names {
            self.found.push((index, placed(Finding::new(&rule.name, &rule.category, rule.severity))));
        }
        self.is_named |= names;
    }

    /// By place, but what refuses comes first, and before all the rule whose reason counts: a refusal is named after its
    /// first finding.
    fn in_order(&mut self) -> Vec<Finding> {
        let weight =
            |rule: usize| (Some(rule) != self.refusing, Reverse(self.rules.rule(rule).action.max(Action::Redact)));
        if self.refusing.is_some() {
            self.found.sort_by_key(|(rule, _)| weight(*rule));
        }
        std::mem::take(&mut self.found).into_iter().map(|(_, finding)| finding).collect()
    }

    fn judge(&mut self, rule: usize, action: Action) {
        let before = self.verdict.action;
        self.verdict.raise(action);
        let is_first = action > before || (action == before && self.refusing.is_some_and(|first| rule < first));
        if action >= Action::RequireApproval && is_first {
            (self.refusing, self.is_named) = (Some(rule), false);
        }
    }

    fn mask(&mut self, text: &Text<'_>, masker: &mut Masker<'_>, range: Range<usize>, rule: &Rule) {
        // What the client of a stream already has cannot be taken back; the rest can.
        let Some(start) =
            range.clone().find(|start| text.is_char_boundary(*start) && text.may_edit(&(*start..range.end)))
        else {
            return;
        };
        let Some(edit) = masker.mask(start..range.end, &rule.replacement) else { return };
        if self.edits.take(OVERHEAD + edit.original.len() + edit.replacement.len()) {
            self.verdict.edits.push(edit);
        } else {
            self.is_cut_off = true;
        }
    }

    /// The verdict.
    pub(crate) fn verdict(mut self) -> Verdict {
        let findings = self.in_order();
        let mut verdict = self.verdict;
        verdict.findings = findings;
        verdict.reason = self.refusing.map(|rule| self.rules.rule(rule).refusal());
        if self.is_cut_off {
            if verdict.action < Action::Deny {
                verdict.reason = Some("There is more to mask than one verdict can hold".into());
            }
            verdict.action = Action::Deny;
            verdict.edits.clear();
        }
        if self.left_out > 0 {
            verdict = verdict.tag("findings-left-out", self.left_out.to_string());
        }
        verdict
    }
}
