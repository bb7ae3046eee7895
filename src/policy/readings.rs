//! What host interfaces tell a policy during one evaluation: from the world, or as somebody stated it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::counters::{Counter, CounterError, CounterStore};
use super::manifest::Manifest;

/// How long one call of a host interface may take.
const DEADLINE: Duration = Duration::from_millis(50);
/// The most calls of `counters` in one evaluation: each stands in its record.
const MAX_COUNTER_CALLS: usize = 64;
/// The longest name of a counter, in bytes.
const MAX_NAME: usize = 128;
/// The longest window: 366 days.
const MAX_WINDOW_SECONDS: u64 = 366 * 24 * 60 * 60;

/// What one evaluation was told. Kept in its record, so that the decision can be recomputed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readings {
    /// The clock's, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// The counters', in the order in which they were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<CounterReading>,
}

impl Readings {
    /// Adds what was told later, as far as one evaluation has room for it: each failure on a stream begins another
    /// instance, and so another count of calls.
    pub(super) fn extend(&mut self, later: Self) {
        self.clock = self.clock.or(later.clock);
        let room = MAX_COUNTER_CALLS.saturating_sub(self.counters.len());
        self.counters.extend(later.counters.into_iter().take(room));
    }
}

/// What a counter answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CounterReading {
    /// Its name.
    pub name: String,
    /// Its window.
    pub window_seconds: u64,
    /// What was added; 0 when it was only read.
    pub added: u64,
    /// What it answered.
    pub value: u64,
}

/// What a case, a trial or a record says that the host interfaces answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stated {
    /// The clock's reading.
    pub clock: Option<Timestamp>,
    /// By name, what calls on a counter answer. Counters that are not named begin at 0.
    pub counters: BTreeMap<String, Answers>,
}

impl Stated {
    /// What was told once, in the order in which it was told.
    pub fn again(clock: Option<Timestamp>, counters: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut stated = Self { clock, counters: BTreeMap::new() };
        for (name, value) in counters {
            stated.counters.entry(name).or_insert_with(|| Answers(Vec::new())).0.push(value);
        }
        stated
    }
}

/// What calls on one counter answer, one after the other; the last goes for all that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Answers(Vec<u64>);

impl Answers {
    fn to_call(&self, number: usize) -> u64 {
        self.0.get(number).or(self.0.last()).copied().unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnswersVisitor;
        impl<'de> Visitor<'de> for AnswersVisitor {
            type Value = Answers;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a whole number, or a list of them, one for each call")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Answers, E> {
                Ok(Answers(vec![value]))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Answers, E> {
                u64::try_from(value)
                    .map(|value| Answers(vec![value]))
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Answers, A::Error> {
                let mut answers = Vec::new();
                while let Some(answer) = list.next_element()? {
                    answers.push(answer);
                }
                Ok(Answers(answers))
            }
        }
        deserializer.deserialize_any(AnswersVisitor)
    }
}

/// Where host interfaces take their answers from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Nowhere, while a policy is configured: nothing that passes may be frozen into the image.
    Closed,
    /// The world.
    World {
        /// The counters.
        counters: Arc<dyn CounterStore>,
        /// The policy that asks.
        policy: Arc<Manifest>,
        /// Whether its verdict does not count.
        shadow: bool,
    },
    /// What somebody said.
    Stated(Arc<Stated>),
}

impl Source {
    /// For whoever tries or measures a policy by itself: the clock is the machine's, counters begin at 0.
    pub fn of_trial() -> Self {
        Self::Stated(Arc::new(Stated { clock: Some(Timestamp::now()), ..Stated::default() }))
    }
}

/// Why a host interface gives no answer. The evaluation ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostCallError {
    /// It was called while the policy was configured.
    #[error(
        "it called `{0}` during `configure`, where only `log` answers: what it is told would be frozen into the image"
    )]
    Closed(&'static str),
    /// The case or trial says nothing about it.
    #[error("it asked `{0}`, and no answer is stated: add `readings: {{ {0}: ... }}`")]
    NotStated(&'static str),
    /// An argument is outside its bounds.
    #[error("it called `counters` with {0}")]
    Argument(String),
    /// It asked too often.
    #[error("it called `counters` more often than {MAX_COUNTER_CALLS} times")]
    TooOften,
    /// The answer took too long.
    #[error("`{0}` did not answer within {DEADLINE:?}")]
    Deadline(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] CounterError),
}

impl HostCallError {
    /// Stable, for metrics, records and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed(_) => "host_call_in_configure",
            Self::NotStated(_) => "reading_not_stated",
            Self::Argument(_) => "bad_host_call",
            Self::TooOften => "host_call_limit",
            Self::Deadline(_) => "host_call_deadline",
            Self::Store(_) => "host_call_failed",
        }
    }
}

/// Answers the host interfaces of one evaluation, and keeps what it answered.
#[derive(Debug)]
pub(super) struct Teller {
    source: Source,
    told: Readings,
    /// Calls on each counter so far, where answers are stated.
    calls: HashMap<String, usize>,
}

impl Teller {
    pub(super) fn new(source: Source) -> Self {
        Self { source, told: Readings::default(), calls: HashMap::new() }
    }

    /// For a store that lives for several calls (in the loader): another source, nothing told yet.
    pub(super) fn renew(&mut self, source: Source) {
        *self = Self::new(source);
    }

    pub(super) fn take(&mut self) -> Readings {
        std::mem::take(&mut self.told)
    }

    /// The clock's one reading.
    pub(super) fn now(&mut self) -> Result<Timestamp, HostCallError> {
        if let Some(told) = self.told.clock {
            return Ok(told);
        }
        let reading = match &self.source {
            Source::Closed => return Err(HostCallError::Closed("clock")),
            Source::World { .. } => to_milliseconds(Timestamp::now()),
            Source::Stated(stated) => stated.clock.map(to_milliseconds).ok_or(HostCallError::NotStated("clock"))?,
        };
        self.told.clock = Some(reading);
        Ok(reading)
    }

    /// Adds to a counter, or reads it when there is nothing to add.
    pub(super) async fn count(&mut self, name: String, added: u64, window_seconds: u64) -> Result<u64, HostCallError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(HostCallError::Argument(format!(
                "a name of {} bytes; 1 to {MAX_NAME} are allowed",
                name.len()
            )));
        }
        // It goes into records, and from there to databases and terminals.
        if name.contains(char::is_control) {
            return Err(HostCallError::Argument("a name with control characters".to_owned()));
        }
        if !(1..=MAX_WINDOW_SECONDS).contains(&window_seconds) {
            return Err(HostCallError::Argument(format!(
                "a window of {window_seconds} seconds; 1 to {MAX_WINDOW_SECONDS} are allowed"
            )));
        }
        if self.told.counters.len() == MAX_COUNTER_CALLS {
            return Err(HostCallError::TooOften);
        }
        let value = match &self.source {
            Source::Closed => return Err(HostCallError::Closed("counters")),
            Source::World { counters, policy, shadow } => {
                let counter = Counter {
                    policy: policy.name.to_string(),
                    shadow: *shadow,
                    name: name.clone(),
                    window: Duration::from_secs(window_seconds),
                };
                within_deadline("counters", counters.add(counter, added)).await??
            }
            Source::Stated(stated) => match stated.counters.get(&name) {
                Some(answers) => {
                    let calls = self.calls.entry(name.clone()).or_default();
                    *calls += 1;
                    answers.to_call(*calls - 1)
                }
                // A counter that nobody has used: what this evaluation added to it.
                None => {
                    let same = |it: &&CounterReading| it.name == name && it.window_seconds == window_seconds;
                    self.told.counters.iter().filter(same).fold(added, |sum, it| sum.saturating_add(it.added))
                }
            },
        };
        self.told.counters.push(CounterReading { name, window_seconds, added, value });
        Ok(value)
    }
}

/// What policies are told has this resolution; the record holds no more.
fn to_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Waits for an answer no longer than the deadline. One that is there at once needs no timer.
async fn within_deadline<T>(
    interface: &'static str,
    mut answer: futures_util::future::BoxFuture<'_, T>,
) -> Result<T, HostCallError> {
    let first = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
    match first {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => tokio::time::timeout(DEADLINE, answer).await.map_err(|_| HostCallError::Deadline(interface)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::counters::InProcess;

    fn stated(json: &str) -> Teller {
        Teller::new(Source::Stated(Arc::new(serde_json::from_str(json).unwrap())))
    }

    fn world(counters: Arc<dyn CounterStore>) -> Teller {
        let policy = Arc::new(Manifest::parse("name: limit\nmodule: limit.wasm\n", "limit").unwrap());
        Teller::new(Source::World { counters, policy, shadow: false })
    }

    #[test]
    fn the_clock_is_read_once() {
        let mut teller = world(Arc::new(InProcess::default()));
        let first = teller.now().unwrap();
        assert_eq!(teller.now().unwrap(), first);
        assert_eq!(first.subsec_nanosecond() % 1_000_000, 0);
        assert_eq!(teller.take().clock, Some(first));
    }

    #[test]
    fn what_was_told_on_a_stream_has_the_bound_of_one_evaluation() {
        let reading = |value| CounterReading { name: "a".into(), window_seconds: 60, added: 1, value };
        let told = |values: std::ops::Range<u64>| Readings { clock: None, counters: values.map(reading).collect() };
        let mut readings = told(0..60);
        readings.extend(told(60..70));
        assert_eq!(readings, told(0..64));
        readings.extend(told(70..80));
        assert_eq!(readings, told(0..64));
    }

    #[tokio::test]
    async fn stated_answers_come_in_order_and_the_last_goes_on() {
        let mut teller = stated(r#"{"counters":{"a":[7,9],"b":3}}"#);
        for expected in [7, 9, 9] {
            assert_eq!(teller.count("a".into(), 1, 60).await, Ok(expected));
        }
        assert_eq!(teller.count("b".into(), 0, 60).await, Ok(3));
        assert_eq!(teller.count("fresh".into(), 2, 60).await, Ok(2));
        assert_eq!(teller.count("fresh".into(), 3, 60).await, Ok(5));
        assert_eq!(teller.count("fresh".into(), 0, 61).await, Ok(0), "another window is another counter");
        let told = teller.take().counters;
        assert_eq!(told.len(), 7);
        assert_eq!(told[1], CounterReading { name: "a".into(), window_seconds: 60, added: 1, value: 9 });
    }

    #[tokio::test]
    async fn what_was_told_is_told_again_whatever_the_window() {
        let counters: Arc<dyn CounterStore> = Arc::new(InProcess::default());
        let mut first = world(counters);
        let calls = [("a", 1, 60), ("a", 5, 3600), ("b", 0, 60), ("a", 1, 60)];
        for (name, added, window) in calls {
            first.count(name.into(), added, window).await.unwrap();
        }
        first.now().unwrap();
        let told = first.take();
        let answers = told.counters.iter().map(|it| (it.name.clone(), it.value));
        let mut again = Teller::new(Source::Stated(Arc::new(Stated::again(told.clock, answers))));
        for (name, added, window) in calls {
            again.count(name.into(), added, window).await.unwrap();
        }
        again.now().unwrap();
        assert_eq!(again.take(), told);
    }

    #[tokio::test]
    async fn what_cannot_be_answered_is_called_by_its_code() {
        let mut closed = Teller::new(Source::Closed);
        assert_eq!(closed.now().unwrap_err().code(), "host_call_in_configure");
        assert_eq!(closed.count("a".into(), 1, 60).await.unwrap_err().code(), "host_call_in_configure");
        let mut nothing = stated("{}");
        assert_eq!(nothing.now().unwrap_err().code(), "reading_not_stated");
        for (name, window) in [("", 60), (&*"n".repeat(129), 60), ("a\0b", 60), ("a", 0), ("a", MAX_WINDOW_SECONDS + 1)]
        {
            assert_eq!(nothing.count(name.into(), 1, window).await.unwrap_err().code(), "bad_host_call");
        }
        for _ in 0..MAX_COUNTER_CALLS {
            nothing.count("a".into(), 1, 60).await.unwrap();
        }
        assert_eq!(nothing.count("a".into(), 1, 60).await.unwrap_err().code(), "host_call_limit");
    }

    /// A store on another machine that does not answer.
    #[derive(Debug)]
    struct Silent;

    impl CounterStore for Silent {
        fn add(&self, _: Counter, _: u64) -> futures_util::future::BoxFuture<'_, Result<u64, CounterError>> {
            Box::pin(std::future::pending())
        }

        fn keep_only(&self, _: &dyn Fn(&str) -> bool) {}
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_ends_the_wait() {
        let mut teller = world(Arc::new(Silent));
        assert_eq!(teller.count("a".into(), 1, 60).await.unwrap_err(), HostCallError::Deadline("counters"));
    }
}
