//! `octroi policy test`.

use std::path::Path;
use std::process::ExitCode;

use comfy_table::{Table, presets};

use super::candidate::Candidate;
use crate::cli::{print, start};

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
            let name = &candidate.manifest.name;
            if cases.iter().any(|case| case.problem.as_deref() == Some(&*error.message)) {
                print::line(format_args!("{name}: {failed} of {} cases failed", cases.len()))?;
            } else {
                print::line(format_args!("{name}: {error}"))?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
