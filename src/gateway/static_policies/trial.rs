//! Expressions and rules that are tried before they are taken, in the sandbox of the policy that will have them.

use std::time::{Duration, Instant};

use super::{LOAD, Result, StaticPolicies, StaticPolicyError, TURN, rules};
use crate::chat::{Message, Role};
use crate::policy::component::{EvaluationError, Question};
use crate::policy::verdict::{Action, Verdict};
use crate::policy::{Context, Surface};

/// The manifest of the version that tries expressions; it stands in no folder.
const MANIFEST: &str = "\
name: static-policies-test
limits: { time: 100ms }
settings: { probe: true }
";

/// How long one expression may be tried, on all texts together.
const ALL_TEXTS: Duration = Duration::from_secs(5);

/// Bytes of the text on which rules are tried.
const ORDINARY: usize = 16 << 10;

/// What an expression is: right, and where it matches, or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What is wrong with it.
    pub error: Option<String>,
    /// The first match in each text.
    pub matches: Vec<Option<Match>>,
}

/// Where an expression matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What its groups took; those that took no part nothing.
    pub groups: Vec<String>,
}

impl StaticPolicies {
    /// Tries an expression on texts, each in a sandbox of its own, when it is the tenant's turn.
    pub async fn test(&self, tenant: &str, pattern: &str, inputs: &[String]) -> Result<Trial> {
        let _turn = self.trials.turn(tenant).await?;
        let mut held = tokio::time::timeout(TURN, self.probe.lock()).await.map_err(|_| StaticPolicyError::Busy)?;
        let path = self.host.directory().join("static-policies-test.yaml");
        let text = format!("{MANIFEST}module: {}\n", rules::MODULE);
        let probe = self.host.candidate(&path, text, held.take(), LOAD).await;
        let probe = probe.map_err(|error| self.not_loaded(error, None))?;
        *held = Some(probe.clone());
        drop(held);
        on_all(inputs, ALL_TEXTS, |messages| {
            let context = Context {
                surface: Surface::Gateway,
                request_type: "test".into(),
                attributes: vec![("pattern".into(), pattern.to_owned())],
                ..Context::default()
            };
            self.host.try_candidate(&probe, Question::PreCheck, context, messages)
        })
        .await
    }
}

/// Tries an expression on one text after another, for no longer than this.
async fn on_all<F>(inputs: &[String], most: Duration, judge: impl Fn(Vec<Message>) -> F) -> Result<Trial>
where
    F: Future<Output = std::result::Result<Verdict, EvaluationError>>,
{
    let until = Instant::now() + most;
    let mut trial = Trial { error: None, matches: Vec::with_capacity(inputs.len()) };
    // An expression is also right or wrong where there is nothing to try it on.
    let nothing = [String::new()];
    for (index, input) in if inputs.is_empty() { &nothing } else { inputs }.iter().enumerate() {
        if Instant::now() >= until {
            let seconds = most.as_secs();
            return Ok(Trial::wrong(format!("too expensive: after {seconds} s it is at inputs[{index}]")));
        }
        let verdict = match judge(vec![Message::text(Role::User, input)]).await {
            Ok(verdict) => verdict,
            Err(EvaluationError::Overloaded) => return Err(StaticPolicyError::Overloaded),
            Err(EvaluationError::Host) => return Err(StaticPolicyError::Internal),
            Err(error) => return Ok(Trial::wrong(format!("too expensive: on inputs[{index}] {error}"))),
        };
        if verdict.action == Action::Deny {
            return Ok(Trial::wrong(verdict.reason.unwrap_or_default()));
        }
        trial.matches.push(first_match(&verdict));
    }
    trial.matches.truncate(inputs.len());
    Ok(trial)
}

impl Trial {
    fn wrong(error: String) -> Self {
        Self { error: Some(error), matches: Vec::new() }
    }
}

fn first_match(verdict: &Verdict) -> Option<Match> {
    let place = verdict.findings.first()?.place?;
    let mut groups = Vec::new();
    for (name, value) in &verdict.tags {
        let number = name.strip_prefix("group.0.").and_then(|number| number.parse::<usize>().ok());
        // Group 0 is the whole match; a group without a tag took no part.
        if let Some(index) = number.and_then(|number| number.checked_sub(1)).filter(|index| *index < 64) {
            groups.resize(groups.len().max(index + 1), String::new());
            if let Some(group) = groups.get_mut(index) {
                group.clone_from(value);
            }
        }
    }
    Some(Match { start: place.start as usize, end: place.end as usize, groups })
}

/// A text with words, numbers, addresses and code, as prompts have them.
pub(super) fn ordinary_text() -> String {
    const PIECE: &str = "Dear team, please look at ticket 4711 (opened 2026-11-20 at 09:15) before Friday. The customer, \
        Jane Doe <jane.doe@example.org>, called from +49 30 1234567 about invoice INV-2026-000815 over 1,249.90 EUR, due \
        in 14 days. Her order went to 12 Market Street, 10115 Berlin; see https://example.org/orders/815?lang=en#top.\n\
        {\"order\": 815, \"items\": [{\"sku\": \"AB-12\", \"count\": 3}], \"paid\": false, \"note\": null}\n\
        fn total(items: &[Item]) -> u64 { items.iter().map(|item| item.price * item.count).sum() }\n\
        SELECT name, email FROM customers WHERE id = 42 AND country = 'DE' ORDER BY name; -- only one\n\
        Gr\u{fc}\u{df}e aus K\u{f6}ln, \u{e0} bient\u{f4}t, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{3053}\u{3093}\u{306b}\u{3061}\u{306f}. AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA 00000000000000000000\n";
    PIECE.repeat(ORDINARY.div_ceil(PIECE.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tried(most: Duration, judged: std::result::Result<Action, EvaluationError>) -> Result<Trial> {
        let inputs = ["one", "two"].map(str::to_owned);
        on_all(&inputs, most, |_| {
            let judged =
                judged.clone().map(|action| Verdict { action, reason: Some("why".into()), ..Verdict::default() });
            async { judged }
        })
        .await
    }

    #[tokio::test]
    async fn a_trial_ends_when_its_time_is_up_and_not_before() {
        let trial = tried(Duration::ZERO, Ok(Action::Allow)).await.unwrap();
        assert_eq!(trial, Trial::wrong("too expensive: after 0 s it is at inputs[0]".into()));
        let trial = tried(ALL_TEXTS, Ok(Action::Allow)).await.unwrap();
        assert_eq!(trial, Trial { error: None, matches: vec![None, None] });
    }

    #[tokio::test]
    async fn only_what_the_expression_is_to_blame_for_is_said_of_it() {
        assert_eq!(tried(ALL_TEXTS, Ok(Action::Deny)).await, Ok(Trial::wrong("why".into())));
        assert_eq!(tried(ALL_TEXTS, Err(EvaluationError::Overloaded)).await, Err(StaticPolicyError::Overloaded));
        assert_eq!(tried(ALL_TEXTS, Err(EvaluationError::Host)).await, Err(StaticPolicyError::Internal));
        let slow = tried(ALL_TEXTS, Err(EvaluationError::Wall { cap: Duration::from_secs(2) })).await.unwrap();
        assert!(slow.error.unwrap().starts_with("too expensive: on inputs[0] "));
    }
}
