//! The command line as people read it: the commands in groups, and an example for each.

use clap::builder::StyledStr;
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::commands::Cli;

/// The commands as `sillage --help` shows them. Every command stands in one group.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Record what happened", &["record", "import", "break-glass", "contest", "emergency-mode"]),
    ("Read", &["trace", "entry", "export"]),
    (
        "Decide who may access",
        &[
            "authorize",
            "consent",
            "mask",
            "unmask",
            "block",
            "unblock",
            "oppose",
            "space",
            "embargo",
            "secrecy",
            "represent",
            "team",
            "attending",
        ],
    ),
    ("Prove and check", &["prove", "verify", "checkpoint", "audit", "witness"]),
    (
        "Operate",
        &[
            "cluster",
            "stream",
            "keys",
            "authority",
            "identity",
            "actor",
            "policy",
            "sources",
            "erase",
            "schema",
            "completions",
            "help",
        ],
    ),
];

/// An example for each command that does something, by its path. A test parses each.
const EXAMPLES: &[(&str, &str)] = &[
    ("record", "record --file day.ndjson"),
    ("import", "import --fhir export/ --patient-map patients.csv --source https://hospital.example/fhir"),
    (
        "break-glass open",
        "break-glass open --patient 279035121518989 --case INCAPACITY --reason coma --expires 4h --no-position INDOORS --actor 10100534436 --actor-profession physician",
    ),
    (
        "break-glass justify",
        "break-glass justify bg-1 --patient 279035121518989 --text 'found unconscious' --actor 10100534436",
    ),
    ("break-glass close", "break-glass close bg-1 --patient 279035121518989 --actor 10100534436"),
    ("break-glass review", "break-glass review bg-1 --patient 279035121518989 --verdict JUSTIFIED --actor 10000000016"),
    ("break-glass list", "break-glass list --overdue"),
    ("emergency-mode keep", "emergency-mode keep --dir emergency --patient 279035121518989"),
    ("emergency-mode start", "emergency-mode start --dir emergency --reason 'the network is down'"),
    (
        "emergency-mode decide",
        "emergency-mode decide --dir emergency --actor 10100534436 --patient 279035121518989 --action read --purpose TREAT --items doc-1",
    ),
    ("emergency-mode record", "emergency-mode record --dir emergency --file day.ndjson"),
    ("emergency-mode status", "emergency-mode status --dir emergency"),
    ("emergency-mode hand-in", "emergency-mode hand-in --dir emergency"),
    ("trace", "trace --patient 279035121518989 --from 2026-03-01 --verify"),
    ("entry", "entry 41"),
    ("export", "export --patient 279035121518989 --format fhir --out trace.json"),
    ("export tiles", "export tiles site/"),
    (
        "authorize",
        "authorize --patient 279035121518989 --actor 10100534436 --action read --purpose TREAT --items doc-1 --out doc-1.sillage-receipt",
    ),
    (
        "authorize check",
        "authorize check --receipt doc-1.sillage-receipt --actor 10100534436 --patient 279035121518989 --items doc-1",
    ),
    ("consent grant", "consent grant --patient 279035121518989 --professional 10100534436 --action read,search"),
    ("consent deny", "consent deny --patient 279035121518989 --organisation 750712184"),
    ("consent revoke", "consent revoke c-1 --patient 279035121518989"),
    ("consent list", "consent list --patient 279035121518989"),
    ("consent history", "consent history --patient 279035121518989"),
    ("consent effective", "consent effective --patient 279035121518989 --as-of 2026-03-01"),
    ("mask", "mask --patient 279035121518989 --items doc-1,doc-2"),
    ("unmask", "unmask --patient 279035121518989 --items doc-1"),
    ("block", "block --patient 279035121518989 --professional 10100534436"),
    ("unblock", "unblock --patient 279035121518989 --professional 10100534436"),
    ("oppose space", "oppose space --patient 279035121518989"),
    ("oppose emergency", "oppose emergency --patient 279035121518989 --case SAMU,FIRE"),
    ("oppose feed", "oppose feed --patient 279035121518989 --source 750712184 --category LAB"),
    ("space open", "space open --patient 279035121518989"),
    ("space close", "space close --patient 279035121518989"),
    ("embargo set", "embargo set --patient 279035121518989 --items doc-1 --until 2026-04-01 --actor 10100534436"),
    ("embargo release", "embargo release --patient 279035121518989 --items doc-1 --actor 10100534436"),
    ("secrecy set", "secrecy set --patient 279035121518989 --items doc-1"),
    ("secrecy lift", "secrecy lift --patient 279035121518989 --items doc-1"),
    (
        "represent add",
        "represent add --patient 279035121518989 --representative 'urn:example:people|7' --relation CAREGIVER --power read",
    ),
    ("represent end", "represent end --patient 279035121518989 --representative 'urn:example:people|7'"),
    ("represent list", "represent list --patient 279035121518989"),
    ("team join", "team join --patient 279035121518989 --professional 10100534436 --until 2026-12-31"),
    ("team leave", "team leave --patient 279035121518989 --professional 10100534436"),
    ("attending declare", "attending declare --patient 279035121518989 --professional 10100534436"),
    ("attending end", "attending end --patient 279035121518989 --professional 10100534436"),
    ("prove inclusion", "prove inclusion 41 --out entry-41.tlog-proof"),
    ("prove patient", "prove patient --patient 279035121518989 --policy log.policy --out mine.sillage-trace"),
    ("prove keys", "prove keys --policy old.policy --out new.policy"),
    ("prove consistency", "prove consistency 1000 2000"),
    ("verify", "verify mine.sillage-trace --policy log.policy"),
    ("checkpoint", "checkpoint --policy log.policy --max-age 5m"),
    ("audit", "audit --state audit.state --cosign"),
    ("audit compare", "audit compare monday.note tuesday.note --policy log.policy"),
    ("witness init", "witness init --dir w1 --name witness.example/w1 --log-policy log.policy"),
    ("witness serve", "witness serve --dir w1 --listen 0.0.0.0:7480"),
    ("witness status", "witness status --dir w1"),
    ("cluster status", "cluster status"),
    ("cluster member list", "cluster member list"),
    ("cluster member add", "cluster member add --address 10.0.0.4:7400:7401 --out node-4"),
    ("cluster member promote", "cluster member promote 4"),
    ("cluster member remove", "cluster member remove 2"),
    ("cluster member replace", "cluster member replace 2 --address 10.0.0.5:7400:7401 --out node-5"),
    ("cluster move-leader", "cluster move-leader 3"),
    ("stream status", "stream status"),
    ("schema record", "schema record"),
    ("policy test", "policy test stories/deposits.toml"),
    ("policy publish", "policy publish --policy policy.toml"),
    ("sources publish", "sources publish sources.json"),
    ("sources list", "sources list --silent"),
    ("contest list", "contest list --waiting"),
    (
        "contest answer",
        "contest answer 41 --text 'Dr Martin replaced your doctor' --actor 10100534436 --actor-organisation 750712184",
    ),
    ("erase", "erase --record 41 --ground 'order 2026-17 of the court'"),
    ("keys register", "keys register --name DMP --role recorder,decider --structure 750712184 --out dmp"),
    ("keys new", "keys new --out new.key"),
    ("keys tell", "keys tell --file later.json --patient 279035121518989"),
    ("keys rotate", "keys rotate --node 2 --public-key HEX"),
    ("keys roles", "keys roles --author HEX --role recorder,tag"),
    ("keys vouching", "keys vouching --author HEX --structure 750712184"),
    ("keys revoke", "keys revoke --key HEX --reason 'the laptop was lost'"),
    ("keys issuer", "keys issuer --file issuer.json"),
    ("keys void", "keys void --key HEX --from 2026-03-01T00:00:00Z --reason 'the key was stolen' --dry-run"),
    ("keys reinstate", "keys reinstate --act 120 --reason 'the key was not stolen'"),
    ("keys voided", "keys voided"),
    ("keys list", "keys list"),
    ("authority rule", "authority rule --needed 2 --authorities HEX,HEX,HEX"),
    ("authority limit", "authority limit --party HEX --records 200"),
    ("authority propose", "authority propose --act act.json --out act.proposal"),
    ("authority sign", "authority sign act.proposal"),
    ("authority show", "authority show act.proposal"),
    ("authority submit", "authority submit act.proposal"),
    ("identity propose", "identity propose --file link.json --out link.proposal"),
    ("identity confirm", "identity confirm link.proposal --patient 279035121518989"),
    ("identity show", "identity show link.proposal"),
    ("identity submit", "identity submit link.proposal"),
    ("actor revoke", "actor revoke --actor 10100534436 --reason 'struck off the register'"),
    ("completions", "completions bash > /etc/bash_completion.d/sillage"),
];

/// Most characters of a line of the overview.
const WIDTH: usize = 100;

/// The command line with its groups and examples.
pub fn command() -> Command {
    let command = with_examples(Cli::command(), "");
    let overview = overview(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{overview}{{options-heading}}\n{{options}}{{after-help}}"
    ).replace("{options-heading}", "Options:"))
}

/// Reads the arguments of this process.
///
/// # Errors
/// Arguments that clap can't understand; a request for the help or the version is such an error, too.
pub fn parse() -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches()?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))
}

fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |sub| with_examples(sub, &path))
    });
    let Some((_, example)) = EXAMPLES.iter().find(|(of, _)| *of == path) else { return command };
    let header = *command.get_styles().get_header();
    let text = format!("{header}Example:{header:#}\n  sillage {example}");
    let long = command.get_after_long_help().map(|long| format!("{text}\n\n{}", long.ansi()));
    let command = command.after_help(StyledStr::from(text));
    match long {
        Some(long) => command.after_long_help(StyledStr::from(long)),
        None => command,
    }
}

/// The commands in their groups, each with its sentence.
fn overview(command: &Command) -> String {
    let (header, literal) = (*command.get_styles().get_header(), *command.get_styles().get_literal());
    let widest = GROUPS.iter().flat_map(|(_, names)| names.iter()).map(|name| name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for (group, names) in GROUPS {
        out += &format!("{header}{group}:{header:#}\n");
        for name in names {
            let about = match command.find_subcommand(name).and_then(Command::get_about) {
                Some(about) => about.to_string(),
                None => "Print this message, or the help of a command".to_owned(),
            };
            let indent = " ".repeat(widest + 4);
            let about = wrapped(&about, WIDTH - indent.len()).join(&format!("\n{indent}"));
            out += &format!("  {literal}{name}{literal:#}{}  {about}\n", " ".repeat(widest - name.len()));
        }
        out.push('\n');
    }
    out
}

/// The words of a text in lines of at most `width` characters; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths of all commands that do something.
    fn paths(command: &Command, path: &str, out: &mut BTreeSet<String>) {
        let subs: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
        if !path.is_empty() && (subs.is_empty() || command.is_args_conflicts_with_subcommands_set()) {
            out.insert(path.to_owned());
        }
        for sub in subs {
            paths(sub, format!("{path} {}", sub.get_name()).trim_start(), out);
        }
    }

    /// The words of an example, as a shell would split them.
    fn words(line: &str) -> Vec<String> {
        let (line, _redirection) = line.split_once(" > ").unwrap_or((line, ""));
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        });
        words.collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_stands_in_one_group() {
        let command = command();
        let named: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let known: BTreeSet<&str> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(Command::get_name).chain(["help"]).collect();
        assert_eq!(named.iter().copied().collect::<BTreeSet<&str>>(), known);
        assert_eq!(named.len(), known.len(), "none stands in two groups");
        let text = super::command().render_help().to_string();
        for part in ["Record what happened:", "  trace", "Prove and check:", "Options:", "--profile"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn every_command_has_an_example() {
        let mut known = BTreeSet::new();
        paths(&command(), "", &mut known);
        let named: BTreeSet<String> = EXAMPLES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(named, known);
    }

    #[test]
    fn every_example_is_understood() {
        for (path, example) in EXAMPLES {
            let words = [vec!["sillage".to_owned()], words(example)].concat();
            let matches = command().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{example}: {error}"));
            Cli::from_arg_matches(&matches).unwrap_or_else(|error| panic!("{example}: {error}"));
            let (mut at, mut named) = (&matches, Vec::new());
            while let Some((name, sub)) = at.subcommand() {
                named.push(name);
                at = sub;
            }
            assert_eq!(named.join(" "), *path, "{example}");
        }
    }

    #[test]
    fn help_that_says_more_keeps_it_under_the_example() {
        let command = command();
        let erase = command.find_subcommand("erase").expect("a command");
        let long = erase.clone().render_long_help().to_string();
        let (example, rules) = (long.find("Example:"), long.find("Rules of retention"));
        assert!(example.is_some() && example < rules, "{long}");
    }
}
