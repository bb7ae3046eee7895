//! `octroi policy inspect`.

use std::path::Path;
use std::process::ExitCode;

use super::candidate::read_module;
use crate::policy::component::WIT_VERSION;
use crate::policy::digest::Digest;
use crate::policy::load::module;

#[expect(clippy::print_stdout, reason = "what it tells is what the command is for")]
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let bytes = read_module(file)?;
    println!("file       {}", file.display());
    println!("sha256     {}", Digest::of(&bytes));
    println!("size       {}", bytesize::ByteSize(bytes.len() as u64));
    let core = wasmparser::Parser::is_core_wasm(&bytes);
    let component = module::encode(bytes)?;
    println!("form       {}", if core { "core module, encoded as a component when it is loaded" } else { "component" });
    let survey = module::survey(&component)?;
    println!("modules    {}, with {} functions", survey.modules, survey.functions);
    println!("imports    {}", list(&survey.imports));
    println!("exports    {}", list(&survey.exports));
    match module::validate(&component, &[]) {
        Ok(()) => {
            println!("verdict    a policy of {WIT_VERSION}; `octroi policy test MANIFEST` loads it");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("verdict    no policy as it stands: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join("\n           ") }
}
