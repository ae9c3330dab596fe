//! Records that several parties sign in a log that begins with a rule: what authorities do that reaches patients beyond one structure, and
//! what is said of an identity.

use prost::Message as _;
use serde_json::json;
use sillage_ledger::{CommandOutcome, DOORS, FEATURE_LEVEL, Ledger};
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proto::internal::v1::{Command, SealedRecord};
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::{ACTS_ALONE_A_DAY, CosignMessage, GuardedActs, Held, Rule, RuleChange, content_hash};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, act_message};
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

use crate::common::world::*;
use crate::common::{DAY_MS, ORIGIN, START_MS, author_id, batch, genesis_of, keks, key, quiet, registration, tag};

/// The authorities are 1, 4 and 5, of whom two sign; identity services are 6 and 7, a recorder is 8.
const IDENTITY: [u8; 2] = [6, 7];
const GOOD_MS: u64 = START_MS + HOUR_MS;

fn rule() -> Rule {
    let authorities = [1, 4, 5].into_iter().map(author_id).collect();
    Rule { needed: 2, authorities, acts: GuardedActs::EVERYTHING }
}

fn genesis_with(rule: Option<v1::AuthorityRule>) -> v1::Genesis {
    let mut genesis = v1::Genesis::decode(&genesis_of(true)[..]).expect("a genesis");
    let service = |seed, roles| PartyRegistration { vouching: Vouching::any(), ..registration(seed, roles) };
    let authorities = [1, 4, 5].map(|seed| registration(seed, Roles::AUTHORITY));
    let services = [(6, Roles::IDENTITY), (7, Roles::IDENTITY), (8, Roles::RECORDER), (9, Roles::CONSENT_DESK)];
    let services = services.map(|(seed, roles)| service(seed, roles));
    genesis.parties = authorities.iter().chain(&services).map(PartyRegistration::to_message).collect();
    (genesis.feature_level, genesis.rule) = (FEATURE_LEVEL, rule);
    genesis
}

fn world() -> World {
    let rule = RuleChange::Rule(rule()).to_message();
    World::of(&genesis_with(Some(rule)).encode_to_vec(), quiet())
}

/// The record with the further signatures of these parties.
fn signed(record: v1::Record, by: &[u8]) -> v1::Record {
    let content = content_hash(&record);
    let sign = |seed: &u8| {
        let origin = Origin::new(ORIGIN).expect("an origin");
        CosignMessage { key_id: key(*seed).key_id(), origin, expires_ms: GOOD_MS, content }.sign(&key(*seed))
    };
    let mut signatures: Vec<_> = by.iter().map(sign).collect();
    signatures.sort_by(|one, other| one.key_id.cmp(&other.key_id));
    v1::Record { signatures, ..record }
}

/// The refusal of an act of the authority 1 that these sign too.
fn acted(world: &mut World, act: &Act, by: &[u8]) -> Option<Code> {
    let record = ParsedRecord::from_message(signed(act_message(act, START_MS), by)).expect("an act");
    let payload = [&[7; 16][..], record.bytes()].concat();
    let sealed = SealedRecord {
        kind: record.kind().code().into(),
        tag: vec![0; 32].into(),
        record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
        payload: payload.into(),
        occurred_at_ms: START_MS,
        facts: 0,
    };
    // On a stream of its own each time: what is sent again isn't a repetition.
    let batch = batch(1, &format!("act.{}", world.tape.len()), 1, vec![sealed]);
    let checked = world.reader().check(&batch, world.now);
    match world.apply(Command { batches: vec![batch], ..Command::default() }).remove(0) {
        CommandOutcome::Refused(refusal) => {
            assert_eq!(checked, Err(refusal.clone()), "the leader says the same");
            Some(refusal.code)
        }
        _ => {
            assert_eq!(checked, Ok(()));
            None
        }
    }
}

fn vouches(structures: &[&str]) -> Vouching {
    let structures = structures.iter().map(|&name| name.to_owned()).collect();
    Vouching { structures, ..Vouching::default() }
}

#[test]
fn a_log_begins_with_the_rule_of_its_genesis() {
    let world = world();
    assert_eq!(world.reader().authority_rule(), Ok(Some(rule())));
    let without = World::of(&genesis_with(None).encode_to_vec(), quiet());
    assert_eq!(without.reader().authority_rule(), Ok(None));
    let refused = |genesis: &v1::Genesis| {
        let dir = tempfile::tempdir().expect("a folder");
        let opened = Ledger::open(dir.path(), &genesis.encode_to_vec(), keks(), quiet());
        opened.err().expect("no genesis").to_string()
    };
    let of = |change: &dyn Fn(&mut v1::AuthorityRule)| {
        let mut message = RuleChange::Rule(rule()).to_message();
        change(&mut message);
        refused(&genesis_with(Some(message)))
    };
    assert!(of(&|rule| rule.needed = 4).contains("4 signatures of 3 authorities"));
    assert!(of(&|rule| rule.needed = 0).contains("0 signatures of 3 authorities"));
    assert!(of(&|rule| rule.acts = 1).contains("rule.acts"));
    let stranger = author_id(6).as_bytes().to_vec();
    assert!(of(&|rule| (rule.needed, rule.authorities) = (1, vec![stranger.clone()])).contains("isn't an authority"));
    let old = v1::Genesis { feature_level: 3, ..genesis_with(Some(RuleChange::Rule(rule()).to_message())) };
    assert!(refused(&old).contains("feature_level 4"));
    let mut twice = genesis_with(None);
    twice.parties[1] = PartyRegistration { name: "again".into(), ..registration(1, Roles::AUTHORITY) }.to_message();
    assert!(refused(&twice).contains("two parties have the key"));
}

#[test]
fn one_authority_gives_nobody_anything_and_takes_away_at_once() {
    let mut world = world();
    let party = |seed, roles, vouching| Act::Registered(PartyRegistration { vouching, ..registration(seed, roles) });
    let none = Vouching::default;
    let roles = |seed, roles| Act::RolesChanged { author_id: author_id(seed), roles, quota_events_per_s: 0 };
    let vouching = |added, removed| Act::VouchingChanged { author_id: author_id(8), added, removed };
    let revoke = |seed: u8| Act::Revoked { key_id: key(seed).key_id(), reason: "stolen".into() };
    let rotate =
        |seed: u8| Act::Rotated { author_id: author_id(seed), key: key(90).public_key(), tls_spki_sha256: vec![] };
    let erase = Act::Erased { indices: vec![LeafIndex(1)], ground: "none".into() };
    let guarded = [
        party(20, Roles::CONSENT_DESK, none()),
        party(20, Roles::READER, none()),
        party(20, Roles::AUDITOR, none()),
        party(20, Roles::TAG, none()),
        party(20, Roles::RECORDER, none()),
        party(20, Roles::OPERATOR, vouches(&["750000001"])),
        roles(8, Roles::RECORDER | Roles::EMERGENCY),
        roles(4, Roles::NONE),
        vouching(vouches(&["750000001"]), none()),
        rotate(8),
        rotate(4),
        revoke(4),
    ];
    let size = world.reader().tree_size();
    for act in guarded {
        assert_eq!(acted(&mut world, &act, &[]), Some(Code::SignaturesMissing), "{act:?}");
    }
    assert!(rule().guards(&erase, |_| Held::default(), false, 0), "some records too");
    assert_eq!(world.reader().tree_size(), size, "nothing is recorded");
    // What takes power away stands at once.
    let alone = [
        vouching(none(), vouches(&["*"])),
        revoke(8),
        roles(9, Roles::NONE),
        revoke(6),
        party(21, Roles::OPERATOR, none()),
    ];
    for act in alone {
        assert_eq!(acted(&mut world, &act, &[]), None, "{act:?}");
    }
    // With two it is done, once.
    let desk = party(20, Roles::CONSENT_DESK, vouches(&["750000001"]));
    assert_eq!(acted(&mut world, &desk, &[4]), None);
    assert_eq!(acted(&mut world, &desk, &[4]), Some(Code::ActRefused));
    // Of three authorities two can replace the key of the third.
    assert_eq!(acted(&mut world, &rotate(5), &[4]), None);
}

/// A log of level 4 whose rule guards what rules of level 3 do.
fn narrow() -> World {
    let narrow = RuleChange::Rule(Rule { acts: GuardedActs::OF_BEFORE, ..rule() }).to_message();
    World::of(&v1::Genesis { feature_level: 4, ..genesis_with(Some(narrow)) }.encode_to_vec(), quiet())
}

#[test]
fn from_level_5_on_a_rule_of_before_guards_everything_too() {
    let mut world = narrow();
    let party = |seed, roles| Act::Registered(registration(seed, roles));
    let quota =
        |seed, roles, quota_events_per_s| Act::RolesChanged { author_id: author_id(seed), roles, quota_events_per_s };
    let revoke = |seed: u8| Act::Revoked { key_id: key(seed).key_id(), reason: "stolen".into() };
    let read = |n| access(Kind::ACCESS_READ, tag(n), doctor(1, "physician"), &[item("d")], (v1::BasisKind::Legal, "L"));
    let missing = Some(Code::SignaturesMissing);
    let indices = [1, 2].map(|n| world.try_record_by(8, &[read(n)]).expect("a recorder"));
    // At level 4 one authority alone did all of it, but for ending an identity service.
    assert_eq!(acted(&mut world, &party(20, Roles::RECORDER), &[]), None);
    assert_eq!(acted(&mut world, &quota(8, Roles::RECORDER, 5), &[]), None);
    assert_eq!(acted(&mut world, &quota(8, Roles::RECORDER, 0), &[]), None);
    assert_eq!(world.erase(tag(1), &indices[..1]), Ok(()));
    assert_eq!(acted(&mut world, &revoke(6), &[]), missing);
    let struck_off = Act::ActorRevoked { actor_hash: Hash::from_bytes([1; 32]), reason: "struck off".into() };
    assert_eq!(acted(&mut world, &struck_off, &[]), None);
    world.raise(DOORS);
    assert_eq!(acted(&mut world, &party(21, Roles::RECORDER), &[]), missing);
    assert_eq!(acted(&mut world, &party(21, Roles::RECORDER), &[4]), None);
    assert_eq!(world.erase(tag(2), &indices[1..]), Err(Code::SignaturesMissing), "what can't be undone");
    let struck_off = |n| Act::ActorRevoked { actor_hash: Hash::from_bytes([n; 32]), reason: "struck off".into() };
    assert_eq!(acted(&mut world, &struck_off(2), &[]), missing, "neither can that");
    assert_eq!(acted(&mut world, &struck_off(2), &[4]), None);
    assert_eq!(acted(&mut world, &revoke(6), &[]), missing, "as it did before");
    let actor = v1::Actor { system: "urn:sillage:author".into(), id: author_id(1).to_string(), ..v1::Actor::default() };
    let policy = v1::Record { auth: None, ..says(Kind::POLICY_PUBLISHED, None, actor, &json!({"version": "thief"})) };
    assert_eq!(world.try_record_by(1, &[policy]).expect_err("one of two").code, Code::SignaturesMissing);
    // A rule that guards less isn't made any more; the one that replaces it lets a stolen key of a service be stopped at once.
    for acts in [GuardedActs::ALWAYS, GuardedActs::OF_BEFORE, GuardedActs::OF_LEVEL_4] {
        let less = Act::AuthorityRule(RuleChange::Rule(Rule { acts, ..rule() }));
        assert_eq!(acted(&mut world, &less, &[4]), Some(Code::ActRefused));
    }
    assert_eq!(acted(&mut world, &Act::AuthorityRule(RuleChange::Rule(rule())), &[4]), None);
    assert_eq!(acted(&mut world, &revoke(6), &[]), None);
}

#[test]
fn a_higher_quota_takes_two_and_a_lower_one_takes_one() {
    let mut world = world();
    let quota =
        |quota_events_per_s| Act::RolesChanged { author_id: author_id(8), roles: Roles::RECORDER, quota_events_per_s };
    let operator = |seed, quota_events_per_s| {
        Act::Registered(PartyRegistration { quota_events_per_s, ..registration(seed, Roles::OPERATOR) })
    };
    let missing = Some(Code::SignaturesMissing);
    // The log gives no bound of its own: whatever bounds is less.
    assert_eq!(acted(&mut world, &quota(5), &[]), None);
    assert_eq!(acted(&mut world, &quota(6), &[]), missing);
    assert_eq!(acted(&mut world, &quota(0), &[]), missing, "as many as it likes");
    assert_eq!(acted(&mut world, &quota(6), &[5]), None);
    assert_eq!(acted(&mut world, &quota(6), &[]), None, "the same again");
    assert_eq!(acted(&mut world, &operator(30, 9), &[]), None);
    let mut bounded = genesis_with(Some(RuleChange::Rule(rule()).to_message()));
    bounded.quota_events_per_s = 10;
    let mut world = World::of(&bounded.encode_to_vec(), quiet());
    assert_eq!(acted(&mut world, &operator(30, 0), &[]), None);
    assert_eq!(acted(&mut world, &operator(31, 10), &[]), None);
    assert_eq!(acted(&mut world, &operator(32, 11), &[]), missing);
    assert_eq!(acted(&mut world, &operator(32, 11), &[5]), None);
    assert_eq!(acted(&mut world, &quota(11), &[]), missing);
    assert_eq!(acted(&mut world, &quota(10), &[]), None);
}

#[test]
fn one_authority_alone_stops_so_many_services_a_day() {
    let mut world = world();
    let limited = |records| Act::AuthorityRule(RuleChange::Limit { author_id: author_id(1), records });
    assert_eq!(acted(&mut world, &limited(10 * ACTS_ALONE_A_DAY), &[4]), None, "of records, not of these acts");
    let quota =
        |quota_events_per_s| Act::RolesChanged { author_id: author_id(8), roles: Roles::RECORDER, quota_events_per_s };
    for n in 0..ACTS_ALONE_A_DAY {
        assert_eq!(acted(&mut world, &quota(1_000 - n), &[]), None, "{n}");
    }
    let revoke = |seed: u8| Act::Revoked { key_id: key(seed).key_id(), reason: "stolen".into() };
    let reached = Some(Code::LimitReached);
    assert_eq!(acted(&mut world, &revoke(8), &[]), reached);
    assert_eq!(acted(&mut world, &quota(1), &[]), reached);
    assert_eq!(acted(&mut world, &revoke(9), &[4]), None, "two go on");
    // What gives nobody power and takes none isn't counted.
    assert_eq!(acted(&mut world, &Act::Registered(registration(40, Roles::OPERATOR)), &[]), None);
    world.reopen_with(&genesis_with(Some(RuleChange::Rule(rule()).to_message())).encode_to_vec());
    assert_eq!(acted(&mut world, &revoke(8), &[]), reached, "it is on disk");
    assert_eq!(acted(&mut world, &limited(1), &[4]), None);
    world.pass(DAY_MS);
    assert_eq!(acted(&mut world, &revoke(8), &[]), None, "another day");
    assert_eq!(acted(&mut world, &revoke(7), &[]), reached, "a lower limit counts");
    world.pass(DAY_MS);
    assert_eq!(acted(&mut world, &revoke(7), &[]), None, "a third day");
}

#[test]
fn a_rule_of_a_genesis_guards_what_its_level_knows() {
    let of = |feature_level, acts| {
        let message = RuleChange::Rule(Rule { acts, ..rule() }).to_message();
        let genesis = v1::Genesis { feature_level, ..genesis_with(Some(message)) };
        let dir = tempfile::tempdir().expect("a folder");
        Ledger::open(dir.path(), &genesis.encode_to_vec(), keks(), quiet()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(of(4, GuardedActs::OF_LEVEL_4), Ok(()));
    assert!(of(4, GuardedActs::EVERYTHING).expect_err("not known").contains("feature_level 5"));
    assert!(of(5, GuardedActs::OF_LEVEL_4).expect_err("less").contains("guards everything"));
    assert_eq!(of(5, GuardedActs::EVERYTHING), Ok(()));
}

#[test]
fn one_authority_publishes_nothing_and_represents_nobody() {
    let mut world = world();
    let authority =
        || v1::Actor { system: "urn:sillage:author".into(), id: author_id(1).to_string(), ..v1::Actor::default() };
    let policy = says(Kind::POLICY_PUBLISHED, None, authority(), &json!({"version": "thief"}));
    let details = json!({
        "representative": "urn:sillage:person|thief", "relation": "PARENT", "powers": ["read"],
        "until": rfc3339(START_MS + HOUR_MS),
    });
    let parent = says(Kind::REPRESENTATION_REGISTERED, Some(tag(1)), authority(), &details);
    for record in [policy.clone(), parent.clone()] {
        let record = v1::Record { auth: None, ..record };
        let refusal = world.try_record_by(1, std::slice::from_ref(&record)).expect_err("one of two");
        assert_eq!(refusal.code, Code::SignaturesMissing);
        assert!(refusal.message.contains("1 are missing"), "{}", refusal.message);
        // A service is no authority.
        let refusal = world.try_record_by(1, &[signed(record.clone(), &[6])]).expect_err("no authority's");
        assert_eq!(refusal.code, Code::BadSignature);
        let good = signed(record, &[5]);
        world.try_record_by(1, std::slice::from_ref(&good)).expect("two of three");
        let again = world.try_record_by(1, &[good]).expect_err("once");
        assert_eq!(again.code, Code::ActRefused, "else a thief would bring back what was replaced since");
    }
}

/// A link, by an identity service.
fn link() -> v1::Record {
    v1::Record {
        auth: None,
        ..says(Kind::IDENTITY_LINKED, Some(tag(1)), doctor(1, "physician"), &serde_json::Value::Null)
    }
}

#[test]
fn what_is_said_of_an_identity_is_confirmed_by_another_party() {
    for rule in [None, Some(RuleChange::Rule(rule()).to_message())] {
        let mut world = World::of(&genesis_with(rule).encode_to_vec(), quiet());
        for kind in [Kind::IDENTITY_LINKED, Kind::IDENTITY_CORRECTED] {
            let said = v1::Record { kind: kind.code().into(), ..link() };
            let refusal = world.try_record_by(IDENTITY[0], std::slice::from_ref(&said)).expect_err("one alone");
            assert_eq!(refusal.code, Code::SignaturesMissing);
            assert!(refusal.message.contains("sillage identity confirm"), "the way out: {}", refusal.message);
            for (by, why) in [(8, "a recorder"), (9, "a desk"), (IDENTITY[0], "itself")] {
                let refusal = world.try_record_by(IDENTITY[0], &[signed(said.clone(), &[by])]).expect_err(why);
                assert_eq!(refusal.code, Code::BadSignature, "{why}");
            }
            let other = signed(v1::Record { occurred_at_ms: START_MS + 1, ..said.clone() }, &[IDENTITY[1]]);
            let moved = v1::Record { signatures: other.signatures, ..said.clone() };
            let refusal = world.try_record_by(IDENTITY[0], &[moved]).expect_err("of another record");
            assert_eq!(refusal.code, Code::BadSignature);
            let good = signed(said.clone(), &[IDENTITY[1]]);
            world.try_record_by(IDENTITY[0], std::slice::from_ref(&good)).expect("two parties");
            assert_eq!(world.try_record_by(IDENTITY[0], &[good]).expect_err("once").code, Code::ActRefused);
            let later = v1::Record { occurred_at_ms: START_MS + 2, ..said };
            world.try_record_by(IDENTITY[0], &[signed(later, &[4])]).expect("an authority confirms too");
        }
    }
}

#[test]
fn below_level_4_no_such_record_carries_signatures_and_none_is_asked_for() {
    let mut genesis = genesis_with(None);
    genesis.feature_level = 3;
    let mut world = World::of(&genesis.encode_to_vec(), quiet());
    world.try_record_by(IDENTITY[0], &[link()]).expect("as before");
    let actor = v1::Actor { system: "urn:sillage:system".into(), id: "authority".into(), ..v1::Actor::default() };
    let policy = v1::Record { auth: None, ..says(Kind::POLICY_PUBLISHED, None, actor, &json!({"version": "1"})) };
    let refusal = world.try_record_by(1, &[signed(policy, &[4])]).expect_err("not known yet");
    assert_eq!(refusal.code, Code::MalformedRecord);
    let wide = Act::AuthorityRule(RuleChange::Rule(rule()));
    assert_eq!(acted(&mut world, &wide, &[]), Some(Code::MalformedRecord));
    let narrow = Rule { acts: GuardedActs::OF_BEFORE, ..rule() };
    assert_eq!(acted(&mut world, &Act::AuthorityRule(RuleChange::Rule(narrow)), &[]), None);
}
