//! `octroi policy test`.

use std::path::Path;
use std::process::ExitCode;

use comfy_table::{Table, presets};

use super::candidate::Candidate;
use crate::cli::{print, start};
use crate::policy::load::Step;

pub(super) fn run(manifest: &Path) -> anyhow::Result<ExitCode> {
    let candidate = Candidate::read(manifest)?;
    let mut cases = Vec::new();
    let loaded = start::runtime()?.block_on(candidate.load(&mut |case| cases.push(case)));
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["case", "result", "microseconds"]);
    for case in &cases {
        let result = if case.problem.is_some() { "FAILED" } else { "ok" };
        table.add_row([case.name.clone(), result.to_owned(), case.elapsed_us.to_string()]);
    }
    if !cases.is_empty() {
        print::line(&table)?;
    }
    for problem in cases.iter().filter_map(|case| case.problem.as_deref()) {
        print::line(problem)?;
    }
    let failed = cases.iter().filter(|case| case.problem.is_some()).count();
    match loaded {
        Ok(version) => {
            let passed = match cases.len() {
                0 => "it has no cases".to_owned(),
                1 => "1 case passed".to_owned(),
                several => format!("{several} cases passed"),
            };
            print::line(format_args!(
                "{}: {passed}, compiled in {} ms, {} of memory",
                candidate.manifest.name,
                version.about.compile_ms,
                bytesize::ByteSize(version.about.memory_bytes as u64)
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            match error.step {
                Step::Tests => {
                    print::line(format_args!("{}: {failed} of {} cases failed", candidate.manifest.name, cases.len()))?
                }
                _ => print::line(format_args!("{}: {error}", candidate.manifest.name))?,
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
