//! The log that a process writes about itself: `tracing` in text or JSON, to the standard error.
//!
//! No event holds a secret, a record, an identity or a tag: what is logged are node ids, Raft indices, sizes, codes.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// The environment's filter goes before the configuration's.
pub const FILTER_VARIABLE: &str = "SILLAGE_LOG";

/// The environment's format (`text` or `json`) goes before the configuration's.
pub const FORMAT_VARIABLE: &str = "SILLAGE_LOG_FORMAT";

/// Begins to write events, and panics too. Does nothing when a subscriber is there already.
///
/// # Errors
/// When a filter or a format isn't one, as a sentence.
pub fn start(config: &LogConfig) -> Result<(), String> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| config.filter.clone());
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| format!("the log filter {filter:?} isn't one ({error}); write for example \"info\""))?;
    let format = match std::env::var(FORMAT_VARIABLE).as_deref() {
        Ok("json") => LogFormat::Json,
        Ok("text") => LogFormat::Text,
        Ok(other) => return Err(format!("{FORMAT_VARIABLE}={other}: write text or json")),
        Err(_) => config.format,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first subscriber.
    let _already = match format {
        LogFormat::Text => builder.with_target(true).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    log_panics();
    Ok(())
}

/// A panic becomes an event, so that it is found where all else is. Its message is our own text: `expect` states an
/// invariant, and no error type prints a record.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(String::new, std::string::ToString::to_string);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("");
        tracing::error!(thread = %name, %place, %message, "panic");
        before(info);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_refused_with_a_way_out() {
        let config = LogConfig { filter: "sillage=loud=very".to_owned(), ..LogConfig::default() };
        let error = start(&config).unwrap_err();
        assert!(error.contains("write for example"), "{error}");
    }
}
