//! Makes `docs/vectors/bundle.json` anew and compares. With `SILLAGE_WRITE_VECTORS=1` it is written instead.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use sillage_proof::hash::sha256;
use sillage_proof::policy::Policy;
use sillage_rules::bundle::{Bundle, BundleError, Options, Payload, Section, continues};

use crate::story::Story;
use crate::world::{policy, policy_text};

fn path() -> String {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    format!("{package}/../docs/vectors/bundle.json")
}

/// Where each section begins (its id) and ends (behind its check).
pub fn sections(bytes: &[u8]) -> Vec<(Section, std::ops::Range<usize>)> {
    let mut at = "sillage-trace/v1\n".len();
    let mut out = Vec::new();
    for section in Section::ALL {
        if at == bytes.len() {
            break;
        }
        let len = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().expect("four bytes")) as usize;
        let end = at + 5 + len + 32;
        out.push((section, at..end));
        at = end;
    }
    assert_eq!(at, bytes.len(), "sections fill the file");
    out
}

/// Makes the checks of every section fit again.
pub fn reseal(bytes: &mut [u8]) {
    for (_, range) in sections(bytes) {
        let end = range.end - 32;
        let check = sha256(&[b"sillage/section/v1\0", &bytes[range.start..end]]);
        bytes[end..range.end].copy_from_slice(check.as_bytes());
    }
}

pub fn verdict(bytes: &[u8], policy: &Policy) -> Result<(), BundleError> {
    Bundle::parse(bytes)?.verify(policy, &Options::default()).map(|_| ())
}

/// One changed byte, and the section that must be named.
fn tampered(name: &str, bytes: &[u8], offset: usize, reseals: bool, what: &str) -> Value {
    let mut bad = bytes.to_vec();
    bad[offset] ^= 1;
    if reseals {
        reseal(&mut bad);
    }
    let error = verdict(&bad, &policy()).expect_err(what);
    let section = error.section().map(Section::id);
    if !reseals {
        let holds = sections(bytes).into_iter().find(|(_, range)| range.contains(&offset));
        assert_eq!(section, holds.map(|(section, _)| section.id()), "{name}: {what} at {offset}: {error}");
    }
    json!({
        "bundle": name, "what": what, "offset": offset, "xor": 1, "reseal": reseals, "section": section,
    })
}

fn damage(name: &str, bytes: &[u8], out: &mut Vec<Value>) {
    out.push(tampered(name, bytes, 3, false, "the first line"));
    for (section, range) in sections(bytes) {
        let body = range.start + 5..range.end - 32;
        let places = [
            (range.start, "id"),
            (range.start + 4, "length"),
            (body.start + body.len() / 2, "body"),
            (range.end - 1, "check"),
        ];
        for (offset, what) in places {
            out.push(tampered(name, bytes, offset, false, &format!("the {what} of the {}", section.name())));
        }
    }
}

/// Where the body of a section begins.
fn start(wanted: Section, bytes: &[u8]) -> usize {
    let found = sections(bytes).into_iter().find(|(section, _)| *section == wanted);
    found.expect("a section").1.start + 5
}

/// Forgeries whose checks fit: what the proofs are for.
fn forgeries(story: &Story, out: &mut Vec<Value>) {
    let (whole, delta, page) = (story.whole(), story.delta(), story.page());
    let root = story.world.checkpoint(story.new).root;
    let root_text = BASE64_STANDARD.encode(root.as_bytes());
    let Some(Payload::Record { record, .. }) = whole.entries[0].payload.clone() else { panic!("a record is shown") };
    let Some(Payload::Decision { actor, private, .. }) = whole.entries[5].payload.clone() else {
        panic!("a decision is shown")
    };
    let needles: Vec<(&str, Section, &Bundle, Vec<u8>)> = vec![
        ("the root of the checkpoint", Section::Checkpoint, &whole, root_text.into_bytes()),
        ("the origin of the checkpoint", Section::Checkpoint, &whole, b"sillage.example".to_vec()),
        ("the path of the genesis", Section::Genesis, &whole, whole.genesis.path[0].to_bytes().to_vec()),
        ("the root of the index commit", Section::IndexCommit, &whole, whole.index_commit.entry[29..].to_vec()),
        ("the path of the index commit", Section::IndexCommit, &whole, whole.index_commit.path[0].to_bytes().to_vec()),
        ("the INS", Section::Identity, &whole, whole.identity.ins.clone().into_bytes()),
        ("the VRF proof", Section::Identity, &whole, whole.identity.proof[40..].to_vec()),
        ("the tag", Section::Identity, &whole, whole.identity.tag.to_bytes().to_vec()),
        ("a row of the bucket", Section::Bucket, &whole, whole.bucket.rows[0].1.to_bytes().to_vec()),
        ("the path of the bucket", Section::Bucket, &whole, whole.bucket.path[0].to_bytes().to_vec()),
        ("the root of the patient's tree", Section::Range, &whole, whole.range.mth.to_bytes().to_vec()),
        ("what stands before the range", Section::Range, &page, page.range.before[0].to_bytes().to_vec()),
        ("what stands after the range", Section::Range, &page, page.range.after[0].to_bytes().to_vec()),
        ("the signature of a batch", Section::Batches, &whole, whole.batches[1].signature.to_vec()),
        ("the stream of a batch", Section::Batches, &whole, whole.batches[0].stream_id.to_bytes().to_vec()),
        ("an entry", Section::Entries, &whole, whole.entries[1].entry[20..].to_vec()),
        ("a record", Section::Entries, &whole, record[4..].to_vec()),
        ("what the actor may know of a decision", Section::Entries, &whole, actor[6..].to_vec()),
        ("the rest of a decision", Section::Entries, &whole, private[6..].to_vec()),
        ("the path in a batch", Section::Entries, &whole, whole.entries[0].path[1].to_bytes().to_vec()),
        ("the older root", Section::Since, &delta, delta.since.as_ref().expect("a delta").root.to_bytes().to_vec()),
    ];
    for (what, section, bundle, needle) in needles {
        let name = if bundle == &whole {
            "whole"
        } else if bundle == &page {
            "page"
        } else {
            "delta"
        };
        let bytes = bundle.encode();
        let start = start(section, &bytes);
        let offset = bytes[start..].windows(needle.len()).position(|window| window == needle).expect(what);
        out.push(tampered(name, &bytes, start + offset, true, what));
    }
    let bytes = whole.encode();
    out.push(tampered("whole", &bytes, start(Section::Range, &bytes) + 7, true, "the number of entries"));
    let bytes = delta.encode();
    out.push(tampered("delta", &bytes, start(Section::Since, &bytes) + 7, true, "the older size"));
    out.push(tampered("delta", &bytes, start(Section::Since, &bytes) + 47, true, "the older number of entries"));
}

fn vectors() -> Value {
    let story = Story::new();
    let bundles: Vec<Value> = story
        .all()
        .iter()
        .map(|(name, bundle)| {
            let bytes = bundle.encode();
            assert_eq!(Bundle::parse(&bytes).as_ref(), Ok(bundle), "{name}");
            let report = bundle.verify(&policy(), &Options::default());
            let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
            json!({ "name": name, "bytes": BASE64_STANDARD.encode(&bytes), "report": report })
        })
        .collect();
    let mut changed = Vec::new();
    damage("whole", &story.whole().encode(), &mut changed);
    damage("delta", &story.delta().encode(), &mut changed);
    damage("absence", &story.absence().encode(), &mut changed);
    forgeries(&story, &mut changed);
    let other = policy_text("everyone")
        .replace(&crate::world::log_key().verifier().to_string(), &crate::world::other_log().verifier().to_string());
    json!({
        "what": "Patient bundles (docs/formats.md §9 and §10) of one log, made by rules/tests/bundle. Each of `bundles`                  satisfies `policy` and proves what `report` says. `continues`: a delta and what it continues.                  `tampered`: the byte at `offset` is XORed with `xor`; with `reseal` every section's check is computed                  anew; then verification must fail, naming the section (null: the first line). `refused`: policies that                  the bundle does not satisfy.",
        "policy": policy_text("everyone"),
        "bundles": bundles,
        "continues": [{ "older": "older", "newer": "delta" }],
        "continues_not": [{ "older": "page", "newer": "delta" }, { "older": "whole", "newer": "delta" }],
        "tampered": changed,
        "refused": [
            { "bundle": "whole", "section": 1, "policy": other },
            { "bundle": "whole", "section": 1, "policy": policy_text("everyone").replace("group nodes 2", "group nodes 3") },
        ],
    })
}

#[test]
fn the_vectors_are_the_documented_ones() {
    let made = serde_json::to_string_pretty(&vectors()).expect("JSON")
        + "
";
    if std::env::var_os("SILLAGE_WRITE_VECTORS").is_some() {
        std::fs::write(path(), &made).expect("written");
    }
    let kept =
        std::fs::read_to_string(path()).expect("docs/vectors/bundle.json: write it with SILLAGE_WRITE_VECTORS=1");
    assert!(kept == made, "docs/vectors/bundle.json differs from what this code makes");
    assert!(made.len() < 300_000, "{} bytes", made.len());
    let value: Value = serde_json::from_str(&kept).expect("JSON");
    for refused in value["refused"].as_array().expect("policies") {
        let policy = Policy::parse(refused["policy"].as_str().expect("a text").as_bytes()).expect("a policy");
        let error = verdict(&Story::new().whole().encode(), &policy).expect_err("refused");
        assert_eq!(error.section().map(Section::id), Some(1));
    }
}

#[test]
fn what_continues_what_is_as_documented() {
    let story = Story::new();
    let report = |bundle: Bundle| bundle.verify(&policy(), &Options::default()).expect("good");
    let delta = report(story.delta());
    assert_eq!(continues(&report(story.older()), &delta), Ok(()));
    for older in [story.page(), story.whole(), story.absence()] {
        assert!(continues(&report(older), &delta).is_err());
    }
    assert!(continues(&report(story.older()), &report(story.whole())).is_err(), "no delta");
}
