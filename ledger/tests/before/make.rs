//! Makes the log of level 4: services with every role try what they may sign and more, with every basis and every proof. The log of
//! level 3 was made so too, without what [`claims`](crate::claims) adds and without its second raise.
//!
//! Each was made once, by the last program of its level. Made again by a later one it proves nothing: what it refuses or
//! flags would be what it refuses and flags.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use serde_json::{Value, json};
use sillage_ledger::CommandOutcome;
use sillage_ledger::seal::{KekFile, TagPrefix};
use sillage_proof::batch::Origin;
use sillage_proof::hash::{LeafIndex, leaf_hash};
use sillage_proto::internal::v1::{Command, SealedBatch, SealedRecord};
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::{CosignMessage, GuardedActs, Rule, RuleChange, content_hash};
use sillage_rules::kind::Kind;
use sillage_rules::node_set::SetNode;
use sillage_rules::record::{ParsedRecord, act_message, erasure_message, new_message};
use sillage_rules::roles::Roles;
use sillage_rules::voiding::{Voiding, Whose};
use sillage_rules::vouching::Vouching;
use sillage_rules::will::issuer::Issuer;

use crate::common::world::*;
use crate::common::*;
use crate::said::{a_patient, any, dr, issuer, proven};

const OLD_AUTHOR: u8 = 2;
const STOLEN: u8 = 3;
pub const RECORDER: u8 = 10;
pub const DECIDER: u8 = 11;
pub const BOTH: u8 = 12;
const EMERGENCY: u8 = 13;
const REVIEWER: u8 = 14;
pub const DESK: u8 = 15;
pub const IDENTITY: u8 = 16;
const DEVICE: u8 = 19;
/// Of the structure of the doctor number 2.
const ELSEWHERE: u8 = 24;
const SIGNERS: [u8; 9] = [OLD_AUTHOR, RECORDER, DECIDER, BOTH, EMERGENCY, REVIEWER, DESK, IDENTITY, DEVICE];

pub fn make(into: &Path) {
    let mut log = Log { world: World::new(), batches: 0 };
    log.of_before();
    log.parties();
    log.raise(4);
    log.sweep();
    log.care();
    log.bases();
    log.decisions();
    log.wills();
    log.acts();
    log.erasing();
    log.after();
    log.claims();
    log.save(into);
}

pub struct Log {
    pub world: World,
    batches: u64,
}

impl Log {
    fn run(&mut self, batches: Vec<SealedBatch>) -> Vec<CommandOutcome> {
        self.world.apply(Command { batches, ..Command::default() })
    }

    /// A batch on a stream of its own, so that a refusal before it changes nothing of it.
    fn sealed(&mut self, party: u8, records: &[v1::Record]) -> SealedBatch {
        self.batches += 1;
        let label = format!("b{}", self.batches);
        self.world.sealed_as(party, (&label, 1), records)
    }

    fn each(&mut self, party: u8, records: &[v1::Record]) {
        let batches = records.iter().map(|record| self.sealed(party, std::slice::from_ref(record))).collect();
        self.run(batches);
    }

    /// Records one by one, each in a command of its own; where the last one stands, if it was taken.
    pub fn one(&mut self, party: u8, record: &v1::Record) -> Option<LeafIndex> {
        let batch = self.sealed(party, std::slice::from_ref(record));
        match self.run(vec![batch]).remove(0) {
            CommandOutcome::Done { first_index, .. } => Some(first_index),
            _ => None,
        }
    }

    pub fn act_by(&mut self, party: u8, the: &Act, signers: &[(u8, u64)]) {
        let origin = || Origin::new(ORIGIN).expect("an origin");
        let message = act_message(the, START_MS);
        let content = content_hash(&message);
        let sign = |(seed, expires_ms): &(u8, u64)| {
            let key = key(*seed);
            CosignMessage { key_id: key.key_id(), origin: origin(), expires_ms: *expires_ms, content }.sign(&key)
        };
        let mut signatures: Vec<_> = signers.iter().map(sign).collect();
        signatures.sort_by(|one, other| one.key_id.cmp(&other.key_id));
        let record = ParsedRecord::from_message(v1::Record { signatures, ..message }).expect("an act");
        self.in_clear(party, &record);
    }

    fn in_clear(&mut self, party: u8, record: &ParsedRecord) {
        let payload = [&[7; 16][..], record.bytes()].concat();
        let sealed = SealedRecord {
            kind: record.kind().code().into(),
            tag: record.entry_tag().to_vec().into(),
            record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
            payload: payload.into(),
            occurred_at_ms: record.occurred_at_ms(),
            facts: 0,
        };
        self.batches += 1;
        let label = format!("a{}", self.batches);
        self.run(vec![batch(party, &label, 1, vec![sealed])]);
    }

    pub fn act(&mut self, the: &Act) {
        self.act_by(1, the, &[]);
    }

    pub fn erase(&mut self, tag: [u8; 32], indices: &[LeafIndex]) {
        let erased = Act::Erased { indices: indices.to_vec(), ground: "ORDER 17".into() };
        let record = ParsedRecord::from_message(erasure_message(&erased, &tag, START_MS)).expect("an act");
        self.in_clear(1, &record);
    }

    pub fn pass(&mut self, ms: u64) {
        self.world.pass(ms);
    }

    fn raise(&mut self, feature_level: u32) {
        self.world.raise(feature_level);
    }

    pub fn commit(&mut self) {
        self.world.apply(Command { index_commit: true, ..Command::default() });
    }

    /// Records of the ledger itself, and an index commit.
    pub fn own(&mut self, number: u64) {
        let ledger_records = vec![consulted(number)];
        self.world.apply(Command { ledger_records, index_commit: true, ..Command::default() });
    }

    /// Asks each by itself; which decisions came of it.
    pub fn ask(&mut self, party: u8, requests: &[v1::DecisionRequest]) -> Vec<LeafIndex> {
        let mut made = Vec::new();
        for request in requests {
            let parsed = self.world.request(request.clone());
            let proof = |request: &sillage_rules::decide::ParsedRequest| {
                request.secret_tag().and_then(|_| pairing_of(request.tag()))
            };
            let sealed = self.world.seal_requests_by(party, &[parsed], proof);
            let outcomes = self.world.apply(Command { decisions: vec![sealed], ..Command::default() });
            if let CommandOutcome::Decided(decided) = &outcomes[0]
                && let Ok(decided) = &decided[0]
            {
                made.push(decided.decisions[0].index);
            }
        }
        made
    }

    /// Level 1 and 2: parties with the role author, names as they were written then, a decision.
    fn of_before(&mut self) {
        let spelled = v1::Actor { system: "URN:OID:1.2.250.1.71.4.2.1".into(), ..doctor(4, "physician") };
        self.one(OLD_AUTHOR, &permit(tag(1), "c1", &dr()));
        self.one(OLD_AUTHOR, &deposit(tag(1), spelled.clone(), &[report("old", &["PSY"])]));
        self.one(OLD_AUTHOR, &break_glass(Some(tag(1)), "bg0", dr(), START_MS + HOUR_MS));
        self.ask(OLD_AUTHOR, &[may_read(tag(1), dr(), &[item("old")]), may_read(tag(1), spelled, &[item("old")])]);
        self.raise(2);
        self.pass(1_000);
        self.one(OLD_AUTHOR, &access(Kind::ACCESS_READ, tag(1), dr(), &[item("old")], (v1::BasisKind::Consent, "c1")));
        self.commit();
        self.raise(3);
    }

    fn parties(&mut self) {
        let own = |number| Vouching {
            structures: vec![doctor(number, "").organisation],
            actor_systems: vec![RPPS.into(), "urn:sillage:app".into(), "urn:sillage:system".into()],
            issuers: vec!["pro-sante-connect".into()],
        };
        let (_, patients, _) = a_patient();
        let roles = [
            (RECORDER, Roles::RECORDER),
            (DECIDER, Roles::DECIDER),
            (BOTH, Roles::RECORDER | Roles::DECIDER),
            (EMERGENCY, Roles::EMERGENCY),
            (REVIEWER, Roles::REVIEWER),
            (DESK, Roles::CONSENT_DESK),
            (IDENTITY, Roles::IDENTITY),
            (17, Roles::TAG),
            (18, Roles::READER),
            (20, Roles::AUDITOR),
            (21, Roles::OPERATOR),
            (22, Roles::AUTHORITY),
            (23, Roles::AUTHORITY),
        ];
        for (seed, roles) in roles {
            let party = PartyRegistration { vouching: own(1), ..registration(seed, roles) };
            self.act(&Act::Registered(party));
        }
        let elsewhere = Roles::RECORDER | Roles::EMERGENCY | Roles::REVIEWER | Roles::CONSENT_DESK;
        let party = PartyRegistration { vouching: own(2), ..registration(ELSEWHERE, elsewhere) };
        self.act(&Act::Registered(party));
        let device = PartyRegistration { patient_tag: Some(patients), ..registration(DEVICE, Roles::PATIENT) };
        self.act(&Act::Registered(device));
        let two = two_tags(3);
        let device = PartyRegistration {
            patient_tag: Some(two.open),
            patient_secret_tag: Some(two.secret),
            ..registration(25, Roles::PATIENT | Roles::READER)
        };
        self.act(&Act::Registered(device));
        // Refused: the role author, a name twice, by who isn't an authority.
        self.act(&Act::Registered(registration(26, Roles::AUTHOR)));
        self.act(&Act::Registered(registration(RECORDER, Roles::READER)));
        self.act_by(RECORDER, &Act::Registered(registration(27, Roles::READER)), &[]);
        self.commit();
    }

    /// Every party with the kinds that it may sign, and some more, as its own doctor, another structure's, and the patient.
    fn sweep(&mut self) {
        let (_, own, _) = a_patient();
        let kinds: Vec<Kind> =
            Kind::ALL.iter().copied().filter(|kind| !kind.made_by_ledger() && !kind.is_act()).collect();
        for party in SIGNERS {
            let roles = self.world.reader().party(&author_id(party)).expect("readable").expect("there").roles;
            let may = |kind: &Kind| roles.may_sign(*kind) || roles.may_decide(*kind);
            let beside = [Kind::SPACE_CLOSED, Kind::BREAKGLASS_OPENED, Kind::IDENTITY_LINKED, Kind::LOG_CONSULTED];
            let tried: Vec<Kind> = kinds.iter().copied().filter(|kind| may(kind) || beside.contains(kind)).collect();
            let actors = [dr(), doctor(2, "physician"), patient()];
            for (at, actor) in (0_u8..).zip(&actors) {
                if party == OLD_AUTHOR && at == 1 {
                    continue;
                }
                let tag = if party == DEVICE { own } else { tag(10 + party * 3 + at) };
                self.pass(1_000);
                let now = self.world.now;
                let records: Vec<v1::Record> = tried.iter().map(|kind| any(*kind, tag, actor, now)).collect();
                self.each(party, &records);
            }
        }
        // The authority, for representations and what holds for all.
        let now = self.world.now;
        let law = [
            Kind::REPRESENTATION_REGISTERED,
            Kind::REPRESENTATION_ENDED,
            Kind::POLICY_PUBLISHED,
            Kind::MATRIX_PUBLISHED,
            Kind::CATALOGUE_PUBLISHED,
            Kind::SPACE_OPENED,
        ];
        let software = v1::Actor { system: "urn:sillage:system".into(), id: "court".into(), ..v1::Actor::default() };
        let records: Vec<v1::Record> = law.iter().map(|kind| any(*kind, tag(2), &software, now)).collect();
        self.each(1, &records);
        // What names the ledger itself, and other systems of its own.
        let consulted =
            v1::Record { details: r#"{"read":"trace"}"#.into(), ..any(Kind::LOG_CONSULTED, tag(2), &dr(), now) };
        let named = |system: &str| v1::Actor { system: system.into(), id: "9".into(), ..dr() };
        let mut records = vec![consulted];
        for system in
            ["urn:sillage:author", "urn:sillage:node", "urn:sillage:app", "urn:sillage:system", "urn:sillage:person"]
        {
            records.push(any(Kind::ACCESS_READ, tag(2), &named(system), now));
            records.push(any(Kind::SYSTEM_EVENT, tag(2), &named(system), now));
            records.push(any(Kind::LOG_CONSULTED, tag(2), &named(system), now));
        }
        let label = v1::Actor { label: "CNIL".into(), ..v1::Actor::default() };
        records.push(any(Kind::NOTIFICATION_READ, tag(2), &label, now));
        records.push(v1::Record { actor: None, ..any(Kind::SYSTEM_EVENT, tag(2), &dr(), now) });
        self.each(RECORDER, &records);
        self.each(OLD_AUTHOR, &records);
        self.own(1);
    }

    /// A care team, an attending doctor, and an emergency from its opening to its review.
    fn care(&mut self) {
        self.pass(60_000);
        let (now, open) = (self.world.now, two_tags(0).open);
        let colleague = doctor(3, "nurse");
        let nurse = v1::Actor { organisation: dr().organisation, ..colleague };
        self.one(RECORDER, &deposit(open, dr(), &[report("d1", &[]), report("d2", &["PSY"])]));
        self.one(ELSEWHERE, &deposit(open, doctor(2, "physician"), &[report("e1", &[])]));
        let until = |hours: u64| rfc3339(now + hours * HOUR_MS);
        let joined = |of: &v1::Actor, by: v1::Actor, hours| {
            let details = json!({"professional": name(of), "until": until(hours), "organisation": of.organisation});
            says(Kind::CARETEAM_JOINED, Some(open), by, &details)
        };
        self.one(DESK, &joined(&dr(), patient(), 48));
        self.one(DESK, &joined(&dr(), dr(), 48));
        self.one(DESK, &joined(&nurse, dr(), 1));
        self.one(OLD_AUTHOR, &joined(&doctor(2, "physician"), doctor(2, "physician"), 2));
        let attending = json!({"professional": name(&doctor(4, "physician"))});
        self.one(DESK, &says(Kind::ATTENDING_DECLARED, Some(open), patient(), &attending));
        self.one(DESK, &permit(open, "c1", &doctor(2, "physician")));
        self.one(DESK, &permit(open, "c2", &doctor(5, "physician")));
        self.one(DESK, &revoke(open, "c2"));
        self.one(DESK, &deny(open, "c3", "PSY"));
        let glass = |id: &str| break_glass(Some(open), id, dr(), now + HOUR_MS);
        self.one(EMERGENCY, &glass("bg1"));
        self.one(EMERGENCY, &glass("bg2"));
        self.one(EMERGENCY, &break_glass(None, "bgx", dr(), now + HOUR_MS));
        let mut continues = glass("bg3");
        let mut details: Value = serde_json::from_str(&continues.details).expect("JSON");
        details["continues"] = json!("bgx");
        continues.details = details.to_string();
        self.one(EMERGENCY, &continues);
        let about = |kind, id: &str, by: v1::Actor, more: &Value| {
            let mut details = json!({"breakglass": id});
            details.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
            says(kind, Some(open), by, &details)
        };
        self.one(EMERGENCY, &about(Kind::BREAKGLASS_JUSTIFIED, "bg1", dr(), &json!({"text": "coma"})));
        self.one(EMERGENCY, &about(Kind::BREAKGLASS_CLOSED, "bg1", dr(), &json!({})));
        for (party, verdict) in [(REVIEWER, "JUSTIFIED"), (ELSEWHERE, "NOT_JUSTIFIED")] {
            let by = doctor(if party == REVIEWER { 1 } else { 2 }, "dpo");
            self.one(party, &about(Kind::BREAKGLASS_REVIEWED, "bg1", by, &json!({"verdict": verdict})));
        }
        self.commit();
    }

    /// Accesses with every basis, right and wrong, early and late.
    fn bases(&mut self) {
        use v1::BasisKind::{self, Breakglass, CareTeam, Consent, Decision, Legal};
        let open = two_tags(0).open;
        for wait in [1_000, 2 * HOUR_MS, 3 * DAY_MS] {
            self.pass(wait);
            let now = self.world.now;
            let made = self.ask(DECIDER, &[may_read(open, dr(), &[item("d1"), item("e1")])]);
            let decided = made.first().map(LeafIndex::to_string).unwrap_or_default();
            let bases = [
                (Decision, &decided[..]),
                (Decision, "2"),
                (Breakglass, "bg1"),
                (Breakglass, "bg2"),
                (Breakglass, "nothing"),
                (CareTeam, ""),
                (CareTeam, "x"),
                (Consent, "c1"),
                (Consent, "c2"),
                (Consent, "unknown"),
                (Consent, ""),
                (BasisKind::Self_, ""),
                (Legal, "CSP L1111-18"),
            ];
            for kind in [Kind::ACCESS_READ, Kind::ACCESS_WRITE, Kind::MOVEMENT_THIRD_PARTY] {
                let mut records = Vec::new();
                for basis in bases {
                    let by = if basis.0 == BasisKind::Self_ { patient() } else { dr() };
                    let record = access(kind, open, by, &[item("d1")], basis);
                    records.push(v1::Record { occurred_at_ms: now, ..record });
                }
                records
                    .push(v1::Record { occurred_at_ms: START_MS, ..access(kind, open, dr(), &[item("d1")], bases[5]) });
                let deferred = Some(v1::Deferred { reason: "outage".into() });
                records.push(v1::Record { deferred, ..records[5].clone() });
                self.each(RECORDER, &records);
            }
            let by_other = access(Kind::ACCESS_READ, open, doctor(2, "physician"), &[item("d1")], (CareTeam, ""));
            self.each(ELSEWHERE, &[v1::Record { occurred_at_ms: now, ..by_other }]);
            self.each(OLD_AUTHOR, &[access(Kind::ACCESS_READ, open, doctor(9, "x"), &[item("d1")], (CareTeam, ""))]);
        }
        self.own(2);
    }

    fn decisions(&mut self) {
        let two = two_tags(0);
        let (open, nurse) = (two.open, doctor(3, "nurse"));
        let auth = |issuer: &str| {
            let (issuer, method, eidas_level) = (issuer.to_owned(), "card".into(), "substantial".to_owned());
            Some(v1::Authentication { issuer, method, eidas_level })
        };
        let read = |by: v1::Actor| may_read(open, by, &[item("d1"), report("d2", &["PSY"]), item("e1"), item("none")]);
        let both = |by: v1::Actor| v1::DecisionRequest { secret_tag: two.secret.to_vec(), ..read(by) };
        let by_login = |by: v1::Actor, issuer| v1::DecisionRequest { auth: auth(issuer), ..both(by) };
        let parent = v1::Actor { system: "urn:sillage:person".into(), id: "p1".into(), ..v1::Actor::default() };
        let requests = [
            read(dr()),
            both(dr()),
            both(nurse),
            both(doctor(2, "physician")),
            both(patient()),
            by_login(patient(), "pro-sante-connect"),
            by_login(patient(), "another"),
            by_login(parent, "pro-sante-connect"),
            v1::DecisionRequest { purpose: "BTG".into(), ..both(dr()) },
            v1::DecisionRequest { action: "update".into(), ..both(dr()) },
            v1::DecisionRequest { action: "write".into(), ..both(dr()) },
            v1::DecisionRequest { action: "delete".into(), ..by_login(patient(), "pro-sante-connect") },
            v1::DecisionRequest { purpose: "HRESCH".into(), ..both(dr()) },
            v1::DecisionRequest {
                actor: Some(v1::Actor { system: "urn:sillage:app".into(), id: "app@1".into(), ..dr() }),
                ..both(dr())
            },
        ];
        for party in [DECIDER, OLD_AUTHOR] {
            self.ask(party, &requests);
        }
        for party in [RECORDER, BOTH, DESK, 99] {
            if party != 99 {
                self.ask(party, &requests[..3]);
            }
        }
        // The same nonce again.
        let asked = self.world.request(both(dr()));
        for _ in 0..2 {
            let sealed = self.world.seal_requests_by(DECIDER, std::slice::from_ref(&asked), |request| {
                request.secret_tag().and_then(|_| pairing_of(request.tag()))
            });
            self.world.apply(Command { decisions: vec![sealed], ..Command::default() });
        }
        // A minor keeps something apart.
        let set = v1::Record {
            items: vec![item("d1")],
            ..says(Kind::MINOR_SECRECY_SET, Some(two.secret), patient(), &Value::Null)
        };
        self.one(DESK, &set);
        self.one(RECORDER, &deposit(two.secret, dr(), &[report("s1", &[])]));
        self.ask(DECIDER, &requests);
        self.ask(DECIDER, &[v1::DecisionRequest { items: vec![item("s1")], ..both(doctor(2, "physician")) }]);
    }

    fn wills(&mut self) {
        let (_, open, _) = a_patient();
        let issued = |change: fn(&mut Issuer)| {
            let mut issued = issuer().published();
            change(&mut issued);
            Act::IssuerPublished(Box::new(issued))
        };
        self.pass(1_000);
        let now = self.world.now;
        let at = |record: v1::Record, ms: u64| v1::Record { occurred_at_ms: now + ms, ..record };
        let closed = |ms| at(says(Kind::SPACE_CLOSED, Some(open), patient(), &Value::Null), ms);
        let opened = |ms| at(says(Kind::SPACE_OPENED, Some(open), patient(), &Value::Null), ms);
        // Without an issuer, on the service's word.
        self.one(DESK, &closed(1));
        self.one(DESK, &proven(opened(2), now));
        self.one(DESK, &opened(3));
        self.act(&issued(|_| ()));
        self.act(&issued(|issuer| issuer.session_s = 60));
        for party in [DESK, OLD_AUTHOR] {
            let ms = u64::from(party) * 10;
            self.one(party, &closed(ms));
            self.one(party, &proven(closed(ms + 1), now));
            self.one(party, &proven(closed(ms + 1), now));
            self.one(party, &proven(opened(ms + 2), now - HOUR_MS));
            let mut stolen = proven(opened(ms + 3), now);
            stolen.occurred_at_ms += 1;
            self.one(party, &stolen);
            self.one(party, &proven(opened(ms + 4), now));
        }
        self.one(DEVICE, &at(permit(open, "mine", &dr()), 500));
        self.one(DEVICE, &at(permit(tag(1), "others", &dr()), 501));
        let collected = json!({"collector": name(&dr()), "capacity": "physician", "method": "paper",
            "evidence_sha256": "01".repeat(32)});
        for (id, effect) in [("p1", "deny"), ("p2", "permit")] {
            let details = json!({"id": id, "effect": effect, "grantee": {"professional": name(&dr())}, "actions": ["read"],
                "collected": collected});
            self.one(
                DESK,
                &v1::Record { auth: None, ..at(says(Kind::CONSENT_DIRECTIVE, Some(open), patient(), &details), 600) },
            );
        }
        let contest = at(says(Kind::CONTEST_OPENED, Some(open), patient(), &json!({})), 700);
        self.one(DESK, &contest);
        self.one(DESK, &proven(contest, now));
        self.ask(DECIDER, &[may_read(open, dr(), &[item("d1")]), may_read(open, patient(), &[item("d1")])]);
        self.act(&issued(|issuer| issuer.keys.clear()));
        self.one(DESK, &proven(closed(800), now));
        self.commit();
    }

    fn acts(&mut self) {
        self.pass(1_000);
        let good = self.world.now + HOUR_MS;
        let party = |seed: u8| author_id(seed);
        let added = |structure: &str| Vouching { structures: vec![structure.into()], ..Vouching::default() };
        self.act(&Act::VouchingChanged {
            author_id: party(RECORDER),
            added: added("750009999"),
            removed: Vouching::default(),
        });
        self.act(&Act::VouchingChanged {
            author_id: party(RECORDER),
            added: Vouching::default(),
            removed: added("nothing"),
        });
        self.act(&Act::RolesChanged { author_id: party(BOTH), roles: Roles::RECORDER, quota_events_per_s: 5 });
        self.act(&Act::Rotated { author_id: party(20), key: key(120).public_key(), tls_spki_sha256: vec![] });
        self.act(&Act::NodeKeyRotated { node_id: 3, key: key(113).public_key() });
        self.act(&Act::LogKeyRotated { key: key(199).public_key() });
        self.commit();
        self.commit();
        self.act(&Act::ActorRevoked {
            actor_hash: sillage_rules::consent::Actor::from_record(&doctor(5, "x")).expect("one").name.hash(),
            reason: "left".into(),
        });
        self.ask(DECIDER, &[may_read(two_tags(0).open, doctor(5, "physician"), &[item("d1")])]);
        let node = SetNode {
            id: 4,
            name: "node-4".into(),
            key: key(104).public_key(),
            tls_spki_sha256: [104; 32],
            client_address: "node-4.example:7400".into(),
            peer_address: "node-4.example:7500".into(),
        };
        let change = self.world.reader().node_set().expect("readable").adding(node).expect("fits");
        self.act(&Act::NodeSetChanged(change.clone()));
        self.act(&Act::NodeSetChanged(change));
        self.commit();
        self.commit();
        // A stolen key, a limit, and what is voided.
        let from = self.world.reader().tree_size().get();
        self.act(&Act::AuthorityRule(RuleChange::Limit { author_id: party(STOLEN), records: 3 }));
        let masked = |of: u8| {
            let record = says(Kind::ITEM_MASKED, Some(tag(of)), patient(), &Value::Null);
            v1::Record { items: vec![item("i1")], ..record }
        };
        let collected = json!({"collector": name(&dr()), "capacity": "physician", "method": "paper",
            "evidence_sha256": "01".repeat(32)});
        let taken: Vec<v1::Record> = (1..=5_u8)
            .map(|n| {
                let details =
                    json!({"id": format!("s{n}"), "effect": "deny", "grantee": "anyone", "collected": collected});
                v1::Record { auth: None, ..says(Kind::CONSENT_DIRECTIVE, Some(tag(n)), patient(), &details) }
            })
            .collect();
        self.each(STOLEN, &[masked(1)]);
        self.each(STOLEN, &taken);
        self.each(STOLEN, &[deposit(tag(1), doctor(7, "nurse"), &[report("i1", &[])])]);
        let glass = break_glass(Some(tag(1)), "stolen", doctor(7, "emergency-physician"), self.world.now + HOUR_MS);
        self.each(STOLEN, &[glass]);
        let review = |id: &str| {
            let details = json!({"breakglass": id, "verdict": "NOT_JUSTIFIED"});
            says(Kind::BREAKGLASS_REVIEWED, Some(two_tags(0).open), doctor(7, "dpo"), &details)
        };
        self.each(STOLEN, &[review("bg1"), review("bg2")]);
        let whose = Whose::Key(key(STOLEN).key_id());
        let void =
            Act::RecordsVoided(Voiding::Void { whose, from: LeafIndex(from), until: None, reason: "stolen".into() });
        let by = LeafIndex(self.world.reader().tree_size().get() + 1);
        self.act(&void);
        for _ in 0..3 {
            self.world.apply(Command::default());
        }
        self.ask(OLD_AUTHOR, &[may_read(tag(1), dr(), &[item("old"), item("i1")])]);
        self.act(&Act::RecordsVoided(Voiding::Reinstate { act: by, reason: "the right one".into() }));
        self.act(&void);
        self.act(&Act::Revoked { key_id: key(STOLEN).key_id(), reason: "stolen".into() });
        self.each(STOLEN, &[masked(6)]);
        // Two of three authorities.
        let authorities: BTreeSet<_> = [1, 22, 23].into_iter().map(author_id).collect();
        let acts = GuardedActs::from_bits(15).expect("all");
        let rule = Act::AuthorityRule(RuleChange::Rule(Rule { needed: 2, authorities, acts }));
        self.act(&rule);
        let more = Act::Registered(registration(30, Roles::AUTHORITY));
        self.act(&more);
        self.act_by(1, &more, &[(22, good)]);
        self.act_by(1, &Act::Registered(registration(31, Roles::IDENTITY)), &[(1, good)]);
        self.act_by(1, &Act::Registered(registration(31, Roles::IDENTITY)), &[(RECORDER, good)]);
        self.act_by(1, &Act::Registered(registration(31, Roles::IDENTITY)), &[(23, START_MS)]);
        self.act_by(22, &Act::Registered(registration(31, Roles::IDENTITY)), &[(23, good)]);
        self.act(&Act::Registered(registration(32, Roles::CONSENT_DESK)));
        self.act(&Act::VouchingChanged { author_id: party(32), added: added("1"), removed: Vouching::default() });
        self.act(&Act::Revoked { key_id: key(32).key_id(), reason: "ended".into() });
        self.commit();
    }

    fn erasing(&mut self) {
        let deposited =
            self.one(RECORDER, &access(Kind::ACCESS_READ, tag(3), dr(), &[item("x")], (v1::BasisKind::CareTeam, "")));
        let consent = self.one(OLD_AUTHOR, &permit(tag(3), "c1", &dr()));
        self.erase(tag(3), &deposited.into_iter().collect::<Vec<_>>());
        self.erase(tag(3), &consent.into_iter().collect::<Vec<_>>());
        self.erase(tag(4), &[]);
        // One authority alone doesn't: the rule says so.
        let erased = Act::Erased { indices: Vec::new(), ground: "ORDER 18".into() };
        let message = erasure_message(&erased, &tag(5), START_MS);
        let content = content_hash(&message);
        let origin = Origin::new(ORIGIN).expect("an origin");
        let expires_ms = self.world.now + HOUR_MS;
        let signed = CosignMessage { key_id: key(23).key_id(), origin, expires_ms, content }.sign(&key(23));
        let record = ParsedRecord::from_message(v1::Record { signatures: vec![signed], ..message }).expect("an act");
        self.in_clear(1, &record);
        self.run(vec![batch(RECORDER, "gone", 1, vec![record_of(tag(5))])]);
        self.ask(OLD_AUTHOR, &[may_read(tag(3), dr(), &[item("x")])]);
        self.commit();
    }

    fn after(&mut self) {
        self.pass(2 * DAY_MS);
        let now = self.world.now;
        let (_, own, _) = a_patient();
        for kind in [Kind::IDENTITY_LINKED, Kind::IDENTITY_CORRECTED] {
            let details = json!({"from": "1", "to": "2"});
            self.one(IDENTITY, &v1::Record { details: details.to_string(), ..any(kind, own, &dr(), now) });
        }
        self.each(RECORDER, &[any(Kind::ACCESS_READ, tag(1), &dr(), now), any(Kind::SYSTEM_EVENT, tag(1), &dr(), now)]);
        // A batch that is refused as a whole, and one twice.
        let records = [any(Kind::ACCESS_READ, tag(1), &dr(), now), any(Kind::SPACE_CLOSED, tag(1), &dr(), now)];
        let whole = self.sealed(RECORDER, &records);
        let twice = self.sealed(RECORDER, &[any(Kind::ACCESS_PRINT, tag(1), &dr(), now)]);
        self.run(vec![whole, twice.clone(), twice]);
        let ahead = v1::Record { occurred_at_ms: now + 2 * DAY_MS, ..new_message(Kind::SYSTEM_EVENT, None, now) };
        self.one(RECORDER, &ahead);
        self.own(3);
        self.commit();
    }

    /// Writes the log, and the keys that it needs.
    fn save(&self, into: &Path) {
        std::fs::create_dir_all(into).expect("writable");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut out = hex(&genesis());
        let mut tags = BTreeSet::from([[0; 32]]);
        for (stamp, data, outcomes, root) in &self.world.tape {
            out.push_str(&format!("\n{stamp} {root} {} {}", super::told(outcomes), hex(data)));
            let command = Command::decode(&data[..]).expect("a command");
            let records = command.batches.iter().flat_map(|batch| &batch.records);
            let seeds = command.decisions.iter().flat_map(|decision| &decision.requests);
            tags.extend(records.filter_map(|record| <[u8; 32]>::try_from(&record.tag[..]).ok()));
            tags.extend(seeds.filter_map(|sealed| <[u8; 32]>::try_from(&sealed.tag[..]).ok()));
            // Of the secret tags too.
            let keys = command.decisions.iter().flat_map(|decision| &decision.new_keys);
            tags.extend(keys.filter_map(|key| <[u8; 32]>::try_from(&key.tag[..]).ok()));
        }
        std::fs::write(into.join("log.txt"), out).expect("writable");
        let kept = into.join("keyring");
        let _ = std::fs::remove_file(&kept);
        keyring().save(&kept).expect("writable");
        let needed: BTreeSet<u16> = tags.iter().map(|tag| TagPrefix::of(tag).get()).collect();
        let all = (0..TagPrefix::COUNT).filter_map(TagPrefix::new);
        let unused: Vec<_> = all.filter(|prefix| !needed.contains(&prefix.get())).map(|prefix| (prefix, 1)).collect();
        KekFile::open(&kept).expect("a keyring").destroy(&unused).expect("writable");
    }
}

fn record_of(tag: [u8; 32]) -> SealedRecord {
    record(1, tag, 9)
}
