//! The further content of the log of level 4: claims that are proven or not, patients' devices behind a commitment, and what one authority
//! or two sign under a narrow rule and a wide one.

use std::collections::BTreeSet;

use serde_json::json;
use sillage_proof::batch::Origin;
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::{CosignMessage, GuardedActs, Rule, RuleChange, content_hash};
use sillage_rules::device::{DeviceRegistered, commitment, half};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject};

use crate::common::world::*;
use crate::common::*;
use crate::make::{BOTH, DECIDER, DESK, IDENTITY, Log, RECORDER};
use crate::said::{any, dr, issuer};

/// A device of patient 1, an identity service, and what is registered by one authority alone.
const PHONE: u8 = 40;
const SECOND_IDENTITY: u8 = 41;
const MONITORING: u8 = 42;
const SMALL: u8 = 43;
const SALTS: [[u8; 16]; 2] = [[3; 16], [4; 16]];

/// How patient `number` logs in, or this person.
fn subject(number: u8, actor: &v1::Actor) -> (Subject, Vec<u8>) {
    let message = two_tags(number).message.clone();
    let patients = message.patient.expect("named");
    match actor.system == patient().system {
        true => (Subject::Patient { ins: patients.ins, oid: patients.oid }, message.proof),
        false => (Subject::Person(name(actor)), Vec::new()),
    }
}

fn means(level: Level) -> Means {
    Means { idp: "pro-sante-connect".into(), method: "card".into(), level }
}

/// A record with the login of its actor.
fn decided(record: v1::Record, number: u8, at_ms: u64) -> v1::Record {
    let (subject, proof) = subject(number, record.actor.as_ref().expect("an actor"));
    let session = SigningKey::from_seed(&[79; 32]);
    let will = issuer().decide(&record, &session, (&subject, &means(Level::Substantial)), proof, at_ms);
    v1::Record { will: Some(will), ..record }
}

/// A record with the further signatures of these parties.
fn signed(record: v1::Record, by: &[u8], expires_ms: u64) -> v1::Record {
    let content = content_hash(&record);
    let sign = |seed: &u8| {
        let origin = Origin::new(ORIGIN).expect("an origin");
        CosignMessage { key_id: key(*seed).key_id(), origin, expires_ms, content }.sign(&key(*seed))
    };
    let mut signatures: Vec<_> = by.iter().map(sign).collect();
    signatures.sort_by(|one, other| one.key_id.cmp(&other.key_id));
    v1::Record { signatures, ..record }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rule(acts: u32) -> Act {
    let authorities: BTreeSet<_> = [1, 22, 23].into_iter().map(author_id).collect();
    let acts = GuardedActs::from_bits(acts).expect("known bits");
    Act::AuthorityRule(RuleChange::Rule(Rule { needed: 2, authorities, acts }))
}

impl Log {
    pub fn claims(&mut self) {
        self.pass(1_000);
        let good = self.world.now + HOUR_MS;
        // By a rule of before that guards little: what one authority does alone.
        self.alone(50);
        self.act_by(1, &rule(127), &[(22, good)]);
        self.alone(60);
        self.act_by(1, &Act::IssuerPublished(Box::new(issuer().published())), &[]);
        self.act_by(1, &Act::IssuerPublished(Box::new(issuer().published())), &[(22, good)]);
        self.commit();
        self.devices();
        self.askers();
        self.confirmed(good);
        self.nodes(good);
        // Narrow again, which two sign; a quota, with one signature and with two.
        self.act_by(1, &rule(15), &[(23, good)]);
        self.alone(70);
        self.act_by(1, &rule(3), &[(23, good)]);
        self.alone(80);
        self.act_by(1, &rule(127), &[(23, good - 1)]);
        self.commit();
    }

    /// Acts that one authority signs, of parties from `first` on.
    fn alone(&mut self, first: u8) {
        let quota = |roles: Roles, quota_events_per_s| Act::RolesChanged {
            author_id: author_id(RECORDER),
            roles,
            quota_events_per_s,
        };
        let party = |at: u8, roles: Roles| registration(first + at, roles);
        let wide = Vouching { structures: vec!["750000001".into()], ..Vouching::default() };
        let acts = [
            Act::Registered(party(0, Roles::OPERATOR)),
            Act::Registered(PartyRegistration { quota_events_per_s: 100_000, ..party(1, Roles::OPERATOR) }),
            Act::Registered(PartyRegistration { quota_events_per_s: 7, ..party(2, Roles::RECORDER) }),
            Act::Registered(PartyRegistration { vouching: wide.clone(), ..party(3, Roles::OPERATOR) }),
            quota(Roles::RECORDER, 3),
            quota(Roles::RECORDER, 100_000),
            quota(Roles::RECORDER, 0),
            quota(Roles::RECORDER | Roles::DECIDER, 0),
            Act::RolesChanged { author_id: author_id(first), roles: Roles::OPERATOR, quota_events_per_s: 100_000 },
            Act::VouchingChanged { author_id: author_id(BOTH), added: wide.clone(), removed: Vouching::default() },
            Act::VouchingChanged { author_id: author_id(BOTH), added: Vouching::default(), removed: wide },
            Act::Rotated { author_id: author_id(first), key: key(first + 5).public_key(), tls_spki_sha256: vec![] },
            Act::Revoked { key_id: key(first + 5).key_id(), reason: "ended".into() },
            Act::ActorRevoked { actor_hash: Hash::from_bytes([first; 32]), reason: "left".into() },
            Act::AuthorityRule(RuleChange::Limit { author_id: author_id(DESK), records: 2_000 }),
        ];
        for act in &acts {
            self.act(act);
        }
        let by_itself = Act::Rotated {
            author_id: author_id(first + 1),
            key: key(first + 6).public_key(),
            tls_spki_sha256: vec![[first + 6; 32]],
        };
        self.act_by(first + 1, &by_itself, &[]);
        let tag = tag(first);
        let read = access(Kind::ACCESS_READ, tag, dr(), &[item("x")], (v1::BasisKind::CareTeam, ""));
        let index = self.one(RECORDER, &read);
        self.erase(tag, &index.into_iter().collect::<Vec<_>>());
        self.erase(tag, &[]);
        let now = self.world.now;
        let software = v1::Actor { system: "urn:sillage:system".into(), id: "court".into(), ..v1::Actor::default() };
        for kind in [Kind::POLICY_PUBLISHED, Kind::REPRESENTATION_REGISTERED, Kind::REPRESENTATION_ENDED] {
            self.one(1, &any(kind, two_tags(2).open, &software, now));
        }
        self.pass(1_000);
    }

    /// A device of patient 1, told of under one tag and then under the other.
    fn devices(&mut self) {
        let now = self.world.now;
        let tags = [two_tags(1).open, two_tags(1).secret];
        let halves = [half(&SALTS[0], &tags[0]), half(&SALTS[1], &tags[1])];
        let commits = Some(commitment(&halves[0], &halves[1]));
        let device = PartyRegistration { patient_commitment: commits, ..registration(PHONE, Roles::PATIENT) };
        let named = PartyRegistration { patient_tag: Some(tags[0]), patient_commitment: None, ..device.clone() };
        self.act(&Act::Registered(named));
        self.act(&Act::Registered(device.clone()));
        let mask = |which: usize, ms: u64| v1::Record {
            items: vec![item("d1")],
            auth: None,
            occurred_at_ms: now + ms,
            ..says(Kind::ITEM_MASKED, Some(tags[which]), patient(), &json!(null))
        };
        self.one(PHONE, &mask(0, 1));
        for which in [0, 1] {
            let line = DeviceRegistered {
                party: device.author_id(),
                name: device.name.clone(),
                authority: "service 1".to_owned(),
                salt: hex(&SALTS[which]),
                other: halves[1 - which],
            };
            let details = serde_json::to_value(&line).expect("texts alone");
            let told = says(Kind::DEVICE_REGISTERED, Some(tags[which]), patient(), &details);
            let told = v1::Record { occurred_at_ms: now, ..told };
            self.one(1, &told);
            self.one(1, &decided(told.clone(), 2, now));
            self.one(1, &decided(told.clone(), 1, now));
            self.one(RECORDER, &decided(told, 1, now));
            self.one(PHONE, &mask(which, 2));
        }
        let other =
            Act::Rotated { author_id: device.author_id(), key: key(PHONE + 100).public_key(), tls_spki_sha256: vec![] };
        self.act(&other);
        self.own(4);
        self.commit();
    }

    /// Requests with a login, on a party's word, and with a login for something else.
    fn askers(&mut self) {
        let (open, now) = (two_tags(1).open, self.world.now);
        self.one(RECORDER, &deposit(open, dr(), &[report("p1", &[]), report("p2", &["PSY"])]));
        self.one(BOTH, &deposit(open, doctor(2, "physician"), &[report("p3", &[])]));
        let permitted = says(
            Kind::CONSENT_DIRECTIVE,
            Some(open),
            patient(),
            &json!({"id": "c9", "effect": "permit", "grantee": {"professional": name(&dr())}, "actions": ["read"]}),
        );
        let permitted = v1::Record { occurred_at_ms: now + 3, ..permitted };
        self.one(DESK, &decided(permitted.clone(), 2, now));
        self.one(DESK, &decided(permitted, 1, now));
        let auth = v1::Authentication {
            issuer: "pro-sante-connect".into(),
            method: "card".into(),
            eidas_level: "substantial".into(),
        };
        let asks = |actor: &v1::Actor| {
            let items = [item("p1"), report("p2", &["PSY"]), item("p3"), item("none")];
            v1::DecisionRequest { auth: Some(auth.clone()), ..may_read(open, actor.clone(), &items) }
        };
        let actors = [patient(), dr(), doctor(2, "physician"), doctor(3, "nurse"), person("mum")];
        for party in [DECIDER, BOTH] {
            for actor in &actors {
                self.ask(party, &[asks(actor)]);
                for (number, asker, level, at_ms) in [
                    (1, party, Level::Substantial, now),
                    (2, party, Level::Substantial, now),
                    (1, RECORDER, Level::Substantial, now),
                    (1, party, Level::Low, now),
                    (1, party, Level::Substantial, now - 2 * HOUR_MS),
                ] {
                    let request = self.world.request(asks(actor)).message().clone();
                    let (subject, proof) = subject(number, actor);
                    let session = SigningKey::from_seed(&[78; 32]);
                    let means = means(level);
                    let key_id = key(asker).key_id();
                    let will = issuer().ask((&request, &key_id), &session, (&subject, &means), proof, at_ms);
                    self.ask(party, &[v1::DecisionRequest { will: Some(will), ..request }]);
                }
            }
        }
        self.ask(PHONE, &[asks(&patient())]);
        self.commit();
    }

    /// Records that a second party confirms, and records of authorities that are no acts.
    fn confirmed(&mut self, good: u64) {
        let now = self.world.now;
        self.act_by(1, &Act::Registered(registration(SECOND_IDENTITY, Roles::IDENTITY)), &[]);
        let vouching = Vouching {
            structures: vec![dr().organisation],
            actor_systems: vec![RPPS.into()],
            issuers: vec!["pro-sante-connect".into()],
        };
        let second = PartyRegistration { vouching, ..registration(SECOND_IDENTITY, Roles::IDENTITY) };
        self.act_by(1, &Act::Registered(second), &[(23, good)]);
        self.act_by(1, &Act::Registered(registration(MONITORING, Roles::OPERATOR)), &[(23, good)]);
        self.act_by(1, &Act::Registered(registration(SMALL, Roles::RECORDER)), &[(SECOND_IDENTITY, good)]);
        for kind in [Kind::IDENTITY_LINKED, Kind::IDENTITY_CORRECTED] {
            let details = json!({"from": "1", "to": "2"}).to_string();
            let said = v1::Record { details, ..any(kind, two_tags(2).open, &dr(), now) };
            self.one(IDENTITY, &said);
            self.one(IDENTITY, &signed(said.clone(), &[IDENTITY], good));
            self.one(IDENTITY, &signed(said.clone(), &[SECOND_IDENTITY], good));
            self.one(IDENTITY, &signed(said.clone(), &[SECOND_IDENTITY], good));
            self.one(SECOND_IDENTITY, &signed(v1::Record { occurred_at_ms: now + 1, ..said }, &[1], good));
        }
        let software = v1::Actor { system: "urn:sillage:system".into(), id: "court".into(), ..v1::Actor::default() };
        let law = [
            Kind::REPRESENTATION_REGISTERED,
            Kind::REPRESENTATION_ENDED,
            Kind::POLICY_PUBLISHED,
            Kind::MATRIX_PUBLISHED,
            Kind::CATALOGUE_PUBLISHED,
        ];
        for kind in law {
            let record = any(kind, two_tags(2).open, &software, now);
            self.one(1, &signed(record.clone(), &[22], good));
            self.one(1, &signed(record.clone(), &[22], good));
            self.one(1, &signed(record, &[RECORDER], good));
        }
        self.commit();
    }

    /// A node goes, with one signature and with two; so does an authority's key.
    fn nodes(&mut self, good: u64) {
        let set = self.world.reader().node_set().expect("readable");
        let gone = set.learners.first().copied().unwrap_or(4);
        if let Ok(change) = set.with_voters(&set.voters, &[gone]) {
            let change = Act::NodeSetChanged(change);
            self.act_by(1, &change, &[]);
            self.act_by(1, &change, &[(22, good)]);
            self.act_by(1, &Act::LogKeyRotated { key: key(198).public_key() }, &[(22, good)]);
        }
        self.commit();
        self.commit();
        let revoked = Act::Revoked { key_id: key(23).key_id(), reason: "lost".into() };
        self.act_by(1, &revoked, &[]);
        self.act_by(
            22,
            &Act::Rotated { author_id: author_id(22), key: key(122).public_key(), tls_spki_sha256: vec![] },
            &[],
        );
        self.act_by(
            1,
            &Act::Rotated { author_id: author_id(23), key: key(123).public_key(), tls_spki_sha256: vec![] },
            &[],
        );
        self.commit();
    }
}
