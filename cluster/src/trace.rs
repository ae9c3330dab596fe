//! raft-rs logs through `slog`; the project through `tracing`. This carries one to the other.

use slog::{Drain, KV, Level, Logger, OwnedKVList, Record, Serializer};
use std::fmt::Write;

/// A logger for raft-rs that writes to `tracing`, target `raft`.
pub(crate) fn logger() -> Logger {
    Logger::root(ToTracing, slog::o!())
}

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), slog::Never> {
        if !self.is_enabled(record.level()) {
            return Ok(());
        }
        let mut text = Text(record.msg().to_string());
        // Writing to a `String` can't fail.
        let _ = record.kv().serialize(record, &mut text);
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "raft", "{}", text.0),
            Level::Warning => tracing::warn!(target: "raft", "{}", text.0),
            Level::Info => tracing::info!(target: "raft", "{}", text.0),
            Level::Debug => tracing::debug!(target: "raft", "{}", text.0),
            Level::Trace => tracing::trace!(target: "raft", "{}", text.0),
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        match level {
            Level::Critical | Level::Error => tracing::enabled!(target: "raft", tracing::Level::ERROR),
            Level::Warning => tracing::enabled!(target: "raft", tracing::Level::WARN),
            Level::Info => tracing::enabled!(target: "raft", tracing::Level::INFO),
            Level::Debug => tracing::enabled!(target: "raft", tracing::Level::DEBUG),
            Level::Trace => tracing::enabled!(target: "raft", tracing::Level::TRACE),
        }
    }
}

struct Text(String);

impl Serializer for Text {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        let _ = write!(self.0, " {key}={value}");
        Ok(())
    }
}
