//! `octroi audit`: reading, proving and erasing records. It works on the store itself, whether or not a gateway runs.

mod erase;
mod export;
mod replay;
mod reproduce;
mod search;
mod settings;
mod show;
mod shown;
mod tail;
mod verify;
mod version;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::Configured;
use crate::audit::{AuditError, AuditReader, PublicKey, Query};
use crate::config::{Config, Environment};
use crate::gateway::replay::ReplayOptions;
use crate::policy::digest::Digest;
pub(super) use settings::{check, settings};

/// What to type first.
pub(super) const FIRST: &str = "\
What was refused today, one of them in full, and whether nobody changed anything:
  octroi audit search --decision blocked --since 24h
  octroi audit show req_01998f...
  octroi audit verify";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Finds requests, pre-checks and reported calls, newest first.
    Search {
        #[command(flatten)]
        configured: Configured,
        #[command(flatten)]
        filter: Filter,
        /// Entries at most.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Entries to pass over.
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u64,
        /// One JSON object a line instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Tells the whole story of a request, a pre-check, a reported call or a context, or shows any other record.
    Show {
        #[command(flatten)]
        configured: Configured,
        /// Its id, as an answer or a search gave it.
        id: String,
        /// The records as JSON objects, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints entries as they come, until it is interrupted.
    Tail {
        #[command(flatten)]
        configured: Configured,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// The newest entries that are there already.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        lines: u32,
    },
    /// Writes records, with all that proves them, or entries for a spreadsheet.
    Export {
        #[command(flatten)]
        configured: Configured,
        /// `jsonl`: every record and checkpoint, to be verified by anyone; `csv`: entries.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// The file; standard output without it. It must not be there yet.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// `jsonl` without texts; nothing is missing for verification.
        #[arg(long)]
        without_content: bool,
        #[command(flatten)]
        filter: Filter,
    },
    /// Checks the hash chains and their signed checkpoints, from the first record to the last.
    ///
    /// Exits with 1 at the first thing that does not fit. Of the store, what a search goes by is compared with the records;
    /// on the gateway's own machine texts are checked too.
    Verify {
        #[command(flatten)]
        configured: Configured,
        /// An export (jsonl) instead of the store. Needs --public-key and nothing else.
        #[arg(long, value_name = "FILE", requires = "public_key")]
        export: Option<PathBuf>,
        /// A public key that is trusted, as `octroi audit key` prints it; may be given more than once. Without it: the
        /// configured key's.
        #[arg(long, value_name = "KEY", value_parser = |text: &str| text.parse::<PublicKey>().map_err(|it| it.to_string()))]
        public_key: Vec<PublicKey>,
    },
    /// Prints the public key, with which others verify.
    Key {
        #[command(flatten)]
        configured: Configured,
    },
    /// Recomputes one old decision: with the versions that took it, the text and the readings on record.
    ///
    /// Exits with 0 when every verdict is the one on record, with 1 when one is another, with 3 when something is missing:
    /// the text (`audit.content` was not `full`), or a version that is not in the archive. A verdict that came from a
    /// limit or a trap is shown, not recomputed; so is one on an answer that was streamed.
    Reproduce {
        #[command(flatten)]
        configured: Configured,
        /// The id of a request, a pre-check, a reported call or a context.
        id: String,
    },
    /// Runs a policy that is not live over recorded requests, and prints what it would change.
    ///
    /// In the gateway's own sandbox, on all cores. Its cases must pass. The clock that it is told is the record's time;
    /// counters begin at 0 for each request. Answers are judged where it judges answers.
    Replay {
        #[command(flatten)]
        configured: Configured,
        /// The manifest (NAME.yaml) of one policy. Compared with what the policy of its name said, or with nothing; its
        /// `mode` and `rollout` make no difference.
        #[arg(long, value_name = "FILE", required_unless_present = "policies")]
        policy: Option<PathBuf>,
        /// A folder of policies, as `policies.directory` is one. Compared with what the policies in force decided.
        #[arg(long, value_name = "DIR", conflicts_with = "policy")]
        policies: Option<PathBuf>,
        /// The first moment: a time such as 2026-11-20T09:15:00Z or 2026-11-20, or an age such as 7d.
        #[arg(long, value_name = "TIME", value_parser = when::read)]
        since: Option<Timestamp>,
        /// The last moment.
        #[arg(long, value_name = "TIME", value_parser = when::read)]
        until: Option<Timestamp>,
        /// The client.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Examples of each change at most; the oldest are shown.
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
        examples: u32,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Writes a version of a policy out of the archive: its manifest and its module, as it was loaded then.
    ///
    /// In the policies folder they are in force again. Module, settings and cases are those of the version, or nothing is
    /// written. What else the manifest says, its `name` too, is not part of a version and not checked: it is that of the
    /// first policy that went live with it, as it was then. Compare it before you use it.
    Version {
        #[command(flatten)]
        configured: Configured,
        /// The version: 64 hexadecimal digits, as `octroi audit show --json` and `GET /admin/policies` give it.
        #[arg(value_name = "ID")]
        version: Digest,
        /// The folder for both files, which is made if need be. Files that are there are not overwritten.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Erases texts. Their records stay, and one more says what was erased; `verify` still passes.
    #[command(group(ArgGroup::new("whose").required(true).args(["id", "client"])))]
    Erase {
        #[command(flatten)]
        configured: Configured,
        /// The texts of one request, pre-check or reported call; of a context: its pre-check and its calls.
        #[arg(long, value_name = "ID", conflicts_with = "before")]
        id: Option<String>,
        /// The texts of a client, up to `--before`.
        #[arg(long, value_name = "ID", requires = "before")]
        client: Option<String>,
        /// The first moment whose texts are kept: a time, or an age such as 90d.
        #[arg(long, value_name = "TIME", requires = "client", value_parser = when::read)]
        before: Option<Timestamp>,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Records and checkpoints.
    #[default]
    Jsonl,
    /// Entries.
    Csv,
}

/// Which entries. All must fit.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Filter {
    /// The tenant; all of them without it.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// The client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// The person, as the client named them.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// `allowed`, `blocked`, `redacted` or `error`.
    #[arg(long, value_name = "WORD", value_parser = ["allowed", "blocked", "redacted", "error"])]
    decision: Option<String>,
    /// The request type; `llm-call` for reported calls, `tool-call` for reported tools.
    #[arg(long = "type", value_name = "TYPE")]
    request_type: Option<String>,
    /// A policy that matched, in shadow or not.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// The first moment: a time such as 2026-11-20T09:15:00Z or 2026-11-20, or an age such as 24h.
    #[arg(long, value_name = "TIME", value_parser = when::read)]
    since: Option<Timestamp>,
    /// The last moment.
    #[arg(long, value_name = "TIME", value_parser = when::read)]
    until: Option<Timestamp>,
}

impl Filter {
    fn query(&self) -> Query {
        Query {
            tenant: self.tenant.clone(),
            client_id: self.client.clone(),
            user_email: self.user.clone(),
            action: self.decision.clone(),
            request_type: self.request_type.clone(),
            policy_name: self.policy.clone(),
            start: self.since,
            end: self.until,
            ..Query::everything()
        }
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Search { configured, filter, limit, offset, json } => {
            let query = Query { limit: *limit, offset: *offset, ..filter.query() };
            search::run(&reader(configured)?, &query, *json)
        }
        Command::Show { configured, id, json } => show::run(&reader(configured)?, id, *json),
        Command::Tail { configured, json, lines } => tail::run(&reader(configured)?, *lines, *json),
        Command::Export { configured, format, output, without_content, filter } => {
            export::check(*format, *without_content, filter)?;
            export::run(&reader(configured)?, *format, output.as_deref(), *without_content, filter)
        }
        Command::Verify { export: Some(file), public_key, .. } => verify::export(file, public_key),
        Command::Verify { configured, public_key, .. } => verify::store(&config(configured)?, public_key),
        Command::Key { configured } => {
            print_line(&settings::known_key(&config(configured)?.audit.key)?.public().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Reproduce { configured, id } => reproduce::run(&config(configured)?, id),
        Command::Replay { configured, policy, policies, since, until, client, examples, json } => {
            let options = ReplayOptions {
                since: *since,
                until: *until,
                client: client.clone(),
                examples: usize::try_from(*examples).unwrap_or(usize::MAX),
            };
            let config = config(configured)?;
            let what = match (policy, policies) {
                (Some(manifest), _) => replay::What::Policy(manifest),
                (None, Some(folder)) => replay::What::Folder(folder),
                (None, None) => anyhow::bail!("either --policy or --policies"),
            };
            replay::run(&config, &what, &options, *json)
        }
        Command::Version { configured, version, output } => version::run(&reader(configured)?, version, output),
        Command::Erase { configured, id, client, before, reason } => {
            let selection = erase::selection(id.as_deref(), client.as_deref(), *before)?;
            erase::run(&config(configured)?, selection, reason.clone())
        }
    }
}

fn config(configured: &Configured) -> anyhow::Result<Config> {
    Ok(Config::load(configured.config.as_deref(), &Environment::process())?.config)
}

fn reader(configured: &Configured) -> anyhow::Result<AuditReader> {
    let config = config(configured)?;
    open(&config).map_err(Into::into)
}

fn open(config: &Config) -> Result<AuditReader, AuditError> {
    AuditReader::open(&config.audit.store)
}

/// Prints a line, or several. A reader that went away (`| head`) is an error, which ends the command.
fn print_line(line: &str) -> std::io::Result<()> {
    super::print::line(shown::lines(line))
}

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(super::print::line(shown::json(&serde_json::to_string(value)?))?)
}
