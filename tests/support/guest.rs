//! Policies of a few hundred bytes, for tests that need many of them, or odd ones. They look at nothing: each gives one
//! verdict, always.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::Path;

use wit_component::StringEncoding;

const ACTIONS: [&str; 6] = ["allow", "log", "warn", "redact", "require-approval", "deny"];

/// A policy, before it is assembled.
#[derive(Clone, Debug)]
pub struct Guest {
    interface: &'static str,
    action: usize,
    reason: String,
    settings: Option<bool>,
    spins: bool,
    once: bool,
    found: Option<(u32, u32)>,
    bytes: usize,
    regions: Vec<String>,
    begins: String,
    about: String,
    memory: &'static str,
}

impl Guest {
    fn new(interface: &'static str, action: &str) -> Self {
        let action = ACTIONS.iter().position(|it| *it == action).unwrap();
        Self {
            interface,
            action,
            reason: String::new(),
            settings: None,
            spins: false,
            once: false,
            found: None,
            bytes: 0,
            regions: Vec::new(),
            begins: String::new(),
            about: String::new(),
            memory: "2",
        }
    }

    /// Judges requests.
    pub fn pre_check(action: &str) -> Self {
        Self::new("pre-check", action)
    }

    /// Judges answers.
    pub fn response(action: &str) -> Self {
        Self::new("response", action)
    }

    /// Judges what is kept.
    pub fn audit(action: &str) -> Self {
        Self::new("audit", action)
    }

    /// Has a memory that cannot grow.
    pub fn at_its_maximum(mut self) -> Self {
        self.memory = "2 2";
        self
    }

    /// Its sentence: what tells its verdicts, and its bytes, from another's.
    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    /// Takes settings only, or no settings only.
    pub fn wants_settings(mut self, wants: bool) -> Self {
        self.settings = Some(wants);
        self
    }

    /// Never ends.
    pub fn spinning(mut self) -> Self {
        self.spins = true;
        self
    }

    /// Traps when the same instance is asked again: at the second piece of a stream.
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Finds something at this place of its text.
    pub fn finds(mut self, place: Range<u32>) -> Self {
        self.found = Some((place.start, place.end));
        self
    }

    /// Has code of about so many bytes.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Leaves only providers in these regions.
    pub fn only_regions(mut self, regions: &[&str]) -> Self {
        self.regions = regions.iter().map(|it| (*it).to_owned()).collect();
        self
    }

    /// Replaces what its text begins with, by itself.
    pub fn edits(mut self, begins: &str) -> Self {
        begins.clone_into(&mut self.begins);
        self
    }

    /// Says so only where it is shown these words, in a text or a name, and allows the rest.
    pub fn about(mut self, words: &str) -> Self {
        words.clone_into(&mut self.about);
        self
    }

    /// The core module, with what `wit-bindgen` leaves in one so that the loader can make a component of it.
    pub fn module(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = wit_parser::Resolve::default();
        let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
        let world = resolve.select_world(&[package], Some(&format!("{}-policy", self.interface))).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    fn text(&self) -> String {
        let Self { interface, action, reason, memory, .. } = self;
        // 1024 holds zeroes: success, and an empty description. The verdict is at 2048, an error at 3072. In the verdict
        // an action takes 4 bytes, a reason 12, findings and edits 8 each, then come the routing and the tags.
        let refuse = match self.settings {
            None => String::new(),
            Some(wants) => {
                let comparison = if wants { "eq" } else { "ne" };
                format!("(if (i32.{comparison} (local.get 1) (i32.const 2)) (then (return (i32.const 3072))))")
            }
        };
        let spin = if self.spins { "(loop $again (br $again))" } else { "" };
        let once = if self.once {
            "(if (global.get $asked) (then unreachable)) (global.set $asked (i32.const 1))"
        } else {
            ""
        };
        let mut look = String::new();
        if !self.about.is_empty() {
            // Through all that was handed over, which stands where `cabi_realloc` put it. 7168 holds zeroes: nothing to say.
            let length = self.about.len();
            write!(
                look,
                "(local $at i32) (local $same i32) (local.set $at (i32.const 65536))
                (block $found
                  (block $nowhere (loop $next
                    (br_if $nowhere (i32.ge_u (local.get $at) (global.get $next)))
                    (local.set $same (i32.const 0))
                    (block $differs (loop $on
                      (br_if $found (i32.eq (local.get $same) (i32.const {length})))
                      (br_if $differs (i32.ne
                        (i32.load8_u (i32.add (local.get $at) (local.get $same)))
                        (i32.load8_u (i32.add (i32.const 6144) (local.get $same)))))
                      (local.set $same (i32.add (local.get $same) (i32.const 1)))
                      (br $on)))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br $next)))
                  (global.set $next (i32.const 65536))
                  (return (i32.const 7168)))
                (global.set $next (i32.const 65536))"
            )
            .unwrap();
        }
        let mut filling = String::new();
        let mut salt = reason.bytes().fold(7_u32, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
        for _ in 0..self.bytes / 50 {
            filling.push_str("(func (param i32) (result i32) (local.get 0)");
            for operation in ["add", "xor", "mul", "sub", "or", "shr_u"] {
                salt = salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Five bytes, whatever the number: modules of one kind have one length.
                write!(filling, "(i32.const {}) i32.{operation}", salt >> 2 | 1 << 30).unwrap();
            }
            filling.push(')');
        }
        let mut extras = String::new();
        if let Some((start, end)) = self.found {
            // Rule and category, a severity, and that there is a place: message, part, start and end.
            let finding = words(&[4352, 5, 4352, 5, 0, 1, 0, 0, start, end]);
            write!(extras, r#"(data (i32.const 2064) "{}") "#, words(&[4736, 1])).unwrap();
            write!(extras, r#"(data (i32.const 4736) "{finding}")"#).unwrap();
        }
        if !self.begins.is_empty() {
            let length = self.begins.len() as u32;
            // The place (message, part, start, end), the original and the replacement.
            let edit = words(&[0, 0, 0, length, 5120, length, 5120, length]);
            write!(extras, r#"(data (i32.const 2072) "{}") "#, words(&[4864, 1])).unwrap();
            write!(extras, r#"(data (i32.const 4864) "{edit}") (data (i32.const 5120) "{}")"#, self.begins).unwrap();
        }
        if !self.about.is_empty() {
            write!(extras, r#"(data (i32.const 6144) "{}")"#, self.about).unwrap();
        }
        if !self.regions.is_empty() {
            let (mut pairs, mut names) = (Vec::new(), String::new());
            for region in &self.regions {
                pairs.extend([5632 + names.len() as u32, region.len() as u32]);
                names.push_str(region);
            }
            // That there is a routing, no providers, and the regions.
            let routing = words(&[1, 0, 0, 4608, self.regions.len() as u32]);
            write!(extras, r#"(data (i32.const 2080) "{routing}") (data (i32.const 4608) "{}")"#, words(&pairs))
                .unwrap();
            write!(extras, r#"(data (i32.const 5632) "{names}")"#).unwrap();
        }
        format!(
            r#"(module
            (memory (export "memory") {memory})
            (global $next (mut i32) (i32.const 65536))
            (global $asked (mut i32) (i32.const 0))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
              (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
              (global.set $next (i32.add (local.get $at) (local.get 3)))
              (local.get $at))
            (func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
              {refuse} (i32.const 1024))
            (func (export "octroi:policy/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))
            (func (export "octroi:policy/{interface}@0.1.0#evaluate") (param i32) (result i32)
              {look} {once} {spin} (i32.const 2048))
            {filling}
            (data (i32.const 2048) "{verdict}")
            (data (i32.const 3072) "\01\00\00\00\00\11\00\00\0e\00\00\00")
            (data (i32.const 4096) "{reason}")
            (data (i32.const 4352) "other settings")
            {extras})"#,
            verdict = words(&[*action as u32, 1, 4096, reason.len() as u32]),
        )
    }

    /// Writes module and manifest; `further` are lines of the manifest.
    pub fn put(&self, folder: &Path, name: &str, further: &str) {
        fs::write(folder.join(format!("{name}.wasm")), self.module()).unwrap();
        fs::write(folder.join(format!("{name}.yaml")), manifest(name, further)).unwrap();
    }
}

/// Numbers as a module's data has them.
fn words(words: &[u32]) -> String {
    words.iter().flat_map(|it| it.to_le_bytes()).fold(String::new(), |text, byte| format!("{text}\\{byte:02x}"))
}

/// A manifest for the module beside it.
pub fn manifest(name: &str, further: &str) -> String {
    format!("name: {name}\nmodule: {name}.wasm\n{further}")
}
