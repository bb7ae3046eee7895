//! What is measured: a way to ask, and the process that it costs.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::CORES;
use crate::clock::Clock;
use crate::connection::Call;
use crate::load::{Load, Run};
use crate::process::{self, Process, Share};

/// What people send.
const PROMPT: &str = "Please summarise the minutes of our meeting on the new printer contract. The supplier offers \
    3 devices for each floor, delivery within 14 days, and a technician within 4 hours on working days. The board asked \
    whether toner is included, what happens after the first 36 months, and who pays for repairs that the users caused. \
    Keep it short, use plain words, list what is still open, and end with a proposal for a vote next week.";

/// Where it is asked, and who has to work for it; nobody when the model is asked itself.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Option<Process>,
}

impl Server {
    /// `POST /v1/chat/completions`, as the model and everything in front of it takes it.
    pub(crate) fn chat(self, name: &'static str) -> Subject {
        self.asks(name, "/v1/chat/completions", &chat(""), r#""total_tokens":152"#)
    }

    /// The same as a stream.
    pub(crate) fn stream(self, name: &'static str) -> Subject {
        self.asks(name, "/v1/chat/completions", &chat(r#","stream":true"#), "data: [DONE]")
    }

    /// Proxy mode.
    pub(crate) fn request(self, name: &'static str) -> Subject {
        self.asks(name, "/api/request", &format!(r#"{{"query":"{PROMPT}"}}"#), r#""success":true"#)
    }

    /// Gateway mode: no model is asked.
    pub(crate) fn pre_check(self, name: &'static str) -> Subject {
        let body = format!(r#"{{"query":"{PROMPT}","client_id":"bench"}}"#);
        let asked = self.asks(name, "/api/policy/pre-check", &body, r#""approved":true"#);
        Subject { answered_by: AnsweredBy::Gateway, ..asked }
    }

    fn asks(self, name: &'static str, path: &str, body: &str, expected: &'static str) -> Subject {
        let call = Rc::new(Call::new(self.address, path, body, expected));
        Subject { name, server: self, call, answered_by: AnsweredBy::Model }
    }
}

fn chat(further: &str) -> String {
    let messages = format!(r#"[{{"role":"user","content":"{PROMPT}"}}]"#);
    format!(r#"{{"model":"mistral-small-latest","messages":{messages}{further}}}"#)
}

#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    server: Server,
    call: Rc<Call>,
    pub(crate) answered_by: AnsweredBy,
}

/// Whose answer it is: only the model's can be had without the gateway, too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnsweredBy {
    Model,
    Gateway,
}

/// How it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Pressure {
    /// Requests a second.
    pub(crate) rate: u32,
    pub(crate) connections: usize,
    /// Not counted: memory is touched, the upstream's connections are opened.
    pub(crate) warm: Duration,
    pub(crate) time: Duration,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) run: Run,
    /// Microseconds of processor time a request.
    pub(crate) cost: f64,
    /// Microseconds a request in which a thread waited for the processor.
    pub(crate) waited: f64,
    /// Megabytes afterwards.
    pub(crate) resident: f64,
    /// What others took of the two cores meanwhile, as a share of one.
    pub(crate) others: f64,
}

/// Others take no more of a run that counts, as long as one like that can be had.
const QUIET: f64 = 0.05;
/// Runs for one that is quiet.
const TRIES: usize = 4;

impl Measured {
    pub(crate) fn is_quiet(&self) -> bool {
        self.others <= QUIET
    }
}

impl Subject {
    /// The first run that others do not disturb; of several that they do, the least disturbed.
    pub(crate) async fn measure(&self, clock: &Rc<Clock>, pressure: Pressure) -> Measured {
        let mut best = self.try_once(clock, pressure).await;
        for _ in 1..TRIES {
            if best.is_quiet() {
                break;
            }
            let again = self.try_once(clock, pressure).await;
            if again.others < best.others {
                best = again;
            }
        }
        best
    }

    /// One run, disturbed or not.
    pub(crate) async fn try_once(&self, clock: &Rc<Clock>, pressure: Pressure) -> Measured {
        let Pressure { rate, connections, warm, time } = pressure;
        let process = self.server.process;
        process.inspect(|it| it.go_on());
        let mut load = Load::open(clock, &self.call, connections).await.expect("the server accepts");
        load.run(rate, warm).await;
        let share = || process.map_or_else(Share::default, Process::share);
        let all = || (share(), Process::this().share(), process::idle(&CORES), Instant::now());
        let before = all();
        let run = load.run(rate, time).await;
        let after = all();
        let resident = process.map_or(0.0, Process::resident);
        process.inspect(|it| it.stand_still());
        let (gateway, generator) = (after.0.since(before.0), after.1.since(before.1));
        let wall = after.3 - before.3;
        let cores = u32::try_from(CORES.len()).unwrap_or(u32::MAX);
        let nobodys = gateway.used + generator.used + after.2.saturating_sub(before.2);
        let others = (wall * cores).saturating_sub(nobodys).as_secs_f64() / wall.as_secs_f64();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / run.answered.max(1) as f64;
        let (cost, waited) = (each(gateway.used), each(gateway.waited));
        Measured { run, cost, waited, resident, others }
    }
}
