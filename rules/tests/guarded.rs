//! Every act and every record that an authority signs is either guarded by the rule that a new log begins with, or one signature
//! is enough for a reason. `docs/consent.md` has the table; this makes it.

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::{Value, json};
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::keys::{AuthorId, PublicKey, SigningKey};
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::{GuardedActs, Held, Rule, RuleChange, may_be_cosigned};
use sillage_rules::doors::sources::SourcesChange;
use sillage_rules::kind::Kind;
use sillage_rules::node_set::NodeSetChange;
use sillage_rules::record::{act_message, erasure_message};
use sillage_rules::roles::{Roles, signers};
use sillage_rules::voiding::{Voiding, Whose};
use sillage_rules::vouching::Vouching;
use sillage_rules::will::issuer::Issuer;

const GIVES: &str = "gives power";
const TAKES: &str = "only takes power away: a stolen key must not go on while a second authority is looked for";
const MORE: &str = "a stolen key records and reads as much as its quota lets it";
/// Events a second that the log gives a party.
const QUOTA_DEFAULT: u32 = 100;
const LOCKS: &str = "else one stolen key would end the others, and nobody could end it";

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public_key()
}

fn id(seed: u8) -> AuthorId {
    AuthorId::of_first_key(&key(seed))
}

/// The rule that a log begins with.
fn rule() -> Rule {
    Rule { needed: 2, authorities: [id(1), id(2)].into(), acts: GuardedActs::EVERYTHING }
}

fn party(roles: Roles, vouching: Vouching) -> Act {
    Act::Registered(PartyRegistration {
        key: key(9),
        name: "service".to_owned(),
        roles,
        tls_spki_sha256: Vec::new(),
        quota_events_per_s: 0,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching,
    })
}

fn structure() -> Vouching {
    Vouching { structures: vec!["750000001".to_owned()], ..Vouching::default() }
}

fn issuer(keys: bool) -> Act {
    let log = sillage_proof::batch::Origin::new("test.example/log").expect("an origin");
    let issuer = sillage_rules::will::test_issuer::TestIssuer::new(SigningKey::from_seed(&[1; 32]), log).published();
    Act::IssuerPublished(Box::new(match keys {
        true => issuer,
        false => Issuer { keys: Vec::new(), ..issuer },
    }))
}

/// An act, the roles that the party has that it is about, and whether a party replaces its own key. The party's quota is the log's.
struct Case {
    what: &'static str,
    act: Act,
    held: Roles,
    own: bool,
    why: &'static str,
}

fn case(what: &'static str, act: Act, held: Roles, why: &'static str) -> Case {
    Case { what, act, held, own: false, why }
}

fn has(roles: Roles) -> impl Fn(sillage_rules::authority::NamedParty<'_>) -> Held {
    move |_| Held { roles: roles.bits(), quota_events_per_s: 0 }
}

fn guards(rule: &Rule, act: &Act, held: Roles, own: bool) -> bool {
    rule.guards(act, has(held), own, QUOTA_DEFAULT)
}

fn with_quota(act: Act, quota: u32) -> Act {
    match act {
        Act::Registered(party) => Act::Registered(PartyRegistration { quota_events_per_s: quota, ..party }),
        Act::RolesChanged { author_id, roles, .. } => Act::RolesChanged { author_id, roles, quota_events_per_s: quota },
        other => other,
    }
}

fn acts() -> Vec<Case> {
    let none = Vouching::default;
    let roles = |roles| Act::RolesChanged { author_id: id(9), roles, quota_events_per_s: 0 };
    let rotated = || Act::Rotated { author_id: id(9), key: key(8), tls_spki_sha256: Vec::new() };
    let revoked = || Act::Revoked { key_id: key(9).key_id(), reason: "stolen".to_owned() };
    let vouching = |added, removed| Act::VouchingChanged { author_id: id(9), added, removed };
    let erased = |indices| Act::Erased { indices, ground: "ORDER".to_owned() };
    let void = Voiding::Void {
        whose: Whose::Key(key(9).key_id()),
        from: LeafIndex(1),
        until: None,
        reason: "stolen".to_owned(),
    };
    let back = Voiding::Reinstate { act: LeafIndex(1), reason: "wrong".to_owned() };
    let recorder = Roles::RECORDER;
    vec![
        case("a party that signs, asks, reads, or vouches for somebody", party(recorder, none()), Roles::NONE, GIVES),
        case("an operator, who vouches for nobody", party(Roles::OPERATOR, none()), Roles::NONE, "reaches no patient"),
        case(
            "a patient's own device",
            party(Roles::PATIENT, none()),
            Roles::NONE,
            "the patient's login proves it, and a line under each tag tells of it",
        ),
        case(
            "an operator or a device with a quota above the log's",
            with_quota(party(Roles::OPERATOR, none()), QUOTA_DEFAULT + 1),
            Roles::NONE,
            MORE,
        ),
        case("another key for a party, by an authority", rotated(), recorder, GIVES),
        Case {
            own: true,
            ..case("a party's own key, by itself", rotated(), Roles::AUTHORITY, "signed with the key before it")
        },
        case(
            "a key of a node",
            Act::NodeKeyRotated { node_id: 1, key: key(8) },
            Roles::NONE,
            "says whose checkpoints count",
        ),
        case("a key of the log", Act::LogKeyRotated { key: key(8) }, Roles::NONE, "says whose checkpoints count"),
        case("the key of an authority", revoked(), Roles::AUTHORITY, LOCKS),
        case("the key of any other party", revoked(), Roles::IDENTITY, TAKES),
        case(
            "an actor",
            Act::ActorRevoked { actor_hash: Hash::from_bytes([1; 32]), reason: "struck off".to_owned() },
            Roles::NONE,
            "holds everywhere, and no act undoes it",
        ),
        case("a role that the party hadn't", roles(Roles::EMERGENCY), recorder, GIVES),
        case("a higher quota", with_quota(roles(recorder), QUOTA_DEFAULT + 1), recorder, MORE),
        case("a lower quota", with_quota(roles(recorder), QUOTA_DEFAULT - 1), recorder, TAKES),
        case("fewer roles of an authority", roles(Roles::NONE), Roles::AUTHORITY, LOCKS),
        case("fewer roles, or none, of any other party", roles(Roles::NONE), Roles::IDENTITY, TAKES),
        case("whom a party vouches for besides", vouching(structure(), none()), recorder, GIVES),
        case("whom a party vouches for no more", vouching(none(), structure()), recorder, TAKES),
        case("an issuer with its keys", issuer(true), Roles::NONE, "proves wills in every patient's name"),
        case("an issuer without keys: it is withdrawn", issuer(false), Roles::NONE, TAKES),
        case("records", Act::RecordsVoided(void), Roles::NONE, "changes what holds for many"),
        case("an act of voiding, reinstated", Act::RecordsVoided(back), Roles::NONE, "changes what holds for many"),
        case("a whole patient", erased(Vec::new()), Roles::NONE, "can't be undone"),
        case("some records", erased(vec![LeafIndex(1)]), Roles::NONE, "can't be undone"),
        case(
            "which nodes there are",
            Act::NodeSetChanged(NodeSetChange::default()),
            Roles::NONE,
            "says whose checkpoints count",
        ),
        case("the rule", Act::AuthorityRule(RuleChange::Rule(rule())), Roles::NONE, "says who signs all else"),
        case(
            "a limit a day",
            Act::AuthorityRule(RuleChange::Limit { author_id: id(9), records: 1 }),
            Roles::NONE,
            "bounds what a stolen key does",
        ),
        case(
            "the list of sources",
            Act::SourcesListed(SourcesChange { listed: Vec::new(), removed: vec!["pacs".to_owned()] }),
            Roles::NONE,
            "holds for all patients",
        ),
    ]
}

/// Records of authorities that are no acts.
fn records() -> [(Kind, &'static str, &'static str); 6] {
    let all = "holds for all patients";
    let person = "gives a person a patient's powers, or takes them from one";
    [
        (Kind::REPRESENTATION_REGISTERED, "by an authority", person),
        (Kind::REPRESENTATION_ENDED, "by an authority", person),
        (Kind::CATALOGUE_PUBLISHED, "the catalogue", all),
        (Kind::POLICY_PUBLISHED, "the policy", all),
        (Kind::MATRIX_PUBLISHED, "the matrix", all),
        (
            Kind::DEVICE_REGISTERED,
            "a line that tells the patient of a device",
            "the patient's login proves it, and it is what tells of it",
        ),
    ]
}

fn line(kind: Kind, what: &str, guarded: bool, why: &str) -> String {
    format!("| `{kind}` | {what} | {} | {why} |", if guarded { "two" } else { "one" })
}

#[test]
fn every_act_is_guarded_or_harmless_for_a_reason() {
    let (rule, mut lines) = (rule(), Vec::new());
    let mut kinds = BTreeSet::new();
    for Case { what, act, held, own, why } in acts() {
        let guarded = guards(&rule, &act, held, own);
        assert_eq!(guarded, rule.guards_all(&act, has(held), own, QUOTA_DEFAULT), "{what}");
        let is_reason_to_wait = ![TAKES, "reaches no patient"].contains(&why) && !why.contains("login") && !own;
        assert_eq!(guarded, is_reason_to_wait, "{}: {what}", act.kind());
        kinds.insert(act.kind());
        lines.push(line(act.kind(), what, guarded, why));
    }
    for (kind, what, why) in records() {
        let guarded = rule.guards_record(kind);
        assert_eq!(guarded, rule.guards_any_record(kind));
        assert_eq!(guarded, !why.contains("login"), "{kind}");
        assert!(!guarded || may_be_cosigned(kind), "{kind} can be signed by two");
        kinds.insert(kind);
        lines.push(line(kind, what, guarded, why));
    }
    let signed = Kind::ALL.iter().copied().filter(|kind| kind.is_act() || signers(*kind).contains(Roles::AUTHORITY));
    assert_eq!(kinds, signed.collect(), "every kind that an authority signs has its line");
    let head = ["| kind | what it says | authorities | why |", "| --- | --- | --- | --- |"];
    let table = [&head.map(str::to_owned)[..], &lines].concat().join("\n");
    let doc = include_str!("../../docs/consent.md");
    assert!(doc.contains(&table), "docs/consent.md has another table than this:\n{table}");
}

/// A party with any one role, or that vouches for anybody, is registered by two, but for operators and patients' devices; and so is
/// each role given later.
#[test]
fn each_role_is_given_by_two() {
    let rule = rule();
    for name in Roles::ALL.names() {
        let role = Roles::from_names([name]).expect("a role");
        let harmless = [Roles::OPERATOR, Roles::PATIENT].contains(&role);
        assert_eq!(guards(&rule, &party(role, Vouching::default()), Roles::NONE, false), !harmless, "{name}");
        assert!(guards(&rule, &party(role, structure()), Roles::NONE, false), "{name} that vouches");
        let given = Act::RolesChanged { author_id: id(9), roles: role, quota_events_per_s: 0 };
        assert!(guards(&rule, &given, Roles::NONE, false), "{name} given");
        let of_authority = role == Roles::AUTHORITY;
        assert_eq!(guards(&rule, &given, role, false), of_authority, "{name} kept");
    }
}

/// Power that one authority takes away alone is counted; what it registers alone, and the end of a patient's device, is not.
#[test]
fn what_one_authority_takes_away_alone_is_counted() {
    let rule = rule();
    for Case { what, act, held, own, why } in acts() {
        if !guards(&rule, &act, held, own) {
            assert_eq!(Rule::is_counted_alone(&act, has(held), own), why == TAKES, "{what}");
        }
    }
    let device = Act::RolesChanged { author_id: id(9), roles: Roles::NONE, quota_events_per_s: 0 };
    assert!(!Rule::is_counted_alone(&device, has(Roles::PATIENT), false), "patients replace telephones every day");
}

/// The rules of before guard the same acts as then: logs of level 3 replay to the same roots.
#[test]
fn a_rule_of_before_guards_what_it_did() {
    let before = Rule { acts: GuardedActs::OF_BEFORE, ..rule() };
    let of_level_4 = Rule { acts: GuardedActs::OF_LEVEL_4, ..rule() };
    assert_eq!((before.feature_level(), of_level_4.feature_level(), rule().feature_level()), (3, 4, 5));
    for Case { what, act, held, own, .. } in acts() {
        let is_high = |roles: Roles| roles.intersects(Roles::AUTHORITY | Roles::IDENTITY);
        let expected = match &act {
            Act::Registered(party) => is_high(party.roles),
            Act::RolesChanged { roles, .. } => is_high(*roles) || is_high(held),
            Act::Rotated { .. } => is_high(held) && !own,
            Act::Revoked { .. } => is_high(held),
            Act::Erased { indices, .. } => indices.is_empty(),
            Act::VouchingChanged { .. } | Act::ActorRevoked { .. } | Act::SourcesListed(_) => false,
            Act::NodeKeyRotated { .. }
            | Act::LogKeyRotated { .. }
            | Act::NodeSetChanged(_)
            | Act::IssuerPublished(_)
            | Act::RecordsVoided(_)
            | Act::AuthorityRule(_) => true,
        };
        assert_eq!(guards(&before, &act, held, own), expected, "{what}");
        let raises = what.contains("quota above") || what.contains("higher quota");
        let raises = raises || matches!(act, Act::ActorRevoked { .. });
        assert_eq!(guards(&of_level_4, &act, held, own), guards(&rule(), &act, held, own) && !raises, "{what}");
        // From level 5 on it is held to guard everything, and what it did.
        let now = guards(&rule(), &act, held, own) || expected;
        assert_eq!(before.guards_all(&act, has(held), own, QUOTA_DEFAULT), now, "{what}");
    }
    assert!(records().iter().all(|(kind, ..)| before.guards_any_record(*kind) == rule().guards_record(*kind)));
    assert!(!records().iter().any(|(kind, ..)| before.guards_record(*kind)));
}

fn author_ids(rule: &Rule) -> Vec<String> {
    rule.authorities.iter().map(ToString::to_string).collect()
}

/// The genesis of a log that begins with the rule.
fn genesis() -> v1::Genesis {
    let authority = |seed: u8| PartyRegistration {
        key: key(seed),
        name: format!("authority {seed}"),
        roles: Roles::AUTHORITY,
        tls_spki_sha256: vec![[seed; 32]],
        quota_events_per_s: 0,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching: Vouching::default(),
    };
    v1::Genesis {
        version: 1,
        origin: "example.org/two".to_owned(),
        created_ms: 1_772_442_000_000,
        log_public_key: key(100).as_bytes().to_vec(),
        vrf_public_key: vec![101; 32],
        tag_first: vec![0; 32],
        tag_last: vec![0xff; 32],
        index_depth: 4,
        parties: [1, 2].map(|seed| authority(seed).to_message()).to_vec(),
        nonce: vec![7; 32],
        feature_level: 5,
        quota_events_per_s: QUOTA_DEFAULT,
        rule: Some(RuleChange::Rule(rule()).to_message()),
        ..v1::Genesis::default()
    }
}

/// `docs/vectors/guarded.json`, for other verifiers. `WRITE_VECTORS=1` writes it anew.
#[test]
fn the_vectors_say_what_a_rule_guards() {
    let of_level_4 = Rule { acts: GuardedActs::OF_LEVEL_4, ..rule() };
    let before = Rule { acts: GuardedActs::OF_BEFORE, ..rule() };
    let cases: Vec<Value> = acts()
        .iter()
        .map(|Case { what, act, held, own, .. }| {
            let record = match act {
                Act::Erased { .. } => erasure_message(act, &[5; 32], 1_772_442_000_000),
                act => act_message(act, 1_772_442_000_000),
            };
            let guarded = |rule: &Rule| guards(rule, act, *held, *own);
            json!({
                "name": format!("{}: {what}", act.kind()), "record": hex::encode(record.encode_to_vec()), "held": held.bits(),
                "held_quota": 0, "own": own, "guarded_by_511": guarded(&rule()), "guarded_by_127": guarded(&of_level_4),
                "guarded_by_15": guarded(&before),
            })
        })
        .collect();
    let genesis = genesis();
    assert_eq!(Rule::of_genesis(&genesis), Ok(Some(rule())));
    let about = "Test vectors of docs/formats.md §18: a genesis with a rule, and which acts a rule guards whose `acts` are 511, 127 or 15. Bytes are hexadecimal. Each act is about the party `party`, which has the roles `held`, the quota `held_quota` (0: that of the genesis, `quota_default`) and the key `key_id`; `own`: it signs the act itself, else the authority `signer` does, alone.";
    let vector = json!({
        "about": about, "genesis": hex::encode(genesis.encode_to_vec()), "authorities": author_ids(&rule()), "needed": 2,
        "quota_default": QUOTA_DEFAULT, "signer": id(1).to_string(), "party": id(9).to_string(), "key_id": key(9).key_id().to_string(), "cases": cases,
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/guarded.json");
    if std::env::var_os("WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vector).expect("JSON") + "\n";
        std::fs::write(path, text).expect("the file of vectors");
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON");
    assert!(kept == vector, "docs/vectors/guarded.json says something else: write it anew with WRITE_VECTORS=1");
}
