//! The bytes of a module: what they are, whether they hold to the rules, what they import and export.

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use super::{LoadCode, LoadError, Step};
use crate::policy::component::{
    AUDIT, LIFECYCLE, PRE_CHECK, RESPONSE, WIT_VERSION, is_interface, is_of_this_version, is_ours,
};
use crate::policy::manifest::GRANTABLE;
use crate::text::one_line;

/// The most functions in one component. Compile time grows with them.
const MAX_FUNCTIONS: u64 = 100_000;

/// Makes a component of a core module; leaves a component as it is.
pub fn encode(bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    let fail = |code, message: String| LoadError::new(Step::Encode, code, message);
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if !Parser::is_core_wasm(&bytes) {
        let problem = match bytes.as_slice() {
            [] => "the file is empty".to_owned(),
            [b'(', ..] | [b' ' | b'\n' | b'\t', ..] => {
                "the file looks like text; policies are binary WebAssembly (a `.wat` must be assembled first)".into()
            }
            [0x7f, b'E', b'L', b'F', ..] => {
                "the file is native code (a `.cwasm`?); policies are WebAssembly, compiled by the gateway".into()
            }
            _ => "the file does not begin as WebAssembly does".into(),
        };
        return Err(fail(LoadCode::NotWasm, problem));
    }
    // A core module is checked before the encoder sees it: the encoder trusts its input.
    Validator::new_with_features(features())
        .validate_all(&bytes)
        .map_err(|error| fail(LoadCode::Invalid, format!("{error}")))?;
    if in_a_circle(&bytes) {
        let message = "the interfaces that this core module describes depend on each other in a circle".to_owned();
        return Err(fail(LoadCode::NotEncodable, message));
    }
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            fail(
                LoadCode::NotEncodable,
                format!(
                    "this core module cannot be made a component: {error:#} (build it with `octroi-policy` or \
                     `wit-bindgen` for wasm32-unknown-unknown)"
                ),
            )
        })
}

/// Whether a module's description of its interfaces has packages that depend on each other in a circle. The encoder follows
/// dependencies to their end, and a circle has none: it would exhaust its stack, which no caller survives.
fn in_a_circle(module: &[u8]) -> bool {
    let sections = Parser::new(0).parse_all(module).filter_map(|payload| match payload {
        Ok(Payload::CustomSection(section)) if section.name().starts_with("component-type") => Some(section),
        _ => None,
    });
    // What cannot be read is the encoder's to refuse.
    let described = sections.filter_map(|section| wit_parser::decoding::decode_world(section.data()).ok());
    described.into_iter().any(|(resolve, _)| {
        // Packages all of whose dependencies are in order are in order; what is left over stands in a circle.
        let mut left: Vec<_> = resolve.packages.iter().map(|(id, _)| id).collect();
        loop {
            let before = left.len();
            let waits = |id: &wit_parser::PackageId| resolve.package_direct_deps(*id).any(|it| left.contains(&it));
            let still: Vec<_> = left.iter().copied().filter(waits).collect();
            left = still;
            if left.len() == before {
                return !left.is_empty();
            }
        }
    })
}

/// What a component is made of, as far as can be seen without compiling it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Functions in all its modules.
    pub functions: u64,
    /// Core modules in it.
    pub modules: u64,
}

/// Checks form, imports and exports, before anything is compiled.
pub fn validate(component: &[u8], capabilities: &[String]) -> Result<(), LoadError> {
    let survey = survey(component)?;
    if survey.functions > MAX_FUNCTIONS {
        return Err(LoadError::new(
            Step::Validate,
            LoadCode::TooLarge,
            format!("{} functions, at most {MAX_FUNCTIONS} are compiled", survey.functions),
        ));
    }
    check_imports(&survey.imports, capabilities)?;
    check_exports(&survey.exports)
}

/// Checks the form of a component and looks at what it is made of.
pub fn survey(component: &[u8]) -> Result<Survey, LoadError> {
    let fail =
        |error: wasmparser::BinaryReaderError| LoadError::new(Step::Validate, LoadCode::Invalid, error.to_string());
    Validator::new_with_features(features()).validate_all(component).map_err(fail)?;
    let mut survey = Survey::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(fail)? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                survey.modules += u64::from(encoding == Encoding::Module);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::FunctionSection(section) => survey.functions += u64::from(section.count()),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    survey.imports.push(import.map_err(fail)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    survey.exports.push(export.map_err(fail)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(survey)
}

fn check_imports(imports: &[String], capabilities: &[String]) -> Result<(), LoadError> {
    const FREE: [&str; 2] = ["types", "log"];
    let granted =
        |name: &str| FREE.into_iter().chain(capabilities.iter().map(String::as_str)).any(|it| is_interface(name, it));
    let refused: Vec<_> = imports.iter().filter(|name| !granted(name)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let is_refused = |capability: &str| refused.iter().any(|name| is_interface(name, capability));
    let grantable: Vec<_> = GRANTABLE.iter().copied().filter(|it| is_refused(it)).collect();
    let mut hint = String::new();
    if !grantable.is_empty() {
        hint = format!("; the manifest's `capabilities` would have to list {}", grantable.join(", "));
    }
    let mut ours = refused.iter().filter(|name| is_ours(name));
    if ours.clone().any(|name| !is_of_this_version(name)) {
        hint.push_str(&format!("; this gateway speaks `{WIT_VERSION}`: rebuild with its `wit/`"));
    } else if ours.any(|name| !GRANTABLE.iter().any(|it| is_interface(name, it))) {
        hint.push_str(&format!("; of `octroi:policy` there are types, log, {}", GRANTABLE.join(", ")));
    }
    if refused.iter().any(|name| name.starts_with("wasi:")) {
        hint.push_str("; no WASI is linked, build without it (docs/policies.md says how for each language)");
    }
    Err(LoadError::new(
        Step::Validate,
        LoadCode::ImportRefused,
        format!("it imports what it was not granted: {}{hint}", listed(refused.into_iter())),
    ))
}

/// Names for a message: a component can have a million of them, of 100,000 bytes each.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 64;
    let further = names.len().saturating_sub(SHOWN);
    let mut listed = names.take(SHOWN).map(|name| format!("`{}`", one_line(name, 256))).collect::<Vec<_>>().join(", ");
    if further > 0 {
        listed.push_str(&format!(" and {further} more"));
    }
    listed
}

fn check_exports(exports: &[String]) -> Result<(), LoadError> {
    let has = |name: &str| exports.iter().any(|export| export == name);
    let found = || {
        if exports.is_empty() { "nothing".to_owned() } else { listed(exports.iter()) }
    };
    if !has(LIFECYCLE) {
        return Err(LoadError::new(
            Step::Validate,
            LoadCode::BadExports,
            format!("it does not export `{LIFECYCLE}`, which every policy must; it exports {}", found()),
        ));
    }
    if ![PRE_CHECK, RESPONSE, AUDIT].into_iter().any(has) {
        return Err(LoadError::new(
            Step::Validate,
            LoadCode::BadExports,
            format!("it exports none of `{PRE_CHECK}`, `{RESPONSE}` and `{AUDIT}`; it exports {}", found()),
        ));
    }
    Ok(())
}

/// The proposals of `engine::compile_settings`, in the validator's words.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::GC_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::FLOATS
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_wasm_is_called_by_its_name() {
        let cases: [(&[u8], &str); 4] =
            [(b"", "empty"), (b"(module)", "text"), (b"\x7fELF\x02", "native code"), (b"\x93\x21 garbage", "begin")];
        for (bytes, expected) in cases {
            let error = encode(bytes.to_vec()).unwrap_err();
            assert_eq!((error.step, error.code), (Step::Encode, LoadCode::NotWasm));
            assert!(error.message.contains(expected), "{}", error.message);
        }
    }

    #[test]
    fn a_core_module_without_interfaces_is_refused() {
        let empty_module = b"\0asm\x01\0\0\0";
        let component = encode(empty_module.to_vec()).unwrap();
        let error = validate(&component, &[]).unwrap_err();
        assert_eq!(error.code, LoadCode::BadExports);
        assert!(error.message.contains("lifecycle"), "{}", error.message);
    }

    #[test]
    fn an_import_outside_the_grants_is_named() {
        let imports = ["octroi:policy/log@0.1.0".to_owned(), "wasi:cli/environment@0.2.6".to_owned()];
        let error = check_imports(&imports, &[]).unwrap_err();
        assert_eq!(error.code, LoadCode::ImportRefused);
        assert!(error.message.contains("wasi:cli/environment"), "{}", error.message);
        assert!(!error.message.contains("policy/log"), "{}", error.message);
    }
}
