//! `octroi audit erase`: texts go, records stay.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use super::{print_line, settings};
use crate::audit::{ErasureOrder, Selection, damaged_copies, erase};
use crate::config::Config;

pub(super) fn selection(
    id: Option<&str>,
    client: Option<&str>,
    before: Option<Timestamp>,
) -> anyhow::Result<Selection> {
    match (id, client, before) {
        (Some(id), None, None) => Ok(Selection::Id(id.to_owned())),
        (None, Some(client), Some(before)) => Ok(Selection::Client { client: client.to_owned(), before }),
        _ => bail!("either --id, or --client with --before"),
    }
}

pub(super) fn run(config: &Config, selection: Selection, reason: Option<String>) -> anyhow::Result<ExitCode> {
    // The key must be there: an erasure that nobody can verify would be worse than none.
    let key = settings::known_key(&config.audit.key)?;
    let opened = settings::without_node(&config.audit, key);
    let order = ErasureOrder { selection, by: who(), reason };
    let erased = erase(&opened, &order)?;
    print_line(&format!("{erased} texts erased"))?;
    if let Some(file) = opened.journal() {
        for copy in damaged_copies(file).with_context(|| format!("cannot look for files beside {}", file.display()))? {
            warn(&format!("{} was set aside from the spill journal; texts in it are not erased", copy.display()));
        }
    }
    Ok(if erased == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[expect(clippy::print_stderr, reason = "a warning is no output")]
fn warn(text: &str) {
    eprintln!("octroi: {text}");
}

/// The user as the system knows them, and the name that they go by.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = ["SUDO_USER", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
    name.map_or_else(|| format!("uid {uid}"), |name| format!("uid {uid} ({name})"))
}
