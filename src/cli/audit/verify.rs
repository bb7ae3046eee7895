//! `octroi audit verify`: does everything fit?

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{open, print_line, settings};
use crate::audit::record::Found;
use crate::audit::{
    AuditError, AuditReader, Begins, ChainInfo, ChainVerifier, EntryVerifier, ExportError, Item, Misfit, PublicKey,
    TakenOver, TextVerifier, Texts, Verified, verify_export,
};
use crate::config::Config;

/// Texts stand beside the chain: what fits their records' HMACs is the key's to say.
const TEXTS_NOT_CHECKED: &str = "texts: not checked; that takes the store, and the key itself (audit.key)";

/// Checks the configured store.
pub(super) fn store(config: &Config, public_keys: &[PublicKey]) -> anyhow::Result<ExitCode> {
    let reader = open(config)?;
    let key = match settings::known_key(&config.audit.key) {
        Ok(key) => Some(key),
        // Whoever names public keys may have no other.
        Err(_) if !public_keys.is_empty() => None,
        Err(error @ AuditError::Key(_)) => {
            bail!("{error}; to check the chains without it, name the public key with `--public-key`")
        }
        Err(error) => return Err(error.into()),
    };
    let trusted: Vec<_> = match (public_keys, &key) {
        ([], Some(key)) => vec![key.public()],
        (named, _) => named.to_vec(),
    };
    let mut texts = key.as_ref().map(|key| TextVerifier::new(key, &trusted));
    match check(&reader, &trusted, &mut texts)? {
        Ok((chains, entries)) => {
            for chain in &chains {
                report(chain)?;
            }
            print_line(&format!("entries: {entries} are as their records say"))?;
            match texts.map(TextVerifier::end) {
                Some(Ok(found)) => {
                    print_line(&format!(
                        "texts: {} are as they were written, {} were erased, and erasures account for them",
                        found.texts, found.erased
                    ))?;
                    if found.unchecked > 0 {
                        print_line(&format!(
                            "texts: {} are from the time of another key; not checked",
                            found.unchecked
                        ))?;
                    }
                }
                Some(Err(misfit)) => return does_not_fit(&misfit),
                None => print_line(TEXTS_NOT_CHECKED)?,
            }
            print_line("ok")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(misfit) => does_not_fit(&misfit),
    }
}

/// The chains, and how many entries a search finds that are as their records say.
fn check(
    reader: &AuditReader,
    trusted: &[PublicKey],
    texts: &mut Option<TextVerifier<'_>>,
) -> anyhow::Result<Result<(Vec<Verified>, u64), Misfit>> {
    let bar = bar(reader.chains()?.iter().map(ChainInfo::records).sum());
    let mut entries = EntryVerifier::new(reader);
    let mut verified = Vec::new();
    for chain in reader.chains_in_turn()? {
        let chain = chain?;
        if chain.node.is_empty() {
            let later = match reader.check_older(&chain)? {
                Ok(later) => later,
                Err(misfit) => {
                    bar.finish_and_clear();
                    return Ok(Err(misfit));
                }
            };
            bar.inc(chain.records());
            let mut line = format!("{} records are older than the chain; nothing proves them", chain.records());
            if later > 0 {
                line.push_str(&format!(
                    "; {later} of them name a time that is not: a clock was set back, or somebody wrote them since"
                ));
            }
            bar.suspend(|| print_line(&line))?;
            continue;
        }
        match check_chain(reader, &chain, trusted, texts, &mut entries, &bar)? {
            Ok(found) => verified.push(found),
            Err(misfit) => {
                bar.finish_and_clear();
                return Ok(Err(misfit));
            }
        }
    }
    bar.finish_and_clear();
    Ok(entries.end()?.map(|entries| (verified, entries)))
}

fn check_chain(
    reader: &AuditReader,
    chain: &ChainInfo,
    trusted: &[PublicKey],
    texts: &mut Option<TextVerifier<'_>>,
    entries: &mut EntryVerifier<'_>,
    bar: &ProgressBar,
) -> anyhow::Result<Result<Verified, Misfit>> {
    let mut verifier = ChainVerifier::new(&chain.node, trusted, Begins::AtItsStart);
    let read = if texts.is_some() { Texts::Read } else { Texts::Left };
    entries.begin(chain)?;
    for item in reader.chain(chain, read)? {
        let fits = match item? {
            Item::Record(record) => {
                bar.inc(1);
                entries.record(&record)?;
                verifier.record(&record, None).and_then(|()| match texts {
                    Some(texts) => texts.record(&record),
                    None => Ok(()),
                })
            }
            Item::Checkpoint(checkpoint) => {
                if let Some(texts) = texts {
                    texts.checkpoint(&chain.node, &checkpoint);
                }
                verifier.checkpoint(&checkpoint)
            }
        };
        if let Err(misfit) = fits {
            return Ok(Err(misfit));
        }
    }
    match verifier.end() {
        Ok(found) => Ok(entries.end_chain()?.map(|()| found)),
        Err(misfit) => Ok(Err(misfit)),
    }
}

/// Checks an export, with nothing but public keys.
pub(super) fn export(file: &Path, public_keys: &[PublicKey]) -> anyhow::Result<ExitCode> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let bar = bar(opened.metadata().map_or(0, |it| it.len()));
    bar.set_style(style("{bytes} of {total_bytes}"));
    let mut lines = BufReader::new(bar.wrap_read(opened));
    let checked = verify_export(&mut lines, public_keys, &mut || ());
    bar.finish_and_clear();
    match checked {
        Ok(found) => {
            if found.older > 0 {
                print_line(&format!("{} records are older than the chain; nothing proves them", found.older))?;
            }
            for chain in &found.chains {
                report(chain)?;
            }
            print_line(TEXTS_NOT_CHECKED)?;
            print_line("ok")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(ExportError::Misfit(misfit)) => does_not_fit(&misfit),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

fn report(chain: &Verified) -> std::io::Result<()> {
    let Verified { node, records, first, head, checkpoints, signed, cut, taken_over } = chain;
    let mut line = format!("{node}: {records} records fit, and {checkpoints} signed checkpoints");
    if let Some(cut) = cut {
        line.push_str(&format!("; those up to {} were removed by a signed cut", cut.0));
    } else if first.0 > 1 {
        line.push_str(&format!("; they begin at {}", first.0));
    }
    if head.seq > *signed {
        line.push_str(&format!("; the last {} are not signed yet", head.seq.0 - signed.0));
    }
    print_line(&line)?;
    for (found, taken_over) in taken_over {
        print_line(&format!("{node}: {}", told(*found, taken_over)))?;
    }
    print_line(&format!("{node}: head {} {}", head.seq.0, head.hash))
}

/// What nobody had signed, in words.
fn told(found: Option<Found>, TakenOver { times, records, latest }: &TakenOver) -> String {
    let when = match found {
        Some(Found::AtTheStart) => {
            "when a gateway started: what wrote them ended before it had signed them, as by a kill"
        }
        Some(Found::WhileRunning) => {
            "and came while a gateway ran: another process wrote them, or nobody heard that they were written"
        }
        None => "when a gateway went on behind them",
    };
    let latest =
        latest.map_or_else(String::new, |(from, through)| format!(", the last time {} to {}", from.0, through.0));
    format!("{records} records were not signed {when} ({times} times{latest})")
}

#[expect(clippy::print_stderr, reason = "what does not fit is the command's error")]
fn does_not_fit(misfit: &Misfit) -> anyhow::Result<ExitCode> {
    eprintln!("octroi: it does not fit: {misfit}");
    Ok(ExitCode::FAILURE)
}

/// A bar on standard error; none where that is no terminal.
pub(super) fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.set_style(style("{pos} of {len} records, {per_sec}"));
    bar
}

fn style(counted: &str) -> ProgressStyle {
    // The template is ours; one that could not be read would show the default bar.
    ProgressStyle::with_template(&format!("{{wide_bar}} {counted}, {{eta}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
