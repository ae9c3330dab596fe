use super::*;
use crate::keys::SigningKey;
use crate::note::SignerKey;

const LOG: &str = "example.com/log";

fn signer(seed: u8, name: &str, kind: KeyKind) -> SignerKey {
    SignerKey::new(name, kind, SigningKey::from_seed(&[seed; 32])).expect("a valid name")
}

fn log(seed: u8) -> SignerKey {
    signer(seed, LOG, KeyKind::Ed25519)
}

fn witness(seed: u8) -> SignerKey {
    signer(seed, &format!("witness.example/{seed}"), KeyKind::CosignatureV1)
}

fn vkey(key: &SignerKey) -> String {
    key.verifier().to_string()
}

/// The two-level policy that the specification shows: two of X1 X2 X3, and any of Y1 Y2 Y3.
fn two_levels() -> Policy {
    let mut text = format!("# known logs\n\nlog {} https://log.example/\n", vkey(&log(1)));
    for (name, seed) in [("X1", 11), ("X2", 12), ("X3", 13), ("Y1", 21), ("Y2", 22), ("Y3", 23)] {
        text += &format!("\twitness  {name} {} \n", vkey(&witness(seed)));
    }
    text += "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n";
    text += "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n";
    Policy::parse(text.as_bytes()).expect("the policy of the specification")
}

fn checkpoint(origin: &str) -> Checkpoint {
    Checkpoint { origin: origin.parse().expect("valid"), size: 5.into(), root: [9; 32].into() }
}

fn signed(origin: &str, keys: &[SignerKey]) -> SignedNote {
    let keys: Vec<&SignerKey> = keys.iter().collect();
    checkpoint(origin).sign(&keys, 77).expect("some keys")
}

fn verdict(policy: &Policy, witnesses: &[u8]) -> Result<Satisfied, PolicyError> {
    let mut keys = vec![log(1)];
    keys.extend(witnesses.iter().map(|seed| witness(*seed)));
    policy.verify(&signed(LOG, &keys))
}

#[test]
fn a_quorum_in_two_levels() {
    let policy = two_levels();
    for enough in [&[11, 12, 21][..], &[12, 13, 23], &[11, 12, 13, 21, 22, 23], &[99, 11, 13, 22]] {
        let satisfied = verdict(&policy, enough).expect("a quorum");
        let known = enough.iter().filter(|seed| **seed != 99).count();
        assert_eq!(satisfied.witnesses.len(), known);
        assert!(satisfied.witnesses.iter().all(|witness| witness.time_s == 77));
        assert_eq!(satisfied.checkpoint, checkpoint(LOG));
    }
    for too_few in [&[][..], &[11, 12], &[11, 21, 22, 23], &[21, 22, 23], &[11, 11, 21]] {
        assert!(matches!(verdict(&policy, too_few), Err(PolicyError::Quorum(_))), "{too_few:?}");
    }
}

#[test]
fn a_log_signs_for_its_own_origin_only() {
    let other = signer(2, "example.com/other", KeyKind::Ed25519);
    let text = format!("log {}\nlog {}\nquorum none\n", vkey(&log(1)), vkey(&other));
    let policy = Policy::parse(text.as_bytes()).expect("valid");
    assert!(policy.verify(&signed(LOG, &[log(1)])).is_ok());
    let refused = policy.verify(&signed(LOG, &[other]));
    assert_eq!(refused, Err(PolicyError::LogSignature(LOG.to_owned())));
    let stranger = policy.verify(&signed(LOG, &[log(3)]));
    assert_eq!(stranger, Err(PolicyError::Note(NoteError::NoTrustedSignature)));
    let no_logs = Policy::parse(b"quorum none\n").expect("valid");
    assert!(no_logs.verify(&signed(LOG, &[log(1)])).is_err());
}

#[test]
fn a_witness_that_signed_something_else_spoils_the_note() {
    let mut note = signed(LOG, &[log(1), witness(11), witness(12), witness(21)]);
    assert!(two_levels().verify(&note).is_ok());
    let elsewhere = witness(22).sign("other text\n", 1).expect("in range");
    note.push(elsewhere).expect("few signatures");
    assert!(matches!(two_levels().verify(&note), Err(PolicyError::Note(NoteError::BadSignature(_)))));
}

#[test]
fn a_single_witness_can_be_the_quorum_and_names_are_octets() {
    let mut text = format!("log {}\nwitness ", vkey(&log(1))).into_bytes();
    text.extend([0xff, 0xfe]);
    text.extend(format!(" {}\nquorum ", vkey(&witness(11))).bytes());
    text.extend([0xff, 0xfe, b'\n']);
    let policy = Policy::parse(&text).expect("octets are opaque");
    assert!(verdict(&policy, &[11]).is_ok());
    assert!(verdict(&policy, &[12]).is_err());
}

#[test]
fn broken_policies_are_refused_with_their_line() {
    let (l, w, v) = (vkey(&log(1)), vkey(&witness(11)), vkey(&witness(12)));
    let same_key = vkey(&signer(11, "another.name", KeyKind::CosignatureV1));
    let two = format!("witness a {w}\nwitness b {v}\n");
    for (line, text) in [
        (1, "nonsense x\n".to_owned()),
        (1, "Log x\n".to_owned()),
        (1, format!("log {l} url more\n")),
        (1, "log\n".to_owned()),
        (1, format!("log {l}\r\n")),
        (1, "log x+00000000+AA==\n".to_owned()),
        (2, format!("log {l}\nlog {l}\n")),
        (1, format!("witness a {l}\n")),
        (1, format!("witness none {w}\n")),
        (2, format!("witness a {w}\nwitness a {v}\n")),
        (2, format!("witness a {w}\nwitness b {same_key}\n")),
        (3, format!("{two}group g 0 a b\n")),
        (3, format!("{two}group g 3 a b\n")),
        (3, format!("{two}group g 01 a b\n")),
        (3, format!("{two}group g +1 a b\n")),
        (3, format!("{two}group g any\n")),
        (3, format!("{two}group g any a a\n")),
        (3, format!("{two}group g any c\n")),
        (3, format!("{two}group g any g\n")),
        (3, format!("{two}group g any none\n")),
        (3, format!("{two}group a any b\n")),
        (3, format!("{two}group none any b\n")),
        (4, format!("{two}group g any a\ngroup h any a b\n")),
        (3, format!("{two}quorum c\n")),
        (3, format!("{two}quorum a b\n")),
        (4, format!("{two}quorum a\nquorum a\n")),
        (1, "quorum g\ngroup g any a\n".to_owned()),
        (1, "# \u{7f}\n".to_owned()),
    ] {
        match Policy::parse(text.as_bytes()) {
            Err(PolicyError::Line { line: at, .. }) => assert_eq!(at, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(Policy::parse(b""), Err(PolicyError::NoQuorum));
    assert_eq!(Policy::parse(two.as_bytes()), Err(PolicyError::NoQuorum));
    assert_eq!(Policy::parse(b"quorum none"), Err(PolicyError::File));
}

#[test]
fn a_quorum_is_as_old_as_the_youngest_set_that_makes_it() {
    let policy = two_levels();
    let text = checkpoint(LOG).to_text();
    let times = [(11, 50), (12, 90), (13, 70), (21, 60), (22, 40)];
    let mut lines = vec![log(1).sign(&text, 0).expect("signed")];
    lines.extend(times.map(|(seed, time_s)| witness(seed).sign(&text, time_s).expect("signed")));
    let satisfied = policy.verify(&SignedNote::new(text, lines).expect("a note")).expect("a quorum");
    // Two of X by 70 (12 and 13), any of Y by 60.
    assert_eq!(policy.quorum_time_s(&satisfied), Some(60));
    let nobody = Policy::parse(format!("log {}\nquorum none\n", vkey(&log(1))).as_bytes()).expect("a policy");
    let satisfied = nobody.verify(&signed(LOG, &[log(1)])).expect("signed by the log");
    assert_eq!(nobody.quorum_time_s(&satisfied), None);
}

#[test]
fn a_group_names_its_witnesses_and_those_of_the_groups_within() {
    let policy = two_levels();
    let names = |group: &str| policy.group(group).into_iter().map(|witness| witness.name.clone()).collect::<Vec<_>>();
    assert_eq!(names("X-witnesses"), [b"X1", b"X2", b"X3"]);
    assert_eq!(names("X-and-Y").len(), 6);
    assert!(names("X1").is_empty() && names("auditors").is_empty());
}
