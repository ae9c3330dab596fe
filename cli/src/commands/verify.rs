//! `verify`: bundles, proofs and checkpoints, offline, against a policy that the caller chose.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use sillage_client::authorize::receipt::{ReceiptFile, is_receipt};
use sillage_client::authorize::release::{AHEAD_MS_MAX, Refused, stands};
use sillage_client::authorize::said::{said, said_json};
use sillage_client::bundle::lines::{BundleLine, accesses, lines as bundle_lines};
use sillage_client::bundle::words;
use sillage_client::clock::now_ms;
use sillage_client::day_report::{self, DayReport};
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::note::SignedNote;
use sillage_proof::policy::{Policy, Satisfied};
use sillage_proof::tlog_proof::TlogProof;
use sillage_rules::bundle::{
    Bundle, BundleError, Cosigners, Freshness, Options, Report, Section, continues, is_bundle,
};
use sillage_rules::entry::Entry;
use sillage_words::Lang;
use sillage_words::fold::parts_note;
use sillage_words::sentence::sentence;
use sillage_words::time::{parse_bound, spoken};
use sillage_words::words::pick;

use crate::commands::authorize::policy_keys;
use crate::commands::day;
use crate::errors::{say, why_not};
use crate::lang::{langs, of_environment};
use crate::{Context, Ended, output};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Patient bundles (.sillage-trace), receipts of decisions (.sillage-receipt), reports of connectors, tlog-proof files and checkpoints
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Policy of the signatures that count (c2sp.org/tlog-policy)
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// The entry of a proof file that doesn't carry it
    #[arg(long, value_name = "FILE", conflicts_with = "leaf_hash")]
    pub entry: Option<PathBuf>,
    /// The leaf hash of a proof file that doesn't carry its entry
    #[arg(long, value_name = "HEX")]
    pub leaf_hash: Option<String>,
    /// Fail unless the cosigners that are needed signed at most this long ago: `300s`, `5m`, `1h`
    #[arg(long, value_name = "D", value_parser = super::checkpoint::parse_age)]
    pub max_age: Option<std::time::Duration>,
    /// As of this moment (RFC 3339, or a date: its midnight in Paris) instead of now: whether receipts are valid, and --max-age
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// One JSON object a file
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

/// First line of a proof file.
const PROOF_HEAD: &[u8] = b"c2sp.org/tlog-proof@";

/// The caller's demands on every file.
struct Asked<'a> {
    policy: &'a Policy,
    leaf: Option<Hash>,
    fresh: Option<Freshness>,
    /// The moment that the caller named; none: now.
    at_ms: Option<u64>,
    lang: Lang,
}

/// The findings about a file.
enum Found {
    Bundle(Box<Report>, Vec<BundleLine>),
    /// A receipt of a decision.
    Said {
        lines: Vec<String>,
        json: Value,
    },
    /// A connector's report.
    Report {
        report: Box<DayReport>,
        lines: Vec<String>,
        json: Value,
    },
    Other {
        text: String,
        json: Value,
        origin: String,
        size: u64,
        root: Hash,
    },
}

pub async fn run(context: &Context, args: &VerifyArgs) -> Result<Ended, ClientError> {
    let policy = args.policy.as_deref().ok_or(ClientError::PolicyRequired)?;
    let policy = Policy::parse(&read(policy)?).map_err(|error| ClientError::reading(policy, error))?;
    let at_ms = args.at.as_deref().map(|text| parse_bound("--at", text)).transpose()?;
    let now_s = at_ms.unwrap_or_else(now_ms) / 1_000;
    let fresh = args.max_age.map(|age| Freshness { now_s, age_s_max: age.as_secs() });
    let asked = Asked { policy: &policy, leaf: given_leaf(args)?, fresh, at_ms, lang: args.lang };
    let mut results = Vec::with_capacity(args.files.len());
    for file in &args.files {
        results.push(match verify(&read(file)?, &asked) {
            Err(Failure::Usage(error)) => return Err(error),
            other => other,
        });
    }
    for result in &mut results {
        if let Ok(Found::Report { report, lines, json }) = result {
            match day::ask(context, report, args.lang).await {
                Ok((line, is_asked)) => {
                    lines.push(line);
                    json["asked"] = json!(is_asked);
                }
                Err(error) => *result = Err(Failure::check(error)),
            }
        }
    }
    let continued = chains(&mut results);
    split_views(&mut results);
    let mut ended = Ended::Done;
    for ((file, result), continued) in args.files.iter().zip(&results).zip(continued) {
        if result.is_err() {
            ended = Ended::CheckFailed;
        }
        print(file, result, continued, args)?;
    }
    Ok(ended)
}

fn given_leaf(args: &VerifyArgs) -> Result<Option<Hash>, ClientError> {
    if let Some(text) = &args.leaf_hash {
        let hash = text.parse::<Hash>();
        return hash.map(Some).map_err(|error| ClientError::Usage(format!("--leaf-hash: {error}")));
    }
    args.entry.as_deref().map(|path: &Path| read(path).map(|entry| leaf_hash(&entry))).transpose()
}

#[derive(Debug)]
enum Failure {
    Usage(ClientError),
    Check {
        why: String,
        section: Option<Section>,
    },
    /// A receipt whose signatures hold, and which isn't valid at the moment that was asked about.
    NotValid {
        why: String,
        lines: Vec<String>,
        json: Value,
    },
}

impl Failure {
    fn check(why: impl ToString) -> Self {
        Self::Check { why: why.to_string(), section: None }
    }

    fn bundle(error: &BundleError) -> Self {
        Self::Check { why: error.to_string(), section: error.section() }
    }
}

fn verify(bytes: &[u8], asked: &Asked<'_>) -> Result<Found, Failure> {
    if is_bundle(bytes) {
        let bundle = Bundle::parse(bytes).map_err(|error| Failure::bundle(&error))?;
        let report = bundle.verify(asked.policy, &Options { fresh: asked.fresh });
        let report = report.map_err(|error| Failure::bundle(&error))?;
        let lines = accesses(bundle_lines(&bundle, &report));
        return Ok(Found::Bundle(Box::new(report), lines));
    }
    if bytes.starts_with(PROOF_HEAD) {
        return verify_proof(bytes, asked);
    }
    if is_receipt(bytes) {
        return verify_decision(bytes, asked);
    }
    if day_report::is_report(bytes) {
        return verify_report(bytes, asked);
    }
    let what = "neither a bundle, nor a receipt, nor a report, nor a proof, nor a checkpoint";
    let note = SignedNote::parse(bytes).map_err(|error| Failure::check(format!("{what} ({error})")))?;
    let satisfied = asked.policy.verify(&note).map_err(Failure::check)?;
    found(asked, &satisfied, String::new(), json!({"kind": "checkpoint"}))
}

/// A receipt: that a node of the policy signed the decision, and what it opens.
fn verify_decision(bytes: &[u8], asked: &Asked<'_>) -> Result<Found, Failure> {
    let check = |error: ClientError| match error {
        ClientError::Check(why) => Failure::check(why),
        error => Failure::check(error),
    };
    let file = ReceiptFile::parse(bytes).map_err(check)?;
    let keys = policy_keys(asked.policy, &file.origin).map_err(check)?;
    file.verify(&keys).map_err(check)?;
    let (lines, json) = (said(&file, asked.lang), said_json(&file));
    let stands = match asked.at_ms {
        Some(at_ms) => stands(&file, at_ms, 0),
        None => stands(&file, now_ms(), AHEAD_MS_MAX),
    };
    match stands {
        Ok(()) => Ok(Found::Said { lines, json }),
        Err(refused) => Err(Failure::NotValid { why: not_valid(&file, refused, asked.lang), lines, json }),
    }
}

/// A connector's report: that it was signed, adds up, and that nodes of the policy have put its first and last entries on record.
fn verify_report(bytes: &[u8], asked: &Asked<'_>) -> Result<Found, Failure> {
    let read = day::read(bytes, asked.policy, asked.lang);
    let (report, lines, json) = read.map_err(|error| match error {
        ClientError::Check(why) => Failure::check(why),
        error => Failure::check(error),
    })?;
    Ok(Found::Report { report: Box::new(report), lines, json })
}

/// That a receipt holds, and is worth nothing at that moment.
fn not_valid(file: &ReceiptFile, refused: Refused, lang: Lang) -> String {
    let parts = || file.receipts.iter().map(|receipt| &receipt.view.actor);
    let from = spoken(parts().map(|part| part.decided_at_ms).max().unwrap_or_default(), lang);
    let until = spoken(parts().map(|part| part.expires_at_ms).min().unwrap_or_default(), lang);
    match (refused, lang) {
        (Refused::Ahead, Lang::Fr) => {
            format!(
                "les signatures tiennent, mais le reçu n'était pas encore valable à ce moment : la décision est du {from}"
            )
        }
        (Refused::Ahead, Lang::En) => {
            format!("the signatures hold, but the receipt was not valid yet at that moment: the decision is of {from}")
        }
        (_, Lang::Fr) => format!(
            "les signatures tiennent, mais le reçu n'est plus valable : il l'était jusqu'au {until} (--at MOMENT : vérifier à un autre moment)"
        ),
        (_, Lang::En) => format!(
            "the signatures hold, but the receipt is no longer valid: it was until {until} (--at TIME: check as of another moment)"
        ),
    }
}

fn verify_proof(bytes: &[u8], asked: &Asked<'_>) -> Result<Found, Failure> {
    let proof = TlogProof::parse(bytes).map_err(Failure::check)?;
    if proof.to_string().as_bytes() != bytes {
        return Err(Failure::check("the file has a second spelling"));
    }
    // What else is wrong has a better name than that the check doesn't hold: it is asked last.
    let held = proof.extra.as_deref().and_then(|extra| extra.split_last_chunk::<{ Hash::LEN }>());
    let carried = held.map(|(entry, _)| entry).filter(|entry| !entry.is_empty());
    let leaf = asked.leaf.or_else(|| carried.map(leaf_hash)).ok_or_else(|| {
        let why = "the proof file does not carry its entry: name it with --entry FILE or --leaf-hash HEX";
        Failure::Usage(ClientError::Usage(why.to_owned()))
    })?;
    let satisfied = proof.verify(&leaf, asked.policy).map_err(Failure::check)?;
    let what = carried.filter(|entry| leaf_hash(entry) == leaf).and_then(|entry| Entry::decode(entry).ok());
    if what.as_ref().is_some_and(|entry| entry.index() != proof.index) {
        return Err(Failure::check("the entry names another place in the log than the proof"));
    }
    proof.carried().map_err(Failure::check)?;
    let kind = what.and_then(|entry| entry.kind()).map(|kind| format!(" ({})", kind.token())).unwrap_or_default();
    let index = proof.index;
    let text = match asked.lang {
        Lang::Fr => format!("l'entrée {index}{kind}, d'empreinte {leaf}, est dans le registre ; "),
        Lang::En => format!("entry {index}{kind} with leaf hash {leaf} is in the log; "),
    };
    found(asked, &satisfied, text, json!({"kind": "proof", "index": index, "leaf_hash": leaf}))
}

fn found(asked: &Asked<'_>, satisfied: &Satisfied, text: String, mut json: Value) -> Result<Found, Failure> {
    let checkpoint = &satisfied.checkpoint;
    if let Some(fresh) = asked.fresh {
        let age_s = asked.policy.quorum_time_s(satisfied).map(|time_s| fresh.now_s.saturating_sub(time_s));
        match age_s {
            None => return Err(Failure::check("its age is unknown: the policy asks for no cosignature")),
            Some(age_s) if age_s > fresh.age_s_max => {
                let max = fresh.age_s_max;
                return Err(Failure::check(format!("it was cosigned {age_s} s ago, more than the {max} s asked for")));
            }
            Some(_) => {}
        }
    }
    let cosigners = Cosigners::of(asked.policy, satisfied);
    let said = words::cosigners(&cosigners, asked.lang);
    let (origin, size, root) = (checkpoint.origin.to_string(), checkpoint.size.get(), checkpoint.root);
    let text = match asked.lang {
        Lang::Fr => format!("{text}point de contrôle de {origin}, taille {size}. {said}"),
        Lang::En => format!("{text}checkpoint of {origin} at size {size}. {said}"),
    };
    if let Value::Object(fields) = &mut json {
        fields.insert("origin".to_owned(), json!(origin));
        fields.insert("size".to_owned(), json!(size));
        fields.insert("root".to_owned(), json!(root));
        fields.insert("cosigners".to_owned(), json!(cosigners));
    }
    Ok(Found::Other { text, json, origin, size, root })
}

/// Holds each delta against the bundles of the same trace among the files: one of them must be what it continues. Gives,
/// for each file, whether it was.
fn chains(results: &mut [Result<Found, Failure>]) -> Vec<bool> {
    let reports: Vec<Option<Report>> = results
        .iter()
        .map(|result| match result {
            Ok(Found::Bundle(report, _)) => Some((**report).clone()),
            _ => None,
        })
        .collect();
    let mut out = vec![false; results.len()];
    for (at, newer) in reports.iter().enumerate() {
        let Some(newer) = newer.as_ref().filter(|report| report.since.is_some()) else {
            continue;
        };
        let same = |older: &&Report| (&older.origin, older.tag) == (&newer.origin, newer.tag) && older.b == older.n;
        let others =
            reports.iter().enumerate().filter(|(other, _)| *other != at).filter_map(|(_, report)| report.as_ref());
        let mut error = None;
        for older in others.filter(same) {
            match continues(older, newer) {
                Ok(()) => out[at] = true,
                Err(why) => error = Some(why),
            }
        }
        if let (false, Some(why)) = (out[at], error) {
            results[at] = Err(Failure::check(format!("it does not continue the bundle given with it: {why}")));
        }
    }
    out
}

/// Two roots for one size of one log, both signed: the log has shown two histories.
fn split_views(results: &mut [Result<Found, Failure>]) {
    let mut seen: HashMap<(String, u64), Hash> = HashMap::new();
    for result in results {
        let (origin, size, root) = match result {
            Ok(Found::Bundle(report, _)) => (report.origin.clone(), report.size.get(), report.root),
            Ok(Found::Other { origin, size, root, .. }) => (origin.clone(), *size, *root),
            Ok(Found::Said { .. } | Found::Report { .. }) | Err(_) => continue,
        };
        let first = *seen.entry((origin, size)).or_insert(root);
        if first != root {
            *result = Err(Failure::check(format!(
                "two roots for size {size} among these files, {first} and {root}, both as the policy asks: the log has shown two histories, keep both as evidence"
            )));
        }
    }
}

fn print(file: &Path, result: &Result<Found, Failure>, continued: bool, args: &VerifyArgs) -> Result<(), ClientError> {
    let name = file.display();
    if args.json {
        let mut line = match result {
            Ok(Found::Bundle(report, lines)) => {
                let lines: Vec<&Value> = lines.iter().map(|line| &line.json).collect();
                json!({"kind": "bundle", "continued": continued, "report": report, "lines": lines})
            }
            Ok(Found::Said { json, .. } | Found::Report { json, .. } | Found::Other { json, .. }) => json.clone(),
            Err(Failure::Check { why, section }) => json!({"error": why, "section": section.map(Section::id)}),
            Err(Failure::NotValid { why, json, .. }) => {
                let mut json = json.clone();
                json["error"] = json!(why);
                json
            }
            Err(Failure::Usage(error)) => json!({"error": error.to_string()}),
        };
        if let Value::Object(fields) = &mut line {
            fields.insert("file".to_owned(), json!(name.to_string()));
            fields.insert("ok".to_owned(), json!(result.is_ok()));
        }
        return output::line(&line.to_string());
    }
    match result {
        Ok(Found::Said { lines, .. } | Found::Report { lines, .. }) => {
            let indented = lines.iter().map(|line| format!("  {line}"));
            output::lines(&std::iter::once(format!("{name}: ok")).chain(indented).collect::<Vec<_>>())
        }
        Ok(Found::Bundle(report, lines)) => {
            let proven = words::lines(report, continued, args.lang);
            let indented = proven.iter().map(|line| format!("  {line}"));
            let mut out: Vec<String> = std::iter::once(format!("{name}: ok")).chain(indented).collect();
            if !lines.is_empty() {
                out.push(pick(args.lang, "  Ce que dit la trace :", "  What the trace says:").to_owned());
                out.extend(lines.iter().map(|line| {
                    let note = line.part.as_ref().map(|(part, places)| parts_note(part, *places, args.lang));
                    format!("  • {}{}", sentence(&line.event, args.lang), note.unwrap_or_default())
                }));
            }
            output::lines(&out)
        }
        Ok(Found::Other { text, .. }) => output::line(&format!("{name}: ok, {text}")),
        Err(Failure::Check { why, .. }) => {
            output::note(&failed(file, &why_not(why, args.lang), args.lang));
            Ok(())
        }
        Err(Failure::NotValid { why, lines, .. }) => {
            output::note(&failed(file, why, args.lang));
            let head = format!("{name}{} {}", pick(args.lang, " :", ":"), pick(args.lang, "non valable", "not valid"));
            let indented = lines.iter().map(|line| format!("  {line}"));
            output::lines(&std::iter::once(head).chain(indented).collect::<Vec<_>>())
        }
        Err(Failure::Usage(error)) => {
            output::note(&format!("{name}{} {}", pick(args.lang, " :", ":"), say(error, args.lang)));
            Ok(())
        }
    }
}

/// That a file isn't proven.
fn failed(file: &Path, why: &str, lang: Lang) -> String {
    match lang {
        Lang::Fr => format!("{} : échec de la vérification : {why}", file.display()),
        Lang::En => format!("{}: check failed: {why}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use base64::prelude::{BASE64_STANDARD, Engine};
    use sillage_client::channel::Timeouts;
    use sillage_proof::batch::Origin;
    use sillage_proof::checkpoint::Checkpoint;
    use sillage_proof::hash::{LeafIndex, TreeSize, node_hash};
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, SignerKey};

    fn log(seed: u8) -> SignerKey {
        SignerKey::new("test/log", KeyKind::Ed25519, SigningKey::from_seed(&[seed; 32])).expect("a key")
    }

    fn policy(seed: u8) -> Policy {
        Policy::parse(format!("log {}\nquorum none\n", log(seed).verifier()).as_bytes()).expect("a policy")
    }

    fn asked(policy: &Policy, leaf: Option<Hash>) -> Asked<'_> {
        Asked { policy, leaf, fresh: None, at_ms: None, lang: Lang::En }
    }

    fn text(found: Result<Found, Failure>) -> String {
        match found {
            Ok(Found::Other { text, .. }) => text,
            Ok(Found::Bundle(report, _)) => words::lines(&report, false, Lang::En).join("\n"),
            Ok(Found::Said { lines, .. } | Found::Report { lines, .. }) => lines.join("\n"),
            Err(failure) => panic!("{failure:?}"),
        }
    }

    fn proof(extra: Option<Vec<u8>>) -> String {
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let origin = Origin::new("test/log").expect("a name");
        let checkpoint = Checkpoint { origin, size: TreeSize(2), root: node_hash(&a, &b) };
        let checkpoint = checkpoint.sign(&[&log(1)], 0).expect("signed");
        match extra {
            Some(entry) => TlogProof::carrying(&entry, LeafIndex(0), vec![b], checkpoint).to_string(),
            None => TlogProof { extra: None, index: LeafIndex(0), path: vec![b], checkpoint }.to_string(),
        }
    }

    #[test]
    fn a_byte_of_a_proof_that_is_changed_is_found_wherever_it_stands() {
        let (policy, good) = (policy(1), proof(Some(b"a".to_vec())));
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] ^= 1;
            assert!(verify(&bad, &asked(&policy, None)).is_err(), "byte {at}");
        }
        // A line of someone whom the policy doesn't know.
        let mut more = TlogProof::parse(good.as_bytes()).expect("a proof");
        let line = log(2).sign(more.checkpoint.text(), 0).expect("signed");
        more.checkpoint.push(line).expect("room for it");
        assert!(verify(more.to_string().as_bytes(), &asked(&policy, None)).is_err());
    }

    #[test]
    fn whatever_is_changed_is_said_in_french() {
        let policy = vector_policy();
        let good = vector("whole");
        let files = (0..good.len()).step_by(97).map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            bad
        });
        let cut = (0..good.len()).step_by(193).map(|len| good[..len].to_vec());
        for file in files.chain(cut) {
            let Err(Failure::Check { why, .. }) = verify(&file, &asked(&policy, None)) else { continue };
            let french = why_not(&why, Lang::Fr);
            assert!(!french.contains("en anglais"), "{why}");
            let said = failed(Path::new("f"), &french, Lang::Fr);
            assert!(said.starts_with("f : échec de la vérification : ") && !said.contains("failed"), "{said}");
        }
    }

    #[test]
    fn a_proof_that_carries_its_entry_is_enough() {
        let text = text(verify(proof(Some(b"a".to_vec())).as_bytes(), &asked(&policy(1), None)));
        assert!(text.contains("entry 0") && text.contains("size 2"), "{text}");
        let forged = verify(proof(Some(b"c".to_vec())).as_bytes(), &asked(&policy(1), None));
        assert!(matches!(forged, Err(Failure::Check { .. })));
        let stranger = verify(proof(Some(b"a".to_vec())).as_bytes(), &asked(&policy(2), None));
        assert!(matches!(stranger, Err(Failure::Check { .. })));
    }

    #[test]
    fn a_proof_without_entry_needs_one() {
        let bare = proof(None);
        assert!(matches!(verify(bare.as_bytes(), &asked(&policy(1), None)), Err(Failure::Usage(_))));
        assert!(verify(bare.as_bytes(), &asked(&policy(1), Some(leaf_hash(b"a")))).is_ok());
        assert!(verify(b"anything", &asked(&policy(1), None)).is_err());
    }

    #[tokio::test]
    async fn nothing_is_verified_without_a_policy() {
        let context = Context { profile: None, timeouts: Timeouts::default(), propose: None };
        let error = run(&context, &args(vec!["x".into()], None)).await.expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("POLICY_REQUIRED"));
    }
    fn args(files: Vec<PathBuf>, policy: Option<PathBuf>) -> VerifyArgs {
        let (entry, leaf_hash, max_age, at) = (None, None, None, None);
        VerifyArgs { files, policy, entry, leaf_hash, max_age, at, json: false, lang: Lang::Fr }
    }

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../docs/vectors/bundle.json")).expect("JSON")
    }

    fn vector(name: &str) -> Vec<u8> {
        let vectors = vectors();
        let bundle = vectors["bundles"].as_array().expect("bundles").iter().find(|bundle| bundle["name"] == name);
        let text = bundle.expect("of this name")["bytes"].as_str().expect("a text").to_owned();
        BASE64_STANDARD.decode(text).expect("base64")
    }

    fn vector_policy() -> Policy {
        Policy::parse(vectors()["policy"].as_str().expect("a text").as_bytes()).expect("a policy")
    }

    #[test]
    fn a_bundle_says_what_it_proves_and_a_change_names_its_part() {
        let policy = vector_policy();
        let good = vector("whole");
        let said = text(verify(&good, &asked(&policy, None)));
        assert!(
            said.contains("Complete trace") && said.contains("ORDER 2026/17") && said.contains("Not proven"),
            "{said}"
        );
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let failure = verify(&bad, &asked(&policy, None));
        assert!(matches!(failure, Err(Failure::Check { section: Some(Section::Entries), .. })));
        let old = Freshness { now_s: 1_790_100_000, age_s_max: 300 };
        let stale = verify(&good, &Asked { fresh: Some(old), ..asked(&policy, None) });
        assert!(matches!(stale, Err(Failure::Check { section: Some(Section::Checkpoint), .. })));
    }

    #[test]
    fn a_bundle_shows_the_lines_of_the_trace_as_text_and_as_json() {
        let policy = vector_policy();
        for name in ["whole", "absence"] {
            let Ok(Found::Bundle(report, lines)) = verify(&vector(name), &asked(&policy, None)) else {
                panic!("{name} isn't proven");
            };
            assert_eq!(lines.len(), report.entries.len(), "{name}");
            for (line, entry) in lines.iter().zip(&report.entries) {
                assert_eq!(line.json["index"], json!(entry.index));
                assert_eq!(
                    line.json["erased"].is_null(),
                    !matches!(entry.state, sillage_rules::bundle::State::Erased(_))
                );
                for lang in [Lang::Fr, Lang::En] {
                    assert!(!sentence(&line.event, lang).is_empty());
                }
            }
        }
        let Ok(Found::Bundle(_, lines)) = verify(&vector("whole"), &asked(&policy, None)) else { panic!("proven") };
        let text: Vec<String> = lines.iter().map(|line| sentence(&line.event, Lang::En)).collect();
        assert!(text[0].contains("810101234567") && text[0].contains("read"), "{text:?}");
        assert!(text.iter().any(|line| line.contains("ORDER 2026/17")), "{text:?}");
        assert!(lines.iter().any(|line| line.json["actor"]["id"] == "810101234567"), "{:?}", lines[0].json);
        assert!(lines.iter().any(|line| !line.json["decision"].is_null()), "a decision is one of the lines");
    }

    /// The receipt file of the first published decision, and a policy that knows its node.
    fn receipt() -> (Vec<u8>, Policy, ReceiptFile) {
        let vectors: Value = serde_json::from_str(include_str!("../../../docs/vectors/decision.json")).expect("JSON");
        let decision = &vectors["decisions"][0];
        let hex = |value: &Value| hex::decode(value.as_str().expect("a text")).expect("hex");
        let number = |name: &str| decision[name].as_u64().expect("a number").to_be_bytes().to_vec();
        let origin = vectors["origin"].as_str().expect("a text");
        let part = hex(&decision["actor_part"]);
        let length = u32::try_from(part.len()).expect("short").to_be_bytes();
        let parts = [
            &b"sillage-receipt/v1\n"[..],
            &[u8::try_from(origin.len()).expect("short")],
            origin.as_bytes(),
            &[1, 1],
            &hex(&vectors["node"]["key_id"]),
            &number("index"),
            &number("time_ms"),
            &hex(&decision["signature"]),
            &hex(&decision["salt_a"]),
            &hex(&decision["private_hash"]),
            &length,
            &part,
        ];
        let key = |seed: u8, name: &str, kind| {
            SignerKey::new(name, kind, SigningKey::from_seed(&[seed; 32])).expect("a key").verifier().to_string()
        };
        let text = format!(
            "log {}\nwitness n1 {}\ngroup nodes 1 n1\nquorum nodes\n",
            key(1, origin, KeyKind::Ed25519),
            key(2, &format!("{origin}/node-1"), KeyKind::CosignatureV1)
        );
        let bytes = parts.concat();
        let file = ReceiptFile::parse(&bytes).expect("a receipt file");
        (bytes, Policy::parse(text.as_bytes()).expect("a policy"), file)
    }

    #[test]
    fn a_receipt_is_ok_only_while_it_is_valid() {
        let (bytes, policy, file) = receipt();
        let part = &file.receipts[0].view.actor;
        let (from, until) = (part.decided_at_ms, part.expires_at_ms);
        let at = |at_ms| verify(&bytes, &Asked { at_ms, ..asked(&policy, None) });
        for moment in [from, until - 1] {
            assert!(matches!(at(Some(moment)), Ok(Found::Said { .. })), "{moment}");
        }
        for (moment, words) in
            [(None, "no longer valid"), (Some(until), "no longer valid"), (Some(from - 1), "not valid yet")]
        {
            let Err(Failure::NotValid { why, lines, .. }) = at(moment) else { panic!("{moment:?}") };
            assert!(why.contains(words) && why.contains("the signatures hold"), "{why}");
            assert!(lines.iter().any(|line| line.contains("valid until")), "{lines:?}");
        }
        let mut bad = bytes.clone();
        bad[100] ^= 1;
        assert!(matches!(verify(&bad, &asked(&policy, None)), Err(Failure::Check { .. })), "that is another matter");
    }

    #[test]
    fn a_delta_is_held_against_the_bundle_given_with_it() {
        let policy = vector_policy();
        let check = |names: &[&str]| {
            let mut results: Vec<_> = names.iter().map(|name| verify(&vector(name), &asked(&policy, None))).collect();
            let continued = chains(&mut results);
            (continued, results.iter().map(Result::is_ok).collect::<Vec<_>>())
        };
        assert_eq!(check(&["older", "delta"]), (vec![false, true], vec![true, true]));
        assert_eq!(check(&["delta"]), (vec![false], vec![true]), "alone, it says so");
        assert_eq!(check(&["delta", "page", "absence"]).1, [true, true, true], "neither is what it could continue");
        assert_eq!(check(&["whole", "delta"]).1, [true, false], "not what it continues");
    }

    #[test]
    fn two_histories_among_the_files_are_seen() {
        let policy = policy(1);
        let origin = Origin::new("test/log").expect("a name");
        let note = |root: Hash| {
            let checkpoint = Checkpoint { origin: origin.clone(), size: TreeSize(2), root };
            checkpoint.sign(&[&log(1)], 0).expect("signed").to_string()
        };
        let verified = |root| verify(note(root).as_bytes(), &asked(&policy, None));
        let mut same = [verified(leaf_hash(b"a")), verified(leaf_hash(b"a"))];
        split_views(&mut same);
        assert!(same.iter().all(Result::is_ok));
        let mut split = [verified(leaf_hash(b"a")), verified(leaf_hash(b"b"))];
        split_views(&mut split);
        assert!(split[0].is_ok() && split[1].is_err());
    }
}
