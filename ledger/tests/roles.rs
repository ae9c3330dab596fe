//! Roles as small as the job, and parties that vouch for their own alone: counted from feature level 3 on, and below it as
//! the program of before had it.

mod common;

use common::*;
use prost::Message as _;
use sillage_ledger::{CommandOutcome, Ledger, ROLES};
use sillage_proto::internal::v1::{Command, SealedRecord};
use sillage_proto::v1::Genesis;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

fn vouching(structures: &[&str]) -> Vouching {
    let structures = structures.iter().map(|&name| name.to_owned()).collect();
    Vouching { structures, ..Vouching::default() }.sorted()
}

fn raise(ledger: &mut Ledger, level: u32) {
    let command = Command { version: 6, feature_level: level, ..Command::default() };
    let (index, _) = ledger.applied();
    let outcomes = ledger.apply(index + 1, 1, START_MS, &command.encode_to_vec()).expect("applied");
    assert_eq!(outcomes, [CommandOutcome::FeatureLevel(level)]);
}

/// The refusal of an act of the authority on a stream of its own.
fn acted(ledger: &mut Ledger, label: &str, the: &Act) -> Option<Code> {
    code(&apply_one(ledger, batch(1, label, 1, vec![act(the)])))
}

fn vouches(ledger: &Ledger, party: u8) -> Vouching {
    ledger.reader().vouching(&author_id(party), 10_000).expect("readable")
}

#[test]
fn below_level_3_what_is_new_is_refused_as_the_program_of_before_refuses_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let root = ledger.reader().root();
    let new_role = Act::Registered(registration(10, Roles::RECORDER));
    let vouching_party = PartyRegistration { vouching: vouching(&["1"]), ..registration(11, Roles::READER) };
    let roles = Act::RolesChanged { author_id: author_id(2), roles: Roles::DECIDER, quota_events_per_s: 0 };
    let author_id = author_id(2);
    let changed = Act::VouchingChanged { author_id, added: vouching(&["1"]), removed: Vouching::default() };
    assert_eq!(acted(&mut ledger, "a", &new_role), Some(Code::MalformedRecord), "unknown bits");
    assert_eq!(
        acted(&mut ledger, "b", &Act::Registered(vouching_party)),
        Some(Code::MalformedRecord),
        "unknown fields"
    );
    assert_eq!(acted(&mut ledger, "c", &roles), Some(Code::MalformedRecord));
    assert_eq!(acted(&mut ledger, "d", &changed), Some(Code::UnknownKind));
    assert_eq!(ledger.reader().root(), root);
    assert_eq!(acted(&mut ledger, "e", &Act::Registered(registration(12, Roles::AUTHOR))), None, "as always");

    raise(&mut ledger, ROLES);
    for (label, act) in [("a", &new_role), ("c", &roles), ("d", &changed)] {
        assert_eq!(acted(&mut ledger, label, act), None, "{label}");
    }
    assert_eq!(ledger.reader().party(&author_id).expect("readable").expect("there").roles, Roles::DECIDER);
}

#[test]
fn from_level_3_on_the_role_author_is_not_given_out_and_who_has_it_keeps_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let before = batch(1, "before", 1, vec![act(&Act::Registered(registration(12, Roles::AUTHOR)))]);
    let first = apply_one(&mut ledger, before.clone());
    raise(&mut ledger, ROLES);
    let register = Act::Registered(registration(10, Roles::AUTHOR | Roles::READER));
    assert_eq!(acted(&mut ledger, "a", &register), Some(Code::ActRefused));
    // Beside it, the other roles of who has it and its quota may change; who has given it up doesn't get it again.
    let has = |roles, quota_events_per_s| Act::RolesChanged { author_id: author_id(3), roles, quota_events_per_s };
    for (label, act) in [("b", has(Roles::AUTHOR, 7)), ("c", has(Roles::AUTHOR | Roles::READER, 5))] {
        assert_eq!(acted(&mut ledger, label, &act), None, "{label}");
    }
    let party = ledger.reader().party(&author_id(3)).expect("readable").expect("there");
    assert_eq!((party.roles, party.quota_events_per_s), (Roles::AUTHOR | Roles::READER, 5));
    assert_eq!(acted(&mut ledger, "d", &has(Roles::READER, 5)), None);
    assert_eq!(acted(&mut ledger, "e", &has(Roles::AUTHOR | Roles::READER, 5)), Some(Code::ActRefused));
    // The same batch again gets its answer of before.
    let CommandOutcome::Done { first_index, .. } = first else { panic!("{first:?}") };
    let again = apply_one(&mut ledger, before);
    assert!(
        matches!(again, CommandOutcome::Done { first_index: at, repeated: true, .. } if at == first_index),
        "{again:?}"
    );
    let kept = apply_one(&mut ledger, batch(12, "s", 1, vec![record(1, tag(1), 1)]));
    assert!(matches!(kept, CommandOutcome::Done { .. }), "{kept:?}");
}

#[test]
fn each_role_signs_its_kinds_and_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    raise(&mut ledger, ROLES);
    let given =
        [Roles::RECORDER, Roles::DECIDER, Roles::EMERGENCY, Roles::REVIEWER, Roles::CONSENT_DESK, Roles::IDENTITY];
    for (seed, role) in (20_u8..).zip(given) {
        let party = PartyRegistration { vouching: Vouching::any(), ..registration(seed, role) };
        assert_eq!(acted(&mut ledger, &format!("r{seed}"), &Act::Registered(party)), None);
        for kind in Kind::ALL.iter().filter(|kind| !kind.made_by_ledger() && !kind.is_act()) {
            if kind.feature_level() > ROLES {
                continue;
            }
            let tag = if kind.has_patient() { tag(1) } else { [0; 32] };
            let sealed = SealedRecord { kind: kind.code().into(), ..record(1, tag, 1) };
            let outcome = apply_one(&mut ledger, batch(seed, &format!("k{:x}", kind.code()), 1, vec![sealed]));
            let refused = code(&outcome) == Some(Code::NotEntitled);
            // What decides is opened, and this one can't be: another refusal, once the role is right.
            assert_eq!(refused, !role.may_sign_at(*kind, ROLES), "{role} {kind}: {outcome:?}");
        }
    }
}

#[test]
fn whom_a_party_vouches_for_is_registered_added_to_and_taken_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    raise(&mut ledger, ROLES);
    let party = PartyRegistration { vouching: vouching(&["1", "2"]), ..registration(20, Roles::RECORDER) };
    assert_eq!(acted(&mut ledger, "a", &Act::Registered(party)), None);
    let author_id = author_id(20);
    let change = |added: &[&str], removed: &[&str]| Act::VouchingChanged {
        author_id,
        added: vouching(added),
        removed: vouching(removed),
    };
    assert_eq!(acted(&mut ledger, "b", &change(&["3", "2"], &["1"])), None);
    assert_eq!(vouches(&ledger, 20), vouching(&["2", "3"]));
    assert_eq!(acted(&mut ledger, "c", &change(&[], &["1"])), Some(Code::ActRefused), "it didn't vouch for it");
    let count = |ledger: &Ledger| ledger.reader().party(&author_id).expect("readable").expect("there").vouches_for;
    assert_eq!(count(&ledger), [2, 0, 0]);
    // As many as one may have, in acts that fit a record each.
    let many: Vec<String> = (0..4_094).map(|n| format!("s{n:05}")).collect();
    for (at, part) in many.chunks(1_024).enumerate() {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        assert_eq!(acted(&mut ledger, &format!("m{at}"), &change(&part, &[])), None);
    }
    assert_eq!(count(&ledger), [4_096, 0, 0]);
    assert_eq!(acted(&mut ledger, "o", &change(&["one more"], &[])), Some(Code::ActRefused));
    assert_eq!(acted(&mut ledger, "p", &change(&["one more"], &["2"])), None, "one went");
    // Only the authority says so.
    let own = act(&change(&["mine"], &[]));
    assert_eq!(code(&apply_one(&mut ledger, batch(20, "own", 1, vec![own]))), Some(Code::NotEntitled));
    ledger.flush().expect("a disk");
    drop(ledger);
    assert_eq!(count(&open(dir.path())), [4_096, 0, 0], "as stored");
}

/// The genesis of these tests, changed.
fn begins(change: impl FnOnce(&mut Genesis)) -> Result<Ledger, String> {
    let mut message = Genesis::decode(&genesis()[..]).expect("a genesis");
    change(&mut message);
    let dir = tempfile::tempdir().expect("a folder");
    Ledger::open(dir.path(), &message.encode_to_vec(), keks(), quiet()).map_err(|error| error.to_string())
}

#[test]
fn a_new_log_may_begin_at_level_3_with_small_roles() {
    let small = |message: &mut Genesis| {
        message.feature_level = 3;
        message.parties[1].roles = (Roles::RECORDER | Roles::DECIDER).bits();
        message.parties[1].structures = vec!["690000120".to_owned()];
        message.parties[2].roles = Roles::READER.bits();
    };
    let ledger = begins(small).expect("a log");
    assert_eq!(ledger.reader().feature_level(), 3);
    assert_eq!(vouches(&ledger, 2), vouching(&["690000120"]));
    let refused = |change: fn(&mut Genesis), why: &str| {
        let told = begins(|message| {
            small(message);
            change(message);
        });
        let told = told.err().expect(why);
        assert!(told.contains(why), "{told}");
    };
    refused(|message| message.parties[2].roles = Roles::AUTHOR.bits(), "author isn't given out");
    refused(|message| message.feature_level = 2, "feature_level 3");
    refused(|message| message.feature_level = 9, "this program knows");
    refused(
        |message| {
            message.test_log = false;
            message.parties[1].issuers = vec!["*".to_owned()];
        },
        "only a test log",
    );
    assert_eq!(begins(|_| ()).expect("a log of before").reader().feature_level(), 1);
}
