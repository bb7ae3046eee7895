//! What a policy may use: while it is loaded, and in one evaluation.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::engine::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES, TICK};
use super::load::MAX_MODULE_BYTES;
use super::sandbox::Allowance;

/// The most time that a manifest can give an evaluation.
const MOST_TIME: Duration = Duration::from_secs(60);

/// The manifest's `limits`. The stack has no key: wasmtime has one size for all (`engine`, 512 KiB).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Time that an evaluation may run, beside what the text adds. Counted in ticks of a millisecond during which it
    /// ran; time spent waiting for a processor is not charged.
    #[serde(deserialize_with = "duration")]
    pub time: Duration,
    /// Time added for each mebibyte of text.
    #[serde(deserialize_with = "duration")]
    pub time_per_mib: Duration,
    /// All memories and tables together.
    pub memory: ByteSize,
    /// Calls of host interfaces, `log` included.
    pub host_calls: u32,
    /// Size of a verdict, and of what the component hands to one host call.
    pub output: ByteSize,
    /// What is kept of one evaluation's log; what is above is counted and dropped.
    pub log: ByteSize,
    /// Core instances in the component.
    pub instances: u32,
    /// Memories in the component.
    pub memories: u32,
    /// Tables in the component.
    pub tables: u32,
    /// The settings, as JSON.
    pub settings: ByteSize,
    /// The module's file.
    pub module: ByteSize,
    /// Processor time that the loader may use for it.
    #[serde(deserialize_with = "duration")]
    pub compile_time: Duration,
    /// Memory that the loader may use for it.
    pub compile_memory: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(10),
            time_per_mib: Duration::from_millis(30),
            memory: ByteSize::mib(64),
            host_calls: 1_000,
            output: ByteSize::mib(1),
            log: ByteSize::kib(32),
            instances: MAX_CORE_INSTANCES,
            memories: MAX_MEMORIES,
            tables: MAX_TABLES,
            settings: ByteSize::mib(1),
            module: ByteSize(MAX_MODULE_BYTES),
            // Python's 18 MB were seen to take 35 to 54 s, and 500 MB.
            compile_time: Duration::from_secs(180),
            compile_memory: ByteSize::gib(2),
        }
    }
}

/// A limit outside what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {least} to {most}")]
pub struct OutOfRange {
    /// The manifest's key.
    pub key: &'static str,
    found: String,
    least: String,
    most: String,
}

impl Limits {
    /// Compares every limit with what is allowed.
    pub(super) fn check(&self) -> Result<(), OutOfRange> {
        for (key, found, least, most) in [
            ("limits.time", self.time, TICK, MOST_TIME),
            ("limits.time_per_mib", self.time_per_mib, TICK, MOST_TIME),
            ("limits.compile_time", self.compile_time, Duration::from_secs(1), 20 * MOST_TIME),
        ] {
            let shown = |it| humantime::format_duration(it).to_string();
            if found < least || found > most {
                return Err(OutOfRange { key, found: shown(found), least: shown(least), most: shown(most) });
            }
        }
        for (key, found, least, most) in [
            ("limits.memory", self.memory, ByteSize::kib(64), ByteSize::gib(1)),
            ("limits.output", self.output, ByteSize::kib(1), ByteSize::mib(64)),
            ("limits.log", self.log, ByteSize(0), ByteSize::mib(1)),
            ("limits.settings", self.settings, ByteSize(2), ByteSize::mib(8)),
            ("limits.module", self.module, ByteSize::kib(1), ByteSize(MAX_MODULE_BYTES)),
            ("limits.compile_memory", self.compile_memory, ByteSize::mib(64), ByteSize::gib(16)),
        ] {
            if found < least || found > most {
                let [found, least, most] = [found, least, most].map(|it| it.to_string());
                return Err(OutOfRange { key, found, least, most });
            }
        }
        for (key, found, most) in [
            ("limits.instances", self.instances, MAX_CORE_INSTANCES),
            ("limits.memories", self.memories, MAX_MEMORIES),
            ("limits.tables", self.tables, MAX_TABLES),
        ] {
            if !(1..=most).contains(&found) {
                return Err(OutOfRange { key, found: found.to_string(), least: "1".into(), most: most.to_string() });
            }
        }
        Ok(())
    }

    /// The same, with all the time that a manifest can give: a verdict does not depend on it.
    pub fn unhurried(&self) -> Self {
        Self { time: MOST_TIME, ..self.clone() }
    }

    /// What one evaluation may use, in numbers.
    pub fn budget(&self) -> Budget {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Budget {
            time_us: micros(self.time),
            time_per_mib_us: micros(self.time_per_mib),
            bounds: Bounds {
                memory: bytes(self.memory),
                host_calls: self.host_calls,
                output: bytes(self.output),
                log: bytes(self.log),
                instances: self.instances,
                memories: self.memories,
                tables: self.tables,
            },
        }
    }
}

/// What one evaluation may use, in numbers that travel to the loader process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Microseconds, beside what the text adds.
    pub time_us: u64,
    /// Microseconds for each mebibyte of text.
    pub time_per_mib_us: u64,
    /// What does not depend on the text.
    pub bounds: Bounds,
}

/// What one instance may use, but for time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of all memories and tables together.
    pub memory: usize,
    /// Calls of host interfaces.
    pub host_calls: u32,
    /// Bytes that may be lifted out of the guest at once.
    pub output: usize,
    /// Bytes of its log that are kept.
    pub log: usize,
    /// Core instances.
    pub instances: u32,
    /// Memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
}

impl Budget {
    /// What an evaluation of `text_bytes` of text may use.
    pub fn allowance(&self, text_bytes: usize) -> Allowance {
        let added = (u128::from(self.time_per_mib_us) * text_bytes as u128) >> 20;
        let micros = self.time_us.saturating_add(u64::try_from(added).unwrap_or(u64::MAX));
        Allowance { ticks: micros.div_ceil(TICK.as_micros() as u64), bounds: self.bounds }
    }
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!("found `{}`, expected a duration such as `10ms`", text.escape_debug()))
    })
}

#[cfg(test)]
mod tests {
    use crate::policy::manifest::Manifest;

    fn parsed(limits: &str) -> Result<Manifest, String> {
        let text = format!("name: limited\nmodule: limited.wasm\n{limits}");
        Manifest::parse(&text, "limited.yaml").map_err(|error| error.to_string())
    }

    #[test]
    fn every_limit_has_a_range_that_its_error_names() {
        for (limits, expected) in [
            ("time: 0ms", "limits.time: found 0s, expected 1ms to 1m"),
            ("time: 61s", "limits.time: found 1m 1s, expected 1ms to 1m"),
            ("time: fast", "limits.time"),
            ("time_per_mib: 0s", "limits.time_per_mib: found"),
            ("memory: 2GiB", "limits.memory: found 2.0 GiB, expected 64.0 KiB to 1.0 GiB"),
            ("output: 10B", "limits.output: found"),
            ("log: 2MiB", "limits.log: found"),
            ("settings: 9MiB", "limits.settings: found"),
            ("module: 1GiB", "limits.module: found"),
            ("compile_time: 10ms", "limits.compile_time: found"),
            ("compile_memory: 1MiB", "limits.compile_memory: found"),
            ("instances: 0", "limits.instances: found 0, expected 1 to 64"),
            ("memories: 3", "limits.memories: found 3, expected 1 to 2"),
            ("tables: 65", "limits.tables: found 65, expected 1 to 64"),
            ("stack: 1MiB", "unknown key"),
        ] {
            let error = parsed(&format!("limits: {{ {limits} }}\n")).unwrap_err();
            assert!(error.contains(expected), "{limits}: {error}");
        }
        assert!(parsed("limits: { log: 0, memory: 65536, compile_time: 20m }\n").is_ok());
    }

    #[test]
    fn settings_above_their_limit_are_refused_by_name() {
        let error = parsed("limits: { settings: 8B }\nsettings: { key: value }\n").unwrap_err();
        let expected = "limited.yaml:4:1: settings: 15 bytes as JSON, more than `limits.settings` (8 B) allows";
        assert_eq!(error, expected);
    }

    #[test]
    fn text_adds_time_in_proportion() {
        let budget = parsed("limits: { time: 10ms, time_per_mib: 32ms }\n").unwrap().limits.budget();
        for (bytes, ticks) in [(0, 10), (1, 10), (32_768, 11), (1 << 20, 42), (5 << 19, 90)] {
            assert_eq!(budget.allowance(bytes).ticks, ticks, "{bytes} bytes");
        }
    }
}
