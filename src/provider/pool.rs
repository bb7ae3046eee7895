//! Several keys of one account: a key that the vendor refuses rests, and the next one is used. One that may not use a
//! model, or is over its limit for it, rests for that model and what it was asked for alone.
//!
//! To everybody else a pool is a provider like any other: what fails for one key and is answered for another never
//! shows as a failure.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{ApiKey, Catalogue, ErrorKind, Info, PriceTable, Provider, ProviderError, Streamed};
use crate::chat::{ChatAnswer, ChatRequest, Task, Usage};

/// How long a key rests that is over its limit, where the vendor does not say.
const OVER_LIMIT: Duration = Duration::from_secs(1);

/// No key rests longer for its rate: limits of a day are asked about now and then.
const LONGEST_OVER_LIMIT: Duration = Duration::from_secs(60);

/// How long a refused key rests, until a probe that it passes; and one that may not use a model, for that model.
const REFUSED: Duration = Duration::from_secs(300);

/// So many rests of one key are kept at most; the oldest makes room.
const RESTS: usize = 64;

/// The keys of one provider, each with its own way to the vendor.
#[derive(Debug)]
pub(super) struct KeyPool {
    /// Answers for all where the key does not matter.
    first: Arc<dyn Provider>,
    members: Vec<Member>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Member {
    /// Its place among the keys, from 1 on: what is said of it in logs.
    number: usize,
    provider: Arc<dyn Provider>,
    rests: Mutex<Vec<Rest>>,
}

/// A key rests.
#[derive(Debug)]
struct Rest {
    until: Instant,
    why: ErrorKind,
    /// For this model alone, and this task.
    of: Option<(String, Task)>,
}

impl Member {
    fn rests(&self) -> MutexGuard<'_, Vec<Rest>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it rests for a model from `now` on, and why; nothing if it does not.
    fn rest(&self, (model, task): (&str, Task), now: Instant) -> Option<(Duration, ErrorKind)> {
        let rests = self.rests();
        let is_of = |rest: &&Rest| rest.of.as_ref().is_none_or(|(only, its)| only == model && *its == task);
        let of_model = rests.iter().filter(is_of);
        let longest = of_model.filter(|rest| rest.until > now).max_by_key(|rest| rest.until)?;
        Some((longest.until - now, longest.why))
    }
}

/// How long a key rests after a failure; `None` where another key would do no better.
fn rest(error: &ProviderError) -> Option<Duration> {
    match error.kind() {
        ErrorKind::RateLimited => Some(error.retry_after().unwrap_or(OVER_LIMIT).min(LONGEST_OVER_LIMIT)),
        ErrorKind::Unauthorized | ErrorKind::SpendCap | ErrorKind::ModelNotAllowed | ErrorKind::Forbidden => {
            Some(REFUSED)
        }
        _ => None,
    }
}

/// What a key would be answered that rests for its rate.
fn over_limit(rest: Duration) -> ProviderError {
    ProviderError::new(ErrorKind::RateLimited, "a key is over its limit and rests").with_retry_after(Some(rest))
}

/// Whether it is said of a key and a model, not of the key for all that it may do. The vendors' limits of a minute are each
/// of a model or a group of them; those of a month have a class of their own.
fn of_a_model(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::RateLimited | ErrorKind::ModelNotAllowed | ErrorKind::Forbidden)
}

impl KeyPool {
    /// Of providers that differ by their key alone. `first` answers for all where the key does not matter.
    pub(super) fn new(first: Arc<dyn Provider>, others: impl IntoIterator<Item = Arc<dyn Provider>>) -> Self {
        let all = std::iter::once(Arc::clone(&first)).chain(others).enumerate();
        let members = all.map(|(at, provider)| Member { number: at + 1, provider, rests: Mutex::default() });
        Self { first, members: members.collect(), next: AtomicUsize::new(0) }
    }

    /// Every key: those that do not rest in turn, as if there were no others, and then the others, the one first whose rest
    /// ends first.
    fn in_turn(&self, of: (&str, Task)) -> Vec<&Member> {
        let now = Instant::now();
        let mut members: Vec<_> = self.members.iter().map(|member| (member.rest(of, now), member)).collect();
        members.sort_by_key(|(rest, _)| rest.map(|(rest, _)| rest));
        let free = members.partition_point(|(rest, _)| rest.is_none());
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if let (Some(turn), Some(free)) = (turn.checked_rem(free), members.get_mut(..free)) {
            free.rotate_left(turn);
        }
        members.into_iter().map(|(_, member)| member).collect()
    }

    /// Lets a key rest that was asked for a model and task, if the failure is its own.
    fn rests(&self, member: &Member, (model, task): (&str, Task), error: &ProviderError) -> bool {
        let Some(rest) = rest(error) else { return false };
        let (now, why) = (Instant::now(), error.kind());
        let of = of_a_model(why).then(|| (model.to_owned(), task));
        let mut rests = member.rests();
        rests.retain(|rest| rest.until > now);
        let known = rests.iter().position(|rest| rest.of == of).map(|at| rests.remove(at));
        if rests.len() >= RESTS {
            rests.remove(0);
        }
        rests.push(Rest { until: now + rest, why, of });
        drop(rests);
        if known.is_none_or(|known| known.why != why) {
            let (provider, of) = (&self.first.info().name, self.members.len());
            let code = error.code();
            metrics::counter!("octroi_provider_key_rests_total", "provider" => provider.clone(), "code" => code)
                .increment(1);
            tracing::warn!(provider, key = member.number, of, ?rest, "key rests: {}", error.brief());
        }
        true
    }

    /// Asks with one key after the other, as long as a failure is the key's. Keys that rest are asked only when all do,
    /// and then one of them. Beside the answer, and in a failure, are the tokens that keys before were answered for, and
    /// that are lost with what failed.
    async fn ask<T, F>(
        &self,
        request: &ChatRequest,
        call: impl Fn(Arc<dyn Provider>) -> F,
    ) -> Result<(T, Option<Usage>), ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let of = (self.model_of(request), request.task);
        let now = Instant::now();
        let mut failure: Option<ProviderError> = None;
        let mut lost: Option<Usage> = None;
        let mut forbidden = Vec::new();
        for member in self.in_turn(of) {
            // It may rest since a moment ago, and those behind it may not.
            if let Some(before) = &failure
                && let Some((rest, why)) = member.rest(of, now)
            {
                if why == ErrorKind::RateLimited {
                    failure = Some(milder(before.clone(), over_limit(rest)));
                }
                continue;
            }
            let error = match call(Arc::clone(&member.provider)).await {
                Ok(answer) => {
                    // Where another key may, it was the key's.
                    for (member, error) in forbidden {
                        self.rests(member, of, &error);
                    }
                    return Ok((answer, lost));
                }
                Err(error) => error,
            };
            lost = lost.into_iter().chain(error.spent()).reduce(Usage::plus);
            if error.kind() == ErrorKind::Forbidden {
                forbidden.push((member, error.clone()));
            } else if !self.rests(member, of, &error) {
                return Err(error.with_spent(lost));
            }
            failure = Some(match failure.take() {
                Some(before) => milder(before, error),
                None => error,
            });
        }
        let failure = failure.unwrap_or_else(|| ProviderError::new(ErrorKind::Unauthorized, "the provider has no key"));
        Err(failure.with_spent(lost))
    }
}

/// Of two failures the one of a key that may not ask for the list of models and may do the rest, as probes find it; then
/// the one that passes by itself, and of those the one that passes first; else the one of a key that works.
fn milder(one: ProviderError, other: ProviderError) -> ProviderError {
    let severity = |error: &ProviderError| match error.kind() {
        ErrorKind::EndpointNotFound | ErrorKind::Unsupported | ErrorKind::ModelNotFound => (0, Duration::ZERO),
        ErrorKind::RateLimited => (0, error.retry_after().unwrap_or(Duration::MAX)),
        kind if of_a_model(kind) => (1, Duration::MAX),
        _ => (2, Duration::MAX),
    };
    if severity(&other) < severity(&one) { other } else { one }
}

#[async_trait]
impl Provider for KeyPool {
    fn info(&self) -> &Info {
        self.first.info()
    }

    fn serves(&self, model: &str) -> bool {
        self.first.serves(model)
    }

    fn assumes(&self, model: &str) -> bool {
        self.first.assumes(model)
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        self.first.catalogue()
    }

    fn does(&self, task: Task) -> bool {
        self.first.does(task)
    }

    fn default_model(&self, task: Task) -> &str {
        self.first.default_model(task)
    }

    fn with_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        self.first.with_key(key)
    }

    fn with_callers_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        self.first.with_callers_key(key)
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let (answer, lost) = self.ask(request, |provider| async move { provider.chat(request).await }).await?;
        Ok(ChatAnswer { lost, ..answer })
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        // Some vendors answer 200 first, and say of the key in the first event what they think of it. Nothing is answered
        // before that, and so nothing is lost.
        let begin = |provider: Arc<dyn Provider>| async move { provider.stream(request).await?.begun().await };
        Ok(self.ask(request, begin).await?.0)
    }

    /// All keys at the same time: one that hangs keeps none waiting. One that works is enough. A key that is known again
    /// rests no longer.
    async fn probe(&self) -> Result<(), ProviderError> {
        let mut failure = None;
        let mut works = false;
        let probed = join_all(self.members.iter().map(|member| member.provider.probe())).await;
        for (member, result) in self.members.iter().zip(probed) {
            match result {
                Ok(()) => {
                    works = true;
                    member.rests().retain(|rest| of_a_model(rest.why));
                }
                Err(error) => {
                    // A probe that comes too often says nothing of the limit for chats.
                    if !matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Forbidden) {
                        self.rests(member, (self.default_model(Task::Chat), Task::Chat), &error);
                    }
                    failure = Some(match failure.take() {
                        Some(before) => milder(error, before),
                        None => error,
                    });
                }
            }
        }
        match failure {
            Some(error) if !works => Err(error),
            _ => Ok(()),
        }
    }

    fn prices(&self) -> Option<&PriceTable> {
        self.first.prices()
    }

    fn priced_as<'m>(&self, model: &'m str) -> Cow<'m, str> {
        self.first.priced_as(model)
    }

    fn price(&self, model: &str, usage: &Usage) -> Option<f64> {
        self.first.price(model, usage)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::provider::{Kind, Settings, StreamEvent};

    /// One key's way to the vendor: fails as it was told, and answers from then on. Its info's name tells which.
    #[derive(Debug)]
    struct Way {
        info: Info,
        failures: Mutex<VecDeque<ProviderError>>,
        asked: AtomicUsize,
        /// How long it takes to be probed.
        takes: Mutex<Duration>,
    }

    impl Way {
        fn next(&self) -> Result<(), ProviderError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
        }
    }

    #[async_trait]
    impl Provider for Way {
        fn info(&self) -> &Info {
            &self.info
        }

        fn serves(&self, _: &str) -> bool {
            true
        }

        async fn chat(&self, _: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
            self.next()?;
            Ok(crate::provider::answer::completion::parse(
                br#"{"choices":[{"message":{"content":"Yes."}}]}"#,
                self.info.name.as_str(),
            )?
            .answer)
        }

        async fn stream(&self, _: &ChatRequest) -> Result<Streamed, ProviderError> {
            let first = self.next().map(|()| StreamEvent::default());
            let events = Box::pin(futures_util::stream::once(async { first }));
            Ok(Streamed { events, correlation_id: None, notes: Vec::new(), held: None })
        }

        async fn probe(&self) -> Result<(), ProviderError> {
            let takes = *self.takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            self.next()
        }
    }

    fn failure(kind: ErrorKind, seconds: Option<u64>) -> ProviderError {
        ProviderError::new(kind, "no").with_retry_after(seconds.map(Duration::from_secs))
    }

    fn pool<const N: usize>(failures: [Vec<ProviderError>; N]) -> (KeyPool, Vec<Arc<Way>>) {
        let ways = failures.into_iter().enumerate().map(|(at, failures)| {
            let settings = Settings::new(Kind::Mistral, "https://host.example", "m");
            Arc::new(Way {
                info: Info { name: format!("key-{at}"), ..settings.info(&settings.entry.endpoint) },
                failures: Mutex::new(failures.into()),
                asked: AtomicUsize::new(0),
                takes: Mutex::default(),
            })
        });
        let ways: Vec<Arc<Way>> = ways.collect();
        let mut providers = ways.iter().map(|way| Arc::clone(way) as Arc<dyn Provider>);
        (KeyPool::new(providers.next().unwrap(), providers), ways)
    }

    fn asked(ways: &[Arc<Way>]) -> Vec<usize> {
        ways.iter().map(|way| way.asked.swap(0, Ordering::Relaxed)).collect()
    }

    #[tokio::test]
    async fn keys_take_turns() {
        let (pool, ways) = pool([vec![], vec![], vec![]]);
        for _ in 0..9 {
            pool.chat(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [3, 3, 3]);
    }

    #[tokio::test]
    async fn the_turns_of_a_key_that_rests_are_shared_by_all_others() {
        let (pool, ways) = pool([vec![failure(ErrorKind::Unauthorized, None)], vec![], vec![], vec![]]);
        pool.chat(&ChatRequest::default()).await.unwrap();
        asked(&ways);
        for _ in 0..30 {
            pool.chat(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [0, 10, 10, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_probed_at_the_same_time() {
        let (pool, ways) = pool([vec![], vec![], vec![]]);
        for way in &ways {
            *way.takes.lock().unwrap() = Duration::from_secs(10);
        }
        let begun = tokio::time::Instant::now();
        pool.probe().await.unwrap();
        assert_eq!((begun.elapsed(), asked(&ways)), (Duration::from_secs(10), vec![1, 1, 1]));
    }

    #[tokio::test]
    async fn a_key_over_its_limit_or_refused_rests_and_the_next_is_used() {
        for (kind, seconds) in [
            (ErrorKind::RateLimited, Some(5)),
            (ErrorKind::RateLimited, None),
            (ErrorKind::Unauthorized, None),
            (ErrorKind::SpendCap, None),
        ] {
            let (pool, ways) = pool([vec![failure(kind, seconds)], vec![]]);
            for _ in 0..4 {
                pool.chat(&ChatRequest::default()).await.unwrap();
            }
            assert_eq!(asked(&ways), [1, 4], "{kind:?}");
            pool.stream(&ChatRequest::default()).await.unwrap();
            assert_eq!(asked(&ways), [0, 1], "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_key_that_the_first_event_of_a_stream_refuses_rests_too() {
        let (pool, ways) = pool([vec![failure(ErrorKind::Unauthorized, None)], vec![]]);
        for _ in 0..4 {
            pool.stream(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [1, 4]);
    }

    #[tokio::test]
    async fn a_key_that_may_not_use_a_model_now_rests_for_that_model_and_task_alone() {
        for kind in [ErrorKind::ModelNotAllowed, ErrorKind::RateLimited] {
            let of = |model: &str| ChatRequest { model: Some(model.into()), ..ChatRequest::default() };
            let (pool, ways) = pool([vec![failure(kind, Some(60))], vec![]]);
            for _ in 0..4 {
                pool.chat(&of("large")).await.unwrap();
            }
            assert_eq!(asked(&ways), [1, 4], "{kind:?}");
            for _ in 0..4 {
                pool.chat(&of("small")).await.unwrap();
            }
            assert_eq!(asked(&ways), [2, 2], "{kind:?}");
            for _ in 0..4 {
                pool.chat(&ChatRequest { task: Task::FillIn, ..of("large") }).await.unwrap();
            }
            assert_eq!(asked(&ways), [2, 2], "{kind:?}: it was said of chats");
            pool.probe().await.unwrap();
            asked(&ways);
            pool.stream(&of("large")).await.unwrap();
            assert_eq!(asked(&ways), [0, 1], "{kind:?}: a probe says nothing of a model");
        }
    }

    #[tokio::test]
    async fn a_key_that_is_forbidden_what_another_may_is_passed_over() {
        let forbidden = || failure(ErrorKind::Forbidden, None);
        let (pool, ways) = pool([vec![forbidden(), forbidden()], vec![]]);
        for _ in 0..4 {
            pool.chat(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [1, 4]);

        let (pool, ways) = self::pool([vec![forbidden()], vec![forbidden()]]);
        pool.chat(&ChatRequest::default()).await.unwrap_err();
        asked(&ways);
        for _ in 0..4 {
            pool.chat(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [2, 2], "what all are forbidden says nothing of a key");
    }

    #[tokio::test]
    async fn a_key_that_began_to_rest_meanwhile_hides_none_behind_it() {
        let limited = || failure(ErrorKind::RateLimited, Some(5));
        let (pool, ways) = pool([vec![limited()], vec![], vec![]]);
        let second = &pool.members[1];
        let asked_of = |provider: Arc<dyn Provider>| {
            // The first answers when another request has found the second over its limit.
            pool.rests(second, (pool.default_model(Task::Chat), Task::Chat), &limited());
            async move { provider.chat(&ChatRequest::default()).await }
        };
        pool.ask(&ChatRequest::default(), asked_of).await.unwrap();
        assert_eq!(asked(&ways), [1, 0, 1]);
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_key_is_bounded() {
        let (pool, ways) = pool([vec![failure(ErrorKind::ModelNotAllowed, None); 2 * RESTS]]);
        for number in 0..2 * RESTS {
            let of = ChatRequest { model: Some(format!("m{number}")), ..ChatRequest::default() };
            assert_eq!(pool.chat(&of).await.unwrap_err().kind(), ErrorKind::ModelNotAllowed);
        }
        assert_eq!((asked(&ways)[0], pool.members[0].rests().len()), (2 * RESTS, RESTS));
    }

    #[tokio::test]
    async fn other_failures_are_not_the_keys() {
        for kind in
            [ErrorKind::UpstreamFailed, ErrorKind::InvalidRequest, ErrorKind::Timeout, ErrorKind::CapacityExceeded]
        {
            let (pool, ways) = pool([vec![failure(kind, None)], vec![]]);
            assert_eq!(pool.chat(&ChatRequest::default()).await.unwrap_err().kind(), kind);
            assert_eq!(asked(&ways), [1, 0]);
        }
    }

    #[tokio::test]
    async fn when_all_keys_fail_the_failure_that_passes_first_is_told() {
        let limited = |seconds| failure(ErrorKind::RateLimited, Some(seconds));
        let refused = || failure(ErrorKind::Unauthorized, None);
        let not_allowed = || failure(ErrorKind::ModelNotAllowed, None);
        for (one, other, kind, seconds) in [
            (refused(), not_allowed(), ErrorKind::ModelNotAllowed, None),
            (not_allowed(), limited(3), ErrorKind::RateLimited, Some(3)),
            (limited(9), limited(3), ErrorKind::RateLimited, Some(3)),
            (limited(3), limited(9), ErrorKind::RateLimited, Some(3)),
            (refused(), limited(3), ErrorKind::RateLimited, Some(3)),
            (limited(3), refused(), ErrorKind::RateLimited, Some(3)),
            (refused(), refused(), ErrorKind::Unauthorized, None),
        ] {
            let (pool, ways) = pool([vec![one], vec![other]]);
            let error = pool.chat(&ChatRequest::default()).await.unwrap_err();
            assert_eq!((error.kind(), error.retry_after()), (kind, seconds.map(Duration::from_secs)));
            assert_eq!(asked(&ways), [1, 1]);
            pool.chat(&ChatRequest::default()).await.unwrap();
            assert_eq!(asked(&ways).iter().sum::<usize>(), 1, "one of those that rest is asked all the same");
        }
    }

    #[tokio::test]
    async fn a_key_that_rests_for_its_rate_is_not_hidden_by_one_that_is_refused() {
        for kind in [ErrorKind::SpendCap, ErrorKind::Unauthorized] {
            let limited = failure(ErrorKind::RateLimited, Some(2));
            let (pool, ways) = pool([vec![limited], vec![failure(kind, None)]]);
            let (first, of) = (&pool.members[0], (pool.default_model(Task::Chat), Task::Chat));
            pool.rests(first, of, &failure(ErrorKind::RateLimited, Some(2)));
            let error = pool.chat(&ChatRequest::default()).await.unwrap_err();
            assert_eq!((error.kind(), asked(&ways)), (ErrorKind::RateLimited, vec![0, 1]), "{kind:?}");
            let hint = error.retry_after().unwrap();
            assert!(hint <= Duration::from_secs(2) && hint > Duration::from_secs(1), "{hint:?}");
        }
        let (pool, _) = pool([vec![], vec![failure(ErrorKind::SpendCap, None)]]);
        pool.rests(
            &pool.members[0],
            (pool.default_model(Task::Chat), Task::Chat),
            &failure(ErrorKind::Unauthorized, None),
        );
        assert_eq!(pool.chat(&ChatRequest::default()).await.unwrap_err().kind(), ErrorKind::SpendCap);
    }

    #[tokio::test]
    async fn what_failed_keys_were_answered_for_is_known_whoever_answers() {
        let spent = |tokens| Usage { prompt_tokens: tokens, ..Usage::default() };
        let limited = |tokens| failure(ErrorKind::RateLimited, None).with_spent(Some(spent(tokens)));
        let refused = || failure(ErrorKind::Unauthorized, None);
        let failed = failure(ErrorKind::UpstreamFailed, None);
        for (failures, lost) in [
            ([vec![], vec![], vec![]], None),
            ([vec![limited(5)], vec![], vec![]], Some(spent(5))),
            ([vec![limited(5)], vec![limited(7)], vec![]], Some(spent(12))),
            ([vec![limited(5)], vec![limited(7)], vec![refused()]], Some(spent(12))),
            ([vec![limited(5)], vec![failed.clone()], vec![]], Some(spent(5))),
        ] {
            let (pool, _) = pool(failures);
            let known = match pool.chat(&ChatRequest::default()).await {
                Ok(answer) => answer.lost,
                Err(error) => error.spent(),
            };
            assert_eq!(known, lost);
        }
    }

    #[tokio::test]
    async fn one_key_that_works_is_healthy_and_a_probe_ends_the_rest_of_a_refused_one() {
        let refused = || failure(ErrorKind::Unauthorized, None);
        let (pool, ways) = pool([vec![refused(), refused()], vec![]]);
        pool.chat(&ChatRequest::default()).await.unwrap();
        pool.probe().await.unwrap();
        assert_eq!(asked(&ways), [2, 2]);
        for _ in 0..2 {
            pool.chat(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [0, 2], "it was refused by the probe too");
        pool.probe().await.unwrap();
        asked(&ways);
        for _ in 0..2 {
            pool.chat(&ChatRequest::default()).await.unwrap();
        }
        assert_eq!(asked(&ways), [1, 1]);

        let (pool, _) = self::pool([vec![refused()], vec![failure(ErrorKind::ConnectFailed, None)]]);
        assert_eq!(pool.probe().await.unwrap_err().kind(), ErrorKind::ConnectFailed);

        let restricted = || failure(ErrorKind::EndpointNotFound, None);
        for failures in [[vec![refused()], vec![restricted()]], [vec![restricted()], vec![refused()]]] {
            let (pool, _) = self::pool(failures);
            assert_eq!(pool.probe().await.unwrap_err().kind(), ErrorKind::EndpointNotFound, "that key works");
        }
    }
}
