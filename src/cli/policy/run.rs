//! `octroi policy run`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::candidate::{Candidate, conversation};
use crate::chat::{Message, Role};
use crate::cli::{print, start};
use crate::policy::Context;
use crate::policy::manifest::CaseContext;
use crate::policy::readings::Source;
use crate::policy::sandbox::GuestLog;
use crate::policy::verdict::{self, Action, Verdict};

/// What the policy is told beside the text.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Asked {
    /// The client that asks.
    #[arg(long, value_name = "ID", default_value = "author")]
    client: String,
    /// The tenant whose data it is. By default the client.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// The kind of request.
    #[arg(long, value_name = "NAME", default_value = "chat")]
    request_type: String,
    /// The model that is asked for.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A provider that the request could go to. May be given more than once.
    #[arg(long = "provider", value_name = "NAME")]
    providers: Vec<String>,
    /// A further fact. May be given more than once.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

fn attribute(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Asked {
    fn context(&self) -> Context {
        let case = CaseContext {
            client: self.client.clone(),
            tenant: self.tenant.as_ref().unwrap_or(&self.client).clone(),
            request_type: self.request_type.clone(),
            model: self.model.clone(),
            providers: self.providers.clone(),
            attributes: self.attributes.iter().cloned().collect(),
            ..CaseContext::default()
        };
        case.context()
    }
}

pub(super) fn run(manifest: &Path, query: &str, asked: &Asked, phase: Option<&str>) -> anyhow::Result<ExitCode> {
    let candidate = Candidate::read(manifest)?;
    let colour = wants_colour();
    start::runtime()?.block_on(async {
        let version = candidate.load(&mut |_| ()).await?;
        let question = candidate.question(&version, phase)?;
        let context = asked.context();
        let messages = conversation(question, query);
        let allowance = candidate.allowance(query.len());
        let source = Source::of_trial();
        let started = Instant::now();
        let evaluated =
            version.ready.evaluate(&candidate.engine, allowance, source, question, &context, &messages).await;
        let elapsed = started.elapsed();
        match evaluated {
            Ok(evaluated) => {
                print::line(shown(&evaluated.verdict, query, colour).trim_end_matches('\n'))?;
                print_log(&evaluated.log)?;
                print::line(format_args!("time    {:.1} microseconds, sandbox included", elapsed.as_secs_f64() * 1e6))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(failed) => {
                print_log(&failed.log)?;
                print::line(format_args!("no verdict: {} ({})", failed.error, failed.error.code()))?;
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

fn print_log(log: &GuestLog) -> std::io::Result<()> {
    for line in &log.lines {
        print::line(format_args!("log     {}: {}", line.level, line.text))?;
    }
    if log.dropped > 0 {
        print::line(format_args!("log     {} more lines were dropped (`limits.log`)", log.dropped))?;
    }
    Ok(())
}

/// On a terminal, unless `NO_COLOR` says no (https://no-color.org).
fn wants_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A verdict for people: the action, the findings, the text with what was found marked, and what becomes of it.
fn shown(verdict: &Verdict, query: &str, colour: bool) -> String {
    let mut text = String::new();
    let action = paint(verdict.action.as_str(), colour_of(verdict.action), colour);
    let _ = writeln!(text, "action  {action}");
    if let Some(reason) = &verdict.reason {
        let _ = writeln!(text, "reason  {reason}");
    }
    for finding in &verdict.findings {
        let severity = finding.severity.as_str();
        let place = finding.place.map_or(String::new(), |it| format!(", bytes {}..{}", it.start, it.end));
        let _ = writeln!(text, "found   {} ({}, {severity}{place})", finding.rule, finding.category);
    }
    if verdict.findings.iter().any(|finding| finding.place.is_some()) {
        let _ = writeln!(text, "text    {}", marked(verdict, query, colour));
    }
    if verdict.edits_apply() {
        let mut messages = [Message::text(Role::User, query)];
        verdict::apply(&verdict.edits, &mut messages);
        let [message] = messages;
        let _ = writeln!(text, "after   {}", message.plain_text());
    }
    if let Some(routing) = &verdict.routing {
        let list = |names: &[String]| if names.is_empty() { "any".to_owned() } else { names.join(", ") };
        let _ = writeln!(text, "routing providers: {}; regions: {}", list(&routing.providers), list(&routing.regions));
    }
    for (name, value) in &verdict.tags {
        let _ = writeln!(text, "tag     {name}={value}");
    }
    text
}

/// The text with what was found in red, or between brackets where there is no colour.
fn marked(verdict: &Verdict, query: &str, colour: bool) -> String {
    let mut places: Vec<_> = verdict
        .findings
        .iter()
        .filter_map(|finding| finding.place)
        .map(|place| (place.start as usize, place.end as usize))
        .collect();
    places.sort_unstable();
    let mut text = String::new();
    let mut done = 0;
    for (start, end) in places {
        let start = start.max(done);
        let (Some(before), Some(found)) = (query.get(done..start), query.get(start..end)) else { continue };
        if found.is_empty() {
            continue;
        }
        text.push_str(before);
        text.push_str(&if colour { paint(found, "41", true) } else { format!("[{found}]") });
        done = end;
    }
    text.push_str(query.get(done..).unwrap_or_default());
    text
}

fn colour_of(action: Action) -> &'static str {
    match action {
        Action::Allow | Action::Log => "32",
        Action::Warn | Action::Redact => "33",
        Action::RequireApproval | Action::Deny => "31",
    }
}

fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
