//! `octroi policy inspect`: all that can be said of a module, by the code that would serve it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bytesize::ByteSize;

use super::bench::PROMPT;
use super::candidate::{Candidate, conversation, read_module};
use crate::cli::{print, start};
use crate::policy::component::WIT_VERSION;
use crate::policy::is_manifest;
use crate::policy::load::module::{self, Survey};
use crate::policy::load::worker::Version;
use crate::policy::load::{LoadError, Step};
use crate::policy::manifest::{CaseContext, GRANTABLE};
use crate::policy::measure::measure;

/// 500 calls of each kind: a second or two in an interpreter.
const ROUNDS: usize = 10;

pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let with_manifest = is_manifest(file);
    let candidate =
        if with_manifest { Candidate::read(file)? } else { Candidate::without_manifest(read_module(file)?)? };
    print::line(format_args!("file       {}", file.display()))?;
    match tell(&candidate) {
        Ok(()) => {
            print::line(format_args!("verdict    a policy of {WIT_VERSION}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            print::line(format_args!("verdict    no policy as it stands: {error:#}"))?;
            if !with_manifest && error.downcast_ref::<LoadError>().is_some_and(|error| error.step == Step::Configure) {
                print::line(format_args!(
                    "           (with `{{}}` as its settings; inspect its manifest, and its own are used)"
                ))?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Prints what is known, up to the first thing that is wrong.
fn tell(candidate: &Candidate) -> anyhow::Result<()> {
    let module = &candidate.module;
    print::line(format_args!("sha256     {}", module.digest))?;
    print::line(format_args!("size       {}", ByteSize(module.bytes.len() as u64)))?;
    let core = wasmparser::Parser::is_core_wasm(&module.bytes);
    let component = module::encode(module.bytes.to_vec())?;
    print::line(format_args!(
        "form       {}",
        if core { "core module, encoded as a component when it is loaded" } else { "component" }
    ))?;
    let survey = module::survey(&component)?;
    print::line(format_args!("modules    {}, with {} functions", survey.modules, survey.functions))?;
    print::line(format_args!("imports    {}", list(&survey.imports)))?;
    print::line(format_args!("exports    {}", list(&survey.exports)))?;
    print::line(format_args!("WIT        {}", list(&packages(&survey))))?;
    let imported = |name: &&&str| survey.imports.iter().any(|it| it.contains(&format!("/{name}@")));
    let wanted: Vec<_> = GRANTABLE.iter().filter(imported).copied().collect();
    if !wanted.is_empty() {
        print::line(format_args!("grants     {} (`capabilities` of its manifest)", wanted.join(", ")))?;
    }
    start::runtime()?.block_on(async {
        let version = candidate.load(&mut |_| ()).await?;
        let about = &version.about;
        print::line(format_args!("policy     {} {}: {}", about.name, about.version, about.summary))?;
        for rule in &about.rules {
            print::line(format_args!("rule       {} ({}): {}", rule.id, rule.category, rule.summary))?;
        }
        print::line(format_args!(
            "compile    {} ms: once to be configured, once with its frozen memory",
            about.compile_ms
        ))?;
        let warm = if about.cases > 0 { format!(" and {} cases", about.cases) } else { String::new() };
        print::line(format_args!("memory     {} after configure{warm}", ByteSize(about.memory_bytes as u64)))?;
        latency(candidate, &version).await
    })
}

/// The first call, as the first request after a load pays it, and what later ones pay.
async fn latency(candidate: &Candidate, version: &Version) -> anyhow::Result<()> {
    let question = candidate.question(version, None)?;
    let context = Arc::new(CaseContext::default().context());
    let messages = Arc::new(conversation(question, PROMPT));
    let allowance = candidate.allowance(PROMPT.len());
    let figures = measure(&candidate.engine, version, allowance, question, &context, &messages, ROUNDS).await?;
    let asked = question.phase().as_str();
    print::line(format_args!(
        "first call {:.1} microseconds ({asked}, a text of {} bytes)",
        figures.first,
        PROMPT.len()
    ))?;
    let [p50, p99] = [0.5, 0.99].map(|share| figures.fresh.at(share));
    print::line(format_args!("steady     {p50:.1} microseconds (p50), {p99:.1} (p99), in a fresh sandbox each"))?;
    print::line(format_args!(
        "           {:.1} microseconds (p50) on one instance that is kept",
        figures.reused.at(0.5)
    ))?;
    Ok(())
}

/// The packages that it was built against, as its imports and exports name them.
fn packages(survey: &Survey) -> Vec<String> {
    let package = |name: &String| {
        let (path, version) = name.split_once('@')?;
        Some(format!("{}@{version}", path.split_once('/')?.0))
    };
    survey.imports.iter().chain(&survey.exports).filter_map(package).collect::<BTreeSet<_>>().into_iter().collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join("\n           ") }
}
