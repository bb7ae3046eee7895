//! What an evaluation costs: in a fresh sandbox (store, instantiate, call, drop), as every request pays it, beside the
//! same call on an instance that is kept. In interleaved rounds, so that a noisy machine disturbs both alike.

use std::sync::Arc;
use std::time::Instant;

use super::Context;
use super::component::{EvaluationError, Question};
use super::engine::Engine;
use super::load::worker::Version;
use super::readings::Source;
use super::sandbox::{self, Allowance};
use crate::chat::Message;

/// Calls of one kind before those of the other.
const CALLS: usize = 50;

/// Durations of many calls, in microseconds.
#[derive(Clone, Debug)]
pub struct Sample(Vec<f64>);

impl Sample {
    fn new(mut durations: Vec<f64>) -> Self {
        durations.sort_by(f64::total_cmp);
        Self(durations)
    }

    /// The duration below which this share of the calls stayed; 0.5 is the median.
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The first call of all, in a sandbox of its own, in microseconds: nothing is in memory yet.
    pub first: f64,
    /// Each call in a sandbox of its own.
    pub fresh: Sample,
    /// All calls on one instance.
    pub reused: Sample,
}

/// Measures `rounds` times 50 calls of each kind.
pub async fn measure(
    engine: &Arc<Engine>,
    version: &Version,
    allowance: Allowance,
    question: Question,
    context: &Arc<Context>,
    messages: &Arc<Vec<Message>>,
    rounds: usize,
) -> Result<Figures, EvaluationError> {
    let ready = &version.ready;
    let source = Source::of_trial();
    let (mut fresh, mut reused) = (Vec::with_capacity(rounds * CALLS), Vec::with_capacity(rounds * CALLS));
    let call = async || {
        let started = Instant::now();
        let evaluated = ready.evaluate(engine, allowance, source.clone(), question, context, messages).await;
        let elapsed = started.elapsed().as_secs_f64() * 1e6;
        evaluated.map(|_| elapsed).map_err(|failed| failed.error)
    };
    let first = call().await?;
    let mut store = sandbox::store(engine, allowance, source.clone());
    let instance = ready.instantiate(&mut store).await?;
    for _ in 0..rounds {
        for _ in 0..CALLS {
            fresh.push(call().await?);
        }
        for _ in 0..CALLS {
            store.data_mut().renew(allowance.ticks, source.clone());
            let started = Instant::now();
            ready.evaluate_in(&mut store, &instance, question, context, messages).await?;
            reused.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(Figures { first, fresh: Sample::new(fresh), reused: Sample::new(reused) })
}
