//! The pages of `docs/reference` say what the code does.

use std::collections::BTreeMap;

use crate::config::{LimitsConfig, LogConfig, NodeConfig, RaftConfig, erase_interval_ms, recosign_interval_ms};
use crate::core::condition::alarms::Alarm;
use crate::metrics::Metrics;

const NODE_TOML: &str = include_str!("../../docs/reference/node-toml.md");
const METRICS: &str = include_str!("../../docs/reference/metrics.md");
const DURABILITY: &str = include_str!("../../docs/durability.md");

/// The cells of each table row whose first cell is a name in backquotes.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(cells);
    let rows = rows.filter(|row| row.len() == 4);
    rows.map(|row| (row[0].trim_matches('`').to_owned(), row)).collect()
}

/// The public fields of a structure of `config.rs` that a file may hold, but for tables.
fn fields(name: &str, prefix: &str) -> Vec<String> {
    let source = include_str!("config.rs");
    let (_, rest) = source.split_once(&format!("pub struct {name} {{")).expect("the structure is there");
    let (body, _) = rest.split_once("\n}").expect("it ends");
    let (mut out, mut is_skipped) = (Vec::new(), false);
    for line in body.lines().map(str::trim) {
        is_skipped |= line == "#[serde(skip)]";
        let Some((field, kind)) = line.strip_prefix("pub ").and_then(|field| field.split_once(": ")) else { continue };
        let is_table = kind.contains("Config");
        if !std::mem::take(&mut is_skipped) && !is_table {
            out.push(format!("{prefix}{field}"));
        }
    }
    out
}

#[test]
fn every_field_of_node_toml_is_in_the_reference_and_no_other() {
    let parts = [
        ("NodeConfig", ""),
        ("TlsConfig", "tls."),
        ("PeerConfig", "peers."),
        ("WitnessConfig", "witnesses."),
        ("LimitsConfig", "limits."),
        ("RaftConfig", "raft."),
        ("LogConfig", "log."),
    ];
    let mut expected: Vec<String> = parts.iter().flat_map(|(name, prefix)| fields(name, prefix)).collect();
    expected.sort();
    assert_eq!(rows(NODE_TOML).into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn the_defaults_of_the_reference_are_those_of_the_code() {
    let mut defaults = BTreeMap::new();
    for (prefix, values) in [
        ("limits.", table(&LimitsConfig::default())),
        ("raft.", table(&RaftConfig::default())),
        ("log.", table(&LogConfig::default())),
    ] {
        defaults.extend(values.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value.to_string())));
    }
    defaults.insert("recosign_interval_ms".to_owned(), recosign_interval_ms().to_string());
    defaults.insert("erase_interval_ms".to_owned(), erase_interval_ms().to_string());
    let rows = rows(NODE_TOML);
    for (name, value) in defaults {
        assert_eq!(rows[&name][2].replace(',', ""), value, "{name}");
    }
}

/// A part of a configuration as a TOML table.
fn table(part: &impl serde::Serialize) -> toml::Table {
    toml::from_str(&toml::to_string(part).expect("a TOML form")).expect("a table")
}

#[test]
fn the_example_of_the_reference_is_a_configuration() {
    let (_, rest) = NODE_TOML.split_once("```toml\n").expect("an example");
    let (text, _) = rest.split_once("```").expect("it ends");
    let config = NodeConfig::parse(std::path::Path::new("node.toml"), text).expect("it can be used");
    assert_eq!((config.id, config.listen_health.as_deref()), (2, Some("127.0.0.1:7402")));
}

#[test]
fn every_metric_is_in_the_reference_with_its_words() {
    let shown = Metrics::new(1).render();
    let helped = shown.lines().filter_map(|line| line.strip_prefix("# HELP ")).filter_map(|line| line.split_once(' '));
    let shown: BTreeMap<String, String> =
        helped.map(|(name, help)| (name.to_owned(), help.trim_end_matches('.').to_owned())).collect();
    let told: BTreeMap<String, String> = rows(METRICS).into_iter().map(|(name, row)| (name, row[3].clone())).collect();
    for (name, words) in &shown {
        assert_eq!(told.get(name), Some(words), "{name}");
    }
    // One with labels is shown once it has a value: it is looked for where it is made.
    let made = include_str!("metrics.rs");
    for (name, words) in told.iter().filter(|(name, _)| !shown.contains_key(*name)) {
        let name = name.trim_start_matches("sillage_");
        assert!(made.contains(&format!("\"{name}\"")) && made.contains(words.as_str()), "{name}: {words}");
    }
    assert!(shown.len() > 20, "{shown:?}");
}

#[test]
fn every_alarm_is_in_the_table_with_its_status() {
    let (_, rest) = DURABILITY.split_once("| alarm | status | since when | over when |").expect("the table");
    let mut told: Vec<(String, String)> = Vec::new();
    for row in rest.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        told.extend(cells[1].split(", ").map(|word| (word.trim_matches('`').to_owned(), cells[2].to_owned())));
    }
    let status = |alarm: Alarm| if alarm == Alarm::Corrupt { "corrupt" } else { alarm.severity().as_str() };
    let mut known: Vec<(String, String)> =
        Alarm::ALL.iter().map(|alarm| (alarm.word().to_owned(), status(*alarm).to_owned())).collect();
    told.sort();
    known.sort();
    assert_eq!(told, known);
}
