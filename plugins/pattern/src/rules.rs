//! All rules of a manifest, arranged so that those that cannot match cost next to nothing, and those of other tenants
//! nothing at all.

use std::collections::BTreeMap;
use std::ops::Range;

use octroi_policy::{Role, Text};

use crate::class::Class;
use crate::expression::{MOST_MATCHES, Scratch};
use crate::keyword::Keyword;
use crate::rule::{Checked, LookFor, Rule};
use crate::settings::{Asked, PatternSettings, Shares};
use crate::shares::Taken;
use crate::sieve::{Builder, Sieve};

/// The most rules.
const MOST_RULES: usize = 1_000;

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// In the order of the list.
    rules: Vec<Rule>,
    keywords: Vec<(u32, Keyword)>,
    for_all: Group,
    for_tenant: BTreeMap<String, Group>,
}

/// Where a rule was found, by its index: lower ones stand earlier in the list.
pub(crate) type Match = octroi_policy::Match<usize>;

/// Rules that are asked about the same texts.
#[derive(Debug, Default)]
struct Group {
    sieve: Option<Sieve>,
    /// What the numbers of the sieve mean.
    clues: Vec<Clue>,
    /// Rules that may match without any clue.
    always: Vec<u32>,
}

/// What it means that a row of characters stands in a text.
#[derive(Debug, Clone, Copy)]
enum Clue {
    /// The expression of this rule may match there.
    Expression(u32),
    /// This keyword may stand there, with so many of its characters behind us.
    Keyword { keyword: u32, place: usize },
}

impl Rules {
    /// The error names the key.
    pub(crate) fn new(patterns: Vec<PatternSettings>, shares: Option<Shares>) -> Result<Self, String> {
        if patterns.len() > MOST_RULES {
            return Err(format!("settings.patterns: found {}, expected at most {MOST_RULES}", patterns.len()));
        }
        let (mut rules, mut groups) = (Self::default(), Groups::default());
        let (mut names, mut taken) = (BTreeMap::new(), Taken::new(shares));
        for (index, settings) in patterns.into_iter().enumerate() {
            let key = |problem: String| format!("settings.patterns[{index}]{problem}");
            let Checked { rule, look_for, tenants, enabled } = Rule::check(settings).map_err(key)?;
            if let Some(first) = names.insert(rule.name.clone(), index) {
                return Err(key(format!(".name: it is also the name of settings.patterns[{first}]")));
            }
            if enabled {
                let size = rule.expression.as_ref().map_or(0, |expression| expression.size());
                taken.add(size, &tenants).map_err(|problem| key(format!(".pattern: {problem}")))?;
                rules.add(rule, look_for, &tenants, &mut groups);
            }
        }
        rules.for_all = groups.for_all.build()?;
        rules.for_tenant = groups
            .for_tenant
            .into_iter()
            .map(|(tenant, group)| Ok((tenant, group.build()?)))
            .collect::<Result<_, String>>()?;
        Ok(rules)
    }

    fn add(&mut self, rule: Rule, look_for: LookFor, tenants: &[String], groups: &mut Groups) {
        let number = self.rules.len() as u32;
        self.rules.push(rule);
        match look_for {
            LookFor::Rows(None) => groups.each(tenants, |group| group.always.push(number)),
            LookFor::Rows(Some(rows)) => groups.each(tenants, |group| {
                for row in &rows {
                    group.add(row, |_| Clue::Expression(number));
                }
            }),
            LookFor::Keywords(keywords) => {
                for keyword in keywords {
                    let index = self.keywords.len() as u32;
                    let (start, word) = keyword.longest_word();
                    groups.each(tenants, |group| {
                        group.add(&word, |end| Clue::Keyword { keyword: index, place: start + end });
                    });
                    self.keywords.push((number, keyword));
                }
            }
        }
    }

    /// Every rule, in the order of the list.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule of a match.
    pub(crate) fn rule(&self, index: usize) -> &Rule {
        &self.rules[index]
    }

    /// Every match in a text as it is written, and in what its reader takes it for, by place.
    pub(crate) fn search_both(&self, text: &Text<'_>, tenant: &str, asked: Asked, scratch: &mut Scratch) -> Vec<Match> {
        octroi_policy::find_both(text, |reading| self.search(reading, text.role, tenant, asked, scratch))
    }

    /// Every match in a text that belongs to a tenant, by place.
    pub(crate) fn search(
        &self,
        text: &str,
        role: Role,
        tenant: &str,
        asked: Asked,
        scratch: &mut Scratch,
    ) -> Vec<Match> {
        let mut found = Found::default();
        for group in [Some(&self.for_all), self.for_tenant.get(tenant)].into_iter().flatten() {
            for rule in &group.always {
                if self.rules[*rule as usize].looks_at(role, asked) {
                    found.may_match(*rule, 0..text.len());
                }
            }
            let Some(sieve) = &group.sieve else { continue };
            sieve.search(text, |number, end| match group.clues[number as usize] {
                Clue::Expression(rule) => {
                    let of_clue = &self.rules[rule as usize];
                    if let Some(expression) = &of_clue.expression
                        && of_clue.looks_at(role, asked)
                        && !(expression.reach.is_shared() && found.covers(rule, end))
                    {
                        found.may_match(rule, expression.reach.around(text, end));
                    }
                }
                Clue::Keyword { keyword, place } => {
                    let (rule, keyword) = &self.keywords[keyword as usize];
                    if self.rules[*rule as usize].looks_at(role, asked)
                        && let Some(range) = keyword.around(text, end, place)
                    {
                        found.matches.push(Match { rule: *rule as usize, range });
                    }
                }
            });
        }
        self.confirm(text, found, scratch)
    }

    /// Tries the expressions where they may match, and the validators.
    fn confirm(&self, text: &str, found: Found, scratch: &mut Scratch) -> Vec<Match> {
        let Found { mut matches, places } = found;
        drop_overlapping(&mut matches);
        matches.retain(|found| self.rules[found.rule].accepts(&text[found.range.clone()]));
        for (rule, ranges) in places {
            let number = rule as usize;
            let rule = &self.rules[number];
            let Some(expression) = &rule.expression else { continue };
            let mut left = MOST_MATCHES;
            let searched = expression.search(scratch, text, &joined(ranges), |range| {
                if rule.accepts(&text[range.clone()]) {
                    left -= 1;
                    // Whatever follows counts as a part of the last one that is told.
                    let end = if left == 0 { text.len() } else { range.end };
                    matches.push(Match { rule: number, range: range.start..end });
                }
                left > 0
            });
            // Not for expressions that were taken; were it to happen, nothing may pass.
            if searched.is_err() {
                matches.push(Match { rule: number, range: 0..text.len() });
            }
        }
        matches.sort_unstable_by_key(|found| (found.range.start, found.rule));
        matches
    }
}

/// Matches of one rule may lie inside each other; the first and longest counts.
fn drop_overlapping(matches: &mut Vec<Match>) {
    matches.sort_unstable_by_key(|found| (found.rule, found.range.start, std::cmp::Reverse(found.range.end)));
    matches.dedup_by(|next, before| next.rule == before.rule && next.range.start < before.range.end);
}

/// In order, and those that touch as one.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, before| {
        let touches = next.start <= before.end;
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
    ranges
}

/// What a first look at a text gave.
#[derive(Default)]
struct Found {
    /// Keywords.
    matches: Vec<Match>,
    /// Where rules' expressions may match.
    places: BTreeMap<u32, Vec<Range<usize>>>,
}

impl Found {
    /// Whether the last place of a rule is around this one.
    fn covers(&self, rule: u32, at: usize) -> bool {
        let last = self.places.get(&rule).and_then(|ranges| ranges.last());
        last.is_some_and(|last| last.start < at && at <= last.end)
    }

    fn may_match(&mut self, rule: u32, range: Range<usize>) {
        let ranges = self.places.entry(rule).or_default();
        match ranges.last_mut() {
            Some(last) if last.start <= range.start && range.start <= last.end => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    }
}

/// Groups that are being filled.
#[derive(Default)]
struct Groups {
    for_all: Filling,
    for_tenant: BTreeMap<String, Filling>,
}

#[derive(Default)]
struct Filling {
    sieve: Builder,
    clues: Vec<Clue>,
    always: Vec<u32>,
}

impl Groups {
    /// Does something with the group of each tenant, or with the one for all.
    fn each(&mut self, tenants: &[String], mut fill: impl FnMut(&mut Filling)) {
        if tenants.is_empty() {
            fill(&mut self.for_all);
        }
        for tenant in tenants {
            fill(self.for_tenant.entry(tenant.clone()).or_default());
        }
    }
}

impl Filling {
    fn add(&mut self, chain: &[Class], clue: impl FnOnce(usize) -> Clue) {
        let end = self.sieve.add(chain, self.clues.len() as u32);
        self.clues.push(clue(end));
    }

    fn build(self) -> Result<Group, String> {
        let sieve = if self.clues.is_empty() { None } else { Some(self.sieve.build()?) };
        Ok(Group { sieve, clues: self.clues, always: self.always })
    }
}
