//! `sillage-connector quarantine list|show|retry|drop`.

use std::io::{self, Write};

use super::{Event, Quarantine, QuarantineError};

/// Look at what lies in quarantine, and decide on it.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum QuarantineCommand {
    /// List what lies there, oldest first
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print one item with its content; what a terminal would obey is shown as text
    Show {
        /// Its id, as `list` prints it
        id: String,
        /// Write the content as it came, and nothing else: `show ID --raw > FILE`
        #[arg(long)]
        raw: bool,
    },
    /// Hand items in again: the connector does so as soon as it runs
    Retry {
        /// Their ids
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that lie there
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Remove items for good: they are on record nowhere, and the daily report says how many
    Drop {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The quarantine.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The output couldn't be written.
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
}

/// Runs a command.
///
/// # Errors
/// When an id isn't there, the disk refuses, or `out` can't be written.
pub fn run(command: &QuarantineCommand, quarantine: &Quarantine, out: &mut dyn Write) -> Result<(), CommandError> {
    match command {
        QuarantineCommand::List { json } => {
            for listed in quarantine.list()? {
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&listed).expect("text and numbers are JSON"))?;
                    continue;
                }
                let again = if listed.retry { " (to be handed in again)" } else { "" };
                let place = if listed.path.is_empty() { String::new() } else { format!("{}: ", listed.path) };
                let line = format!(
                    "{} {} {} {} bytes{again}\n    {place}{}",
                    listed.id, listed.door, listed.source, listed.bytes, listed.reason
                );
                writeln!(out, "{}", printable(line.as_bytes()))?;
            }
        }
        QuarantineCommand::Show { id, raw: true } => out.write_all(&quarantine.show(id)?.raw)?,
        QuarantineCommand::Show { id, raw: false } => {
            let item = quarantine.show(id)?;
            let raw = item.raw.clone();
            let listed = item.listed(false);
            for (name, value) in [
                ("id", &listed.id),
                ("door", &listed.door),
                ("source", &listed.source),
                ("received", &listed.received),
                ("element", &listed.path),
                ("reason", &listed.reason),
            ] {
                writeln!(out, "{name}: {}", printable(value.as_bytes()))?;
            }
            writeln!(out, "\n{}", printable(&raw))?;
        }
        QuarantineCommand::Retry { ids, all } => {
            let ids = match all {
                true => quarantine.list()?.into_iter().map(|listed| listed.id).collect(),
                false => ids.clone(),
            };
            for id in &ids {
                quarantine.retry(id)?;
                writeln!(out, "{id} is handed in again as soon as the connector runs")?;
            }
        }
        QuarantineCommand::Drop { ids } => {
            for id in ids {
                quarantine.remove(id, Event::Dropped)?;
                writeln!(out, "{id} is dropped")?;
            }
        }
    }
    Ok(())
}

/// Bytes as a terminal may show them: what it would obey, and what nobody sees, stands there as text.
fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let is_hidden =
                matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            match c {
                '\n' | '\t' => out.push(c),
                c if c.is_control() || is_hidden => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_terminal_obeys_nothing_that_is_shown() {
        let shown = printable(b"a\x1b[2J\r\n\xff\xc2\x9b31m\xe2\x80\xae\xc3\xa9");
        assert_eq!(shown, "a\\u{1b}[2J\\u{d}\n\\xff\\u{9b}31m\\u{202e}é");
    }
}
