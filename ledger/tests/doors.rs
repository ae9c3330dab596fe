//! The two doors: sources that are heard or silent, sessions of patients, and contests (`docs/formats-doors.md`).

mod common;

use common::world::*;
use common::*;
use serde_json::{Value, json};
use sillage_ledger::{CLAIMS, CommandOutcome, DOORS, ROLES};
use sillage_proof::LeafIndex;
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::doors::contest::{ANSWERS_MAX, DUE_MS, OPEN_MAX};
use sillage_rules::doors::heartbeat::SOURCES_OF_PARTY_MAX;
use sillage_rules::doors::sources::{ListedSource, SourcesChange};
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;
use sillage_rules::roles::Roles;
use sillage_rules::time::{ParisDay, TimeMs};
use sillage_rules::voiding::{Voiding, Whose};
use sillage_rules::vouching::Vouching;
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};

/// Parties: a recorder, another one, a login service, a portal, another portal, a consent desk.
const RECORDER: u8 = 40;
const OTHER: u8 = 41;
const LOGIN: u8 = 42;
const PORTAL: u8 = 43;
const PORTAL_2: u8 = 44;
const DESK: u8 = 45;
const STRUCTURE: &str = "750000001";
const ISSUER: &str = "pro-sante-connect";

fn at(level: u32) -> World {
    let mut world = World::new();
    (ROLES..=level).for_each(|level| world.raise(level));
    world
}

fn party(seed: u8, roles: Roles, structures: &[&str]) -> PartyRegistration {
    let structures = structures.iter().map(|name| (*name).to_owned()).collect();
    let actor_systems = vec![RPPS.to_owned(), "urn:sillage:system".to_owned()];
    let vouching = Vouching { structures, actor_systems, issuers: vec![ISSUER.to_owned()] };
    PartyRegistration { vouching: vouching.sorted(), ..registration(seed, roles) }
}

fn done(world: &mut World, act: &Act) {
    let outcome = world.act(act);
    assert!(matches!(outcome, CommandOutcome::Done { .. }), "{outcome:?}");
}

/// A log of level 5 with its parties and an issuer of logins.
fn founded() -> World {
    let mut world = at(DOORS);
    for registration in [
        party(RECORDER, Roles::RECORDER, &[STRUCTURE]),
        party(OTHER, Roles::RECORDER | Roles::CONSENT_DESK, &["750000002"]),
        party(LOGIN, Roles::LOGIN, &[]),
        party(PORTAL, Roles::PORTAL, &[]),
        party(PORTAL_2, Roles::PORTAL, &[]),
        party(DESK, Roles::CONSENT_DESK, &[]),
    ] {
        done(&mut world, &Act::Registered(registration));
    }
    done(&mut world, &Act::IssuerPublished(Box::new(issuer().published())));
    world
}

fn issuer() -> TestIssuer {
    TestIssuer::new(SigningKey::from_seed(&[77; 32]), Origin::new(ORIGIN).expect("a name"))
}

fn refused(world: &mut World, author: u8, record: v1::Record) -> Code {
    world.try_record_by(author, &[record]).expect_err("refused").code
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn today(world: &World) -> ParisDay {
    ParisDay::of(TimeMs(world.now))
}

mod sources {
    use super::*;

    fn source(id: &str) -> ListedSource {
        ListedSource {
            id: id.to_owned(),
            name_fr: format!("Source {id}"),
            name_en: String::new(),
            structure: STRUCTURE.to_owned(),
            author_id: Some(author_id(RECORDER)),
            answers: None,
            since_ms: START_MS,
            silent_after_s: 7_200,
        }
    }

    fn listed(sources: &[ListedSource]) -> Act {
        Act::SourcesListed(SourcesChange { listed: sources.to_vec(), removed: Vec::new() })
    }

    fn heartbeat(world: &World, source: &str, structure: &str) -> v1::Record {
        let mut record = new_message(Kind::SOURCE_HEARTBEAT, None, world.now);
        record.automated = Some(v1::Automated { software: "connector".to_owned(), version: String::new() });
        record.details = json!({"source": source, "structure": structure, "day": today(world), "received": 3,
            "recorded": 2, "waiting": 1, "refused": 0, "streams": [{"stream": "s", "seq": 9}]})
        .to_string();
        record
    }

    fn read(world: &World) -> Vec<sillage_ledger::SourceStatus> {
        world.reader().sources(world.now).expect("the sources")
    }

    #[test]
    fn a_listed_source_is_heard_and_then_silent() {
        let mut world = founded();
        done(&mut world, &listed(&[source("pacs")]));
        assert!(!read(&world)[0].is_silent, "it has begun just now");
        world.pass(7_200_001);
        assert!(read(&world)[0].is_silent);
        let beat = heartbeat(&world, "pacs", STRUCTURE);
        world.try_record_by(RECORDER, &[beat]).expect("a heartbeat");
        let found = read(&world);
        assert!(!found[0].is_silent);
        assert_eq!((found.len(), found[0].heartbeat, found[0].recorded), (1, Some(today(&world)), None));
        assert_eq!(found[0].missing, 8, "signed, as it says, and not on record; this one is");
        assert_eq!(found[0].party.as_ref().map(|(_, name)| name.as_str()), Some("service 40"));
        world.pass(7_200_001);
        assert!(read(&world)[0].is_silent);
        world.reopen();
        assert!(read(&world)[0].is_silent);
    }

    #[test]
    fn a_day_is_shown_once_it_is_over_and_a_party_that_is_not_listed_is_shown_too() {
        let mut world = founded();
        let actor = v1::Actor { organisation: STRUCTURE.to_owned(), ..doctor(1, "physician") };
        let access = says(Kind::ACCESS_READ, Some(tag(1)), actor, &Value::Null);
        let day = today(&world);
        world.try_record_by(RECORDER, &[access]).expect("recorded");
        assert!(read(&world).is_empty(), "not today");
        world.pass(DAY_MS);
        let found = read(&world);
        assert_eq!((found.len(), found[0].recorded, found[0].listed.is_some()), (1, Some(day), false));
        assert!(found[0].key().starts_with(':') && !found[0].is_silent);
    }

    #[test]
    fn the_list_changes_entry_by_entry_and_names_parties_that_are_there() {
        let mut world = founded();
        done(&mut world, &listed(&[source("a"), source("b")]));
        let removed = Act::SourcesListed(SourcesChange { listed: Vec::new(), removed: vec!["a".to_owned()] });
        done(&mut world, &removed);
        let keys: Vec<String> = read(&world).iter().map(sillage_ledger::SourceStatus::key).collect();
        assert_eq!(keys, ["b"]);
        assert_eq!(code(&world.act(&removed)), Some(Code::ActRefused), "it isn't on the list any more");
        let nobodys = ListedSource { author_id: Some(author_id(99)), ..source("c") };
        assert_eq!(code(&world.act(&listed(&[nobodys]))), Some(Code::ActRefused));
        let renamed = ListedSource { name_fr: "Imagerie".to_owned(), ..source("b") };
        done(&mut world, &listed(std::slice::from_ref(&renamed)));
        assert_eq!(read(&world)[0].listed, Some(renamed));
    }

    #[test]
    fn one_batch_adds_no_more_sources_than_a_party_may_have() {
        let mut world = founded();
        let beats = |range: std::ops::Range<usize>| -> Vec<v1::Record> {
            range.map(|n| heartbeat(&world, &format!("s{n}"), STRUCTURE)).collect()
        };
        let (all, more) = (beats(0..SOURCES_OF_PARTY_MAX), beats(0..SOURCES_OF_PARTY_MAX + 1));
        let refusal = world.try_record_by(RECORDER, &more).expect_err("one too many");
        assert_eq!((refusal.code, refusal.position), (Code::TooManyRules, Some(SOURCES_OF_PARTY_MAX as u32)));
        world.try_record_by(RECORDER, &all).expect("as many as there may be");
        world.try_record_by(RECORDER, &all[..1]).expect("the same name again");
    }

    #[test]
    fn a_party_has_heartbeats_of_its_own_structures_alone() {
        let mut world = founded();
        let beat = heartbeat(&world, "pacs", "750000002");
        assert_eq!(refused(&mut world, RECORDER, beat), Code::NotVouched);
        let beat = heartbeat(&world, "pacs", STRUCTURE);
        assert_eq!(refused(&mut world, DESK, beat.clone()), Code::NotEntitled);
        let later = v1::Record { occurred_at_ms: world.now + 3 * DAY_MS, ..beat };
        assert_eq!(refused(&mut world, RECORDER, later), Code::TimeAhead);
    }
}

/// The patient number 1, logged in with this session key.
fn proven(world: &World, record: v1::Record, session: u8, which_secret: bool) -> v1::Record {
    let message = &two_tags(1).message;
    let of = message.patient.clone().expect("an identity");
    let means = Means { idp: ISSUER.into(), method: "card".into(), level: Level::Substantial };
    let subject = Subject::Patient { ins: of.ins, oid: of.oid };
    let proof = if which_secret { &message.secret_proof } else { &message.proof };
    let key = SigningKey::from_seed(&[session; 32]);
    let will = issuer().decide(&record, &key, (&subject, &means), proof.clone(), world.now);
    v1::Record { will: Some(will), ..record }
}

/// Somebody else, logged in.
fn proven_person(world: &World, record: v1::Record, session: u8) -> v1::Record {
    let means = Means { idp: ISSUER.into(), method: "card".into(), level: Level::Substantial };
    let subject = Subject::Person("urn:sillage:person|mum".to_owned());
    let key = SigningKey::from_seed(&[session; 32]);
    let will = issuer().decide(&record, &key, (&subject, &means), Vec::new(), world.now);
    v1::Record { will: Some(will), ..record }
}

fn opening(world: &World, portal: u8) -> v1::Record {
    let tags = two_tags(1);
    let details = json!({"portal": author_id(portal).to_string(), "open_tag": hex(&tags.open),
        "open_proof": hex(&tags.message.proof)});
    let record = says(Kind::SESSION_OPENED, Some(tags.secret), patient(), &details);
    v1::Record { occurred_at_ms: world.now, ..record }
}

fn closing(session: u8) -> v1::Record {
    let key = SigningKey::from_seed(&[session; 32]).public_key();
    says(Kind::SESSION_CLOSED, Some(two_tags(1).secret), patient(), &json!({"session": hex(key.as_bytes())}))
}

/// It ends.
fn no_parent() -> v1::Record {
    let details = json!({"representative": "urn:sillage:person|mum"});
    let record = says(Kind::REPRESENTATION_ENDED, Some(two_tags(1).open), authority(), &details);
    v1::Record { auth: None, ..record }
}

/// A representation by law, of patient 1 by `mum`.
fn parent(until_ms: u64, powers: &[&str]) -> v1::Record {
    let details = json!({"representative": "urn:sillage:person|mum", "relation": "PARENT",
        "until": rfc3339(until_ms), "powers": powers});
    v1::Record {
        actor: Some(authority()),
        auth: None,
        ..says(Kind::REPRESENTATION_REGISTERED, Some(two_tags(1).open), patient(), &details)
    }
}

fn authority() -> v1::Actor {
    v1::Actor { system: "urn:sillage:author".into(), id: author_id(1).to_string(), ..v1::Actor::default() }
}

fn mask(world: &World, tag: [u8; 32], id: &str) -> v1::Record {
    let record = says(Kind::ITEM_MASKED, Some(tag), patient(), &Value::Null);
    v1::Record { items: vec![item(id)], occurred_at_ms: world.now, ..record }
}

mod sessions {
    use super::*;

    fn is_open(world: &World, portal: u8, tag: &[u8; 32]) -> bool {
        world.reader().has_open_session(&author_id(portal), tag, world.now).expect("read")
    }

    #[test]
    fn a_portal_reads_and_signs_under_an_open_session_of_this_patient_and_nothing_else() {
        let mut world = founded();
        let (tags, stranger) = (two_tags(1), two_tags(2).open);
        let decides = proven(&world, mask(&world, tags.open, "d1"), 50, false);
        assert_eq!(refused(&mut world, PORTAL, decides), Code::NotEntitled, "nobody is logged in");
        let opened = proven(&world, opening(&world, PORTAL), 50, true);
        world.try_record_by(LOGIN, &[opened]).expect("a session");
        for tag in [&tags.open, &tags.secret] {
            assert!(is_open(&world, PORTAL, tag) && !is_open(&world, PORTAL_2, tag));
        }
        assert!(!is_open(&world, PORTAL, &stranger));
        let decides = |world: &World, session| proven(world, mask(world, tags.open, "d1"), session, false);
        let (own, others) = (decides(&world, 50), decides(&world, 51));
        assert_eq!(refused(&mut world, PORTAL_2, own.clone()), Code::NotEntitled, "another portal's session");
        assert_eq!(refused(&mut world, PORTAL, others), Code::NotEntitled, "another session's key");
        let unproven = v1::Record { will: None, ..own.clone() };
        assert_eq!(refused(&mut world, PORTAL, unproven), Code::NotEntitled, "no key of a session");
        world.try_record_by(PORTAL, &[own]).expect("the patient decides");
        let access = says(Kind::ACCESS_READ, Some(tags.open), doctor(1, "physician"), &Value::Null);
        assert_eq!(refused(&mut world, PORTAL, access), Code::NotEntitled, "a portal is no author");
        world.reopen();
        assert!(is_open(&world, PORTAL, &tags.open));
        world.pass(1_860_001);
        assert!(!is_open(&world, PORTAL, &tags.open), "the login is over");
        let late = decides(&world, 50);
        assert_eq!(refused(&mut world, PORTAL, late), Code::NotEntitled);
    }

    #[test]
    fn one_login_opens_one_session_and_closing_ends_it() {
        let mut world = founded();
        let opened = proven(&world, opening(&world, PORTAL), 50, true);
        world.try_record_by(LOGIN, std::slice::from_ref(&opened)).expect("a session");
        let again = v1::Record { occurred_at_ms: world.now + 1, ..opening(&world, PORTAL) };
        let again = proven(&world, again, 50, true);
        assert_eq!(refused(&mut world, LOGIN, again.clone()), Code::IdTaken);
        assert_eq!(refused(&mut world, PORTAL_2, closing(50)), Code::NotEntitled);
        world.try_record_by(PORTAL, &[closing(50)]).expect("closed");
        assert!(!is_open(&world, PORTAL, &two_tags(1).open));
        assert_eq!(refused(&mut world, LOGIN, again), Code::IdTaken, "nor is it opened again");
        assert_eq!(refused(&mut world, PORTAL, closing(50)), Code::UnknownReference);
        let decides = proven(&world, mask(&world, two_tags(1).open, "d1"), 50, false);
        assert_eq!(refused(&mut world, PORTAL, decides), Code::NotEntitled);
    }

    #[test]
    fn each_session_that_is_opened_makes_room_of_others_that_are_over_in_one_command_too() {
        let mut world = founded();
        for session in 50..58 {
            let opened = proven(&world, opening(&world, PORTAL), session, true);
            world.try_record_by(LOGIN, &[opened]).expect("a session");
        }
        world.pass(1_860_001);
        let batches = [60, 61].map(|session| {
            let opened = proven(&world, opening(&world, PORTAL), session, true);
            world.sealed(LOGIN, &[opened])
        });
        let outcomes = world.apply(Command { batches: batches.to_vec(), ..Command::default() });
        assert!(outcomes.iter().all(|outcome| matches!(outcome, CommandOutcome::Done { .. })), "{outcomes:?}");
        for session in 50..58 {
            let again = proven(&world, opening(&world, PORTAL), session, true);
            let batch = world.sealed(LOGIN, &[again]);
            assert_eq!(world.reader().check(&batch, world.now), Ok(()), "its row is gone: {session}");
            world.give_back(LOGIN);
        }
    }

    #[test]
    fn a_session_is_opened_by_a_login_under_the_secret_tag_alone() {
        let mut world = founded();
        let opened = |world: &World| opening(world, PORTAL);
        let claimed = opened(&world);
        assert_eq!(refused(&mut world, LOGIN, claimed), Code::AuthenticationMissing);
        let open = v1::Record { tag: two_tags(1).open.to_vec(), ..opened(&world) };
        let open = proven(&world, open, 50, false);
        assert_eq!(refused(&mut world, LOGIN, open), Code::LoginSubject, "representatives would read of it");
        let others = json!({"portal": author_id(PORTAL).to_string(), "open_tag": hex(&two_tags(2).open),
            "open_proof": hex(&two_tags(2).message.proof)});
        let others = proven(&world, v1::Record { details: others.to_string(), ..opened(&world) }, 50, true);
        assert_eq!(refused(&mut world, LOGIN, others), Code::LoginSubject, "another patient's open tag");
        let nobody = proven(&world, opening(&world, DESK), 50, true);
        assert_eq!(refused(&mut world, LOGIN, nobody), Code::UnknownReference, "no portal");
        let by_desk = proven(&world, opened(&world), 50, true);
        assert_eq!(refused(&mut world, DESK, by_desk), Code::NotEntitled);
    }

    #[test]
    fn a_representative_opens_it_in_the_open_trace_under_their_name() {
        let mut world = founded();
        let open = two_tags(1).open;
        let details = json!({"portal": author_id(PORTAL).to_string()});
        let opened = |world: &World, session| {
            let record = says(Kind::SESSION_OPENED, Some(open), person("mum"), &details);
            proven_person(world, v1::Record { occurred_at_ms: world.now, ..record }, session)
        };
        let record = opened(&world, 60);
        assert_eq!(refused(&mut world, LOGIN, record), Code::NotEntitled, "she represents nobody");
        let represented = json!({"representative": "urn:sillage:person|mum", "relation": "PARENT",
            "until": rfc3339(world.now + 30 * DAY_MS)});
        let by_law = v1::Record {
            actor: Some(v1::Actor {
                system: "urn:sillage:author".into(),
                id: author_id(1).to_string(),
                ..v1::Actor::default()
            }),
            auth: None,
            ..says(Kind::REPRESENTATION_REGISTERED, Some(open), patient(), &represented)
        };
        world.try_record_by(1, &[by_law]).expect("a parent");
        let record = opened(&world, 60);
        world.try_record_by(LOGIN, &[record]).expect("a session");
        assert!(is_open(&world, PORTAL, &open) && !is_open(&world, PORTAL, &two_tags(1).secret));
        let decides = |world: &World, actor: v1::Actor, session| {
            let record = v1::Record { actor: Some(actor), ..mask(world, open, "d1") };
            proven_person(world, record, session)
        };
        let hers = decides(&world, person("mum"), 60);
        world.try_record_by(PORTAL, &[hers]).expect("a parent decides");
        let patients = proven(&world, mask(&world, open, "d2"), 60, false);
        assert_eq!(refused(&mut world, PORTAL, patients), Code::NotEntitled, "the session is hers");
    }

    #[test]
    fn a_representative_reads_no_longer_than_they_may() {
        let mut world = founded();
        let open = two_tags(1).open;
        let log_in = |world: &World, session| {
            let details = json!({"portal": author_id(PORTAL).to_string()});
            let record = says(Kind::SESSION_OPENED, Some(open), person("mum"), &details);
            proven_person(world, v1::Record { occurred_at_ms: world.now, ..record }, session)
        };
        let until = world.now + 600_000;
        world.try_record_by(1, &[parent(until, &["read"])]).expect("a parent");
        let opened = log_in(&world, 60);
        world.try_record_by(LOGIN, &[opened]).expect("a session");
        assert!(is_open(&world, PORTAL, &open));
        world.pass(600_000);
        assert!(!is_open(&world, PORTAL, &open), "the login holds, and the power doesn't");
        let longer = parent(world.now + DAY_MS, &["read"]);
        world.try_record_by(1, &[no_parent(), longer]).expect("a parent");
        assert!(is_open(&world, PORTAL, &open), "the same power again");
        world.try_record_by(1, &[no_parent()]).expect("ended");
        assert!(!is_open(&world, PORTAL, &open));
        let from = world.reader().tree_size();
        let again = parent(world.now + DAY_MS, &["read"]);
        world.try_record_by(1, &[again]).expect("a parent");
        assert!(is_open(&world, PORTAL, &open));
        let whose = Whose::Party(author_id(1));
        let from = LeafIndex(from.get());
        done(&mut world, &Act::RecordsVoided(Voiding::Void { whose, from, until: None, reason: "a mistake".into() }));
        assert!(!is_open(&world, PORTAL, &open), "the representation is voided");
    }
}

mod contests {
    use super::*;

    /// A reading by a doctor of the structure, signed by the recorder, on a basis that is stated.
    fn access(world: &mut World) -> u64 {
        let basis = v1::Basis { kind: v1::BasisKind::CareTeam.into(), ..v1::Basis::default() };
        access_on(world, Some(basis))
    }

    fn access_on(world: &mut World, basis: Option<v1::Basis>) -> u64 {
        let actor = v1::Actor { organisation: STRUCTURE.to_owned(), ..doctor(1, "physician") };
        let record = v1::Record { basis, ..says(Kind::ACCESS_READ, Some(two_tags(1).open), actor, &Value::Null) };
        world.try_record_by(RECORDER, &[record]).expect("recorded").get()
    }

    fn asked(world: &World, id: &str, about: u64) -> v1::Record {
        let details = json!({"id": id, "about": about, "question": "Pourquoi ?"});
        let record = says(Kind::CONTEST_OPENED, Some(two_tags(1).open), patient(), &details);
        proven(world, v1::Record { occurred_at_ms: world.now, ..record }, 50, false)
    }

    fn answered(id: &str, structure: &str) -> v1::Record {
        let actor = v1::Actor { organisation: structure.to_owned(), ..doctor(2, "physician") };
        let details = json!({"contest": id, "answer": "Un remplacement."});
        says(Kind::CONTEST_ANSWERED, Some(two_tags(1).open), actor, &details)
    }

    fn of(world: &World, party: u8) -> Vec<sillage_ledger::Contest> {
        let found = world.reader().contests(&author_id(party), false, (LeafIndex(0), 10));
        found.expect("read").rows
    }

    /// All that go to the recorder, read one at a time.
    fn of_pages(world: &World, waiting_only: bool) -> Vec<sillage_ledger::Contest> {
        let (mut out, mut after) = (Vec::new(), LeafIndex(0));
        loop {
            let page = world.reader().contests(&author_id(RECORDER), waiting_only, (after, 1)).expect("read");
            assert!(page.rows.len() <= 1 && page.looked_at >= page.rows.len());
            out.extend(page.rows);
            match page.next_after {
                Some(next) if next > after => after = next,
                Some(_) => panic!("the pages don't go on"),
                None => return out,
            }
        }
    }

    #[test]
    fn it_goes_to_who_signed_the_line_and_nobody_else_answers() {
        let mut world = founded();
        let about = access(&mut world);
        let contest = asked(&world, "q1", about);
        let index = world.try_record_by(DESK, &[contest]).expect("a question");
        let found = of(&world, RECORDER);
        assert_eq!((found.len(), found[0].index, found[0].about), (1, index, LeafIndex(about)));
        assert_eq!(found[0].due_ms.get() - found[0].opened_ms.get(), DUE_MS);
        assert!(of(&world, OTHER).is_empty());
        assert_eq!(refused(&mut world, OTHER, answered("q1", "750000002")), Code::NotEntitled);
        assert_eq!(refused(&mut world, RECORDER, answered("q2", STRUCTURE)), Code::UnknownReference);
        let answer = world.try_record_by(RECORDER, &[answered("q1", STRUCTURE)]).expect("an answer");
        let found = of(&world, RECORDER);
        assert_eq!(found[0].answered.map(|(index, _)| index), Some(answer));
        assert!(!found[0].is_late(sillage_proof::hash::LedgerTimeMs(world.now)));
        let waiting = world.reader().contests(&author_id(RECORDER), true, (LeafIndex(0), 10)).expect("read").rows;
        assert!(waiting.is_empty());
    }

    #[test]
    fn it_goes_to_who_answers_for_the_structure_where_the_authority_names_one() {
        let mut world = founded();
        names_who_answers(&mut world);
        let about = access(&mut world);
        let contest = asked(&world, "q1", about);
        world.try_record_by(DESK, &[contest]).expect("a question");
        assert_eq!((of(&world, OTHER).len(), of(&world, RECORDER).len()), (1, 0));
        world.try_record_by(OTHER, &[answered("q1", "750000002")]).expect("an answer");
    }

    /// The list of sources says that the other party answers for the structure.
    fn names_who_answers(world: &mut World) {
        let source = ListedSource {
            id: "pacs".to_owned(),
            name_fr: "Radiologie".to_owned(),
            name_en: String::new(),
            structure: STRUCTURE.to_owned(),
            author_id: None,
            answers: Some(author_id(OTHER)),
            since_ms: 0,
            silent_after_s: 3_600,
        };
        done(world, &Act::SourcesListed(SourcesChange { listed: vec![source], removed: Vec::new() }));
    }

    #[test]
    fn one_about_a_line_that_was_taken_unopened_goes_to_who_signed_it_whether_it_can_be_read_or_not() {
        let mut world = founded();
        names_who_answers(&mut world);
        let unopened = access_on(&mut world, None);
        let record = says(Kind::ACCESS_READ, Some(two_tags(1).open), doctor(1, "physician"), &Value::Null);
        let actor = v1::Actor { organisation: STRUCTURE.to_owned(), ..doctor(1, "physician") };
        let mut batch = world.sealed(RECORDER, &[v1::Record { actor: Some(actor), ..record }]);
        let mut payload = batch.records[0].payload.to_vec();
        *payload.last_mut().expect("a payload") ^= 1;
        batch.records[0].payload = payload.into();
        let outcome = world.apply(Command { batches: vec![batch], ..Command::default() }).remove(0);
        let CommandOutcome::Done { first_index, .. } = outcome else { panic!("nobody opens it: {outcome:?}") };
        for (id, about) in [("q1", unopened), ("q2", first_index.get())] {
            let contest = asked(&world, id, about);
            world.try_record_by(DESK, &[contest]).expect("a question");
        }
        assert_eq!((of(&world, RECORDER).len(), of(&world, OTHER).len()), (2, 0));
    }

    #[test]
    fn of_lines_of_before_level_5_the_structure_counts_only_where_they_cite() {
        let mut world = at(CLAIMS);
        for registration in [
            party(RECORDER, Roles::RECORDER, &[STRUCTURE]),
            party(OTHER, Roles::RECORDER, &["750000002"]),
            party(DESK, Roles::CONSENT_DESK, &[]),
        ] {
            done(&mut world, &Act::Registered(registration));
        }
        done(&mut world, &Act::IssuerPublished(Box::new(issuer().published())));
        let before = access(&mut world);
        world.raise(DOORS);
        names_who_answers(&mut world);
        let since = access(&mut world);
        for (id, about) in [("q1", before), ("q2", since)] {
            let contest = asked(&world, id, about);
            world.try_record_by(DESK, &[contest]).expect("a question");
        }
        let about = |party| of(&world, party).iter().map(|contest| contest.about.get()).collect::<Vec<_>>();
        assert_eq!((about(RECORDER), about(OTHER)), (vec![before], vec![since]));
    }

    #[test]
    fn one_batch_gives_no_more_answers_than_a_contest_may_have() {
        let mut world = founded();
        let about = access(&mut world);
        let contest = asked(&world, "q1", about);
        world.try_record_by(DESK, &[contest]).expect("a question");
        let answers = vec![answered("q1", STRUCTURE); ANSWERS_MAX as usize + 1];
        let refusal = world.try_record_by(RECORDER, &answers).expect_err("one too many");
        assert_eq!((refusal.code, refusal.position), (Code::TooManyRules, Some(ANSWERS_MAX)));
        world.try_record_by(RECORDER, &answers[1..]).expect("as many as there may be");
        assert_eq!(refused(&mut world, RECORDER, answers[0].clone()), Code::TooManyRules);
    }

    #[test]
    fn an_answer_that_comes_late_or_not_at_all_shows() {
        let mut world = founded();
        let about = access(&mut world);
        for id in ["q1", "q2"] {
            let contest = asked(&world, id, about);
            world.try_record_by(DESK, &[contest]).expect("a question");
        }
        world.pass(DUE_MS + 1);
        world.try_record_by(RECORDER, &[answered("q1", STRUCTURE)]).expect("an answer");
        let now = sillage_proof::hash::LedgerTimeMs(world.now);
        let found = of(&world, RECORDER);
        assert!(found[0].answered.is_some() && found[0].is_late(now), "it came late");
        assert!(found[1].answered.is_none() && found[1].is_late(now), "it is overdue");
    }

    #[test]
    fn a_representative_who_may_not_read_learns_nothing_of_which_entries_are_lines_of_the_patient() {
        let mut world = founded();
        let about = access(&mut world);
        let consent = parent(world.now + DAY_MS, &["consent"]);
        world.try_record_by(1, &[consent]).expect("a parent");
        let hers = |world: &World| {
            let record = v1::Record { actor: Some(person("mum")), will: None, ..asked(world, "q1", about) };
            proven_person(world, record, 60)
        };
        let early = hers(&world);
        assert_eq!(refused(&mut world, DESK, early), Code::NotEntitled);
        let read = parent(world.now + DAY_MS, &["read"]);
        world.try_record_by(1, &[no_parent(), read]).expect("a parent");
        let entitled = hers(&world);
        world.try_record_by(DESK, &[entitled]).expect("a question");
    }

    #[test]
    fn only_a_line_of_this_patient_that_a_party_signed_is_asked_about_and_only_by_them() {
        let mut world = founded();
        let about = access(&mut world);
        let others = says(Kind::ACCESS_READ, Some(two_tags(2).open), doctor(1, "physician"), &Value::Null);
        let actor = v1::Actor { organisation: STRUCTURE.to_owned(), ..doctor(1, "physician") };
        let others = v1::Record { actor: Some(actor), ..others };
        let others = world.try_record_by(RECORDER, &[others]).expect("recorded").get();
        for wrong in [others, about - 1, about + 1_000, 0] {
            let contest = asked(&world, "q1", wrong);
            assert_eq!(refused(&mut world, DESK, contest), Code::UnknownReference, "{wrong}");
        }
        let contest = asked(&world, "q1", about);
        let unproven = v1::Record { will: None, ..contest.clone() };
        assert_eq!(refused(&mut world, DESK, unproven), Code::AuthenticationMissing);
        let stranger = v1::Record { actor: Some(person("mum")), will: None, ..contest.clone() };
        let stranger = proven_person(&world, stranger, 60);
        assert_eq!(refused(&mut world, DESK, stranger), Code::NotEntitled);
        let blank = json!({"id": "q1", "about": about, "question": " "});
        let blank = v1::Record { details: blank.to_string(), will: None, ..contest.clone() };
        let blank = proven(&world, blank, 50, false);
        assert_eq!(refused(&mut world, DESK, blank), Code::MalformedRecord);
        world.try_record_by(DESK, &[contest]).expect("a question");
        world.pass(1_000);
        let twice = asked(&world, "q1", about);
        assert_eq!(refused(&mut world, DESK, twice), Code::IdTaken);
    }

    #[test]
    fn a_patient_has_so_many_that_wait_and_closing_one_makes_room() {
        let mut world = founded();
        let about = access(&mut world);
        for number in 0..OPEN_MAX {
            let contest = asked(&world, &format!("q{number}"), about);
            world.try_record_by(DESK, &[contest]).expect("a question");
        }
        let more = asked(&world, "more", about);
        assert_eq!(refused(&mut world, DESK, more.clone()), Code::TooManyRules);
        let closed = says(Kind::CONTEST_CLOSED, Some(two_tags(1).open), patient(), &json!({"contest": "q0"}));
        let closed = proven(&world, v1::Record { occurred_at_ms: world.now, ..closed }, 50, false);
        world.try_record_by(DESK, &[closed]).expect("closed");
        world.try_record_by(DESK, &[more]).expect("a question");
        let all = of_pages(&world, false);
        assert!(all[0].closed.is_some());
        let waiting: Vec<LeafIndex> = all.iter().skip(1).map(|contest| contest.index).collect();
        assert_eq!(of_pages(&world, true).iter().map(|contest| contest.index).collect::<Vec<_>>(), waiting);
    }

    #[test]
    fn voided_contests_take_no_place() {
        let mut world = founded();
        let about = access(&mut world);
        let from = world.reader().tree_size();
        for number in 0..OPEN_MAX {
            let contest = asked(&world, &format!("q{number}"), about);
            world.try_record_by(DESK, &[contest]).expect("a question");
        }
        let more = asked(&world, "more", about);
        assert_eq!(refused(&mut world, OTHER, more.clone()), Code::TooManyRules);
        let from = LeafIndex(from.get());
        let whose = Whose::Key(key(DESK).key_id());
        done(&mut world, &Act::RecordsVoided(Voiding::Void { whose, from, until: None, reason: "stolen".into() }));
        world.try_record_by(OTHER, &[more]).expect("a question");
    }
}

#[test]
fn a_log_of_level_4_knows_none_of_it() {
    let mut world = at(CLAIMS);
    done(&mut world, &Act::Registered(party(RECORDER, Roles::RECORDER, &[STRUCTURE])));
    done(&mut world, &Act::Registered(party(DESK, Roles::CONSENT_DESK, &[])));
    let mut beat = new_message(Kind::SOURCE_HEARTBEAT, None, START_MS);
    beat.automated = Some(v1::Automated { software: "connector".to_owned(), version: String::new() });
    assert_eq!(refused(&mut world, RECORDER, beat), Code::UnknownKind);
    for kind in [Kind::SESSION_OPENED, Kind::SESSION_CLOSED, Kind::CONTEST_CLOSED] {
        let record = says(kind, Some(two_tags(1).open), patient(), &Value::Null);
        assert_eq!(refused(&mut world, DESK, record), Code::UnknownKind, "{kind}");
    }
    let list = Act::SourcesListed(SourcesChange { listed: Vec::new(), removed: vec!["a".to_owned()] });
    assert_eq!(code(&world.act(&list)), Some(Code::UnknownKind));
    for role in [Roles::LOGIN, Roles::PORTAL] {
        let outcome = world.act(&Act::Registered(registration(46, role)));
        assert_eq!(code(&outcome), Some(Code::MalformedRecord), "{role}");
    }
    // The details of a contest are free there, and nobody looks at them.
    let asked = says(Kind::CONTEST_OPENED, Some(two_tags(1).open), patient(), &json!({"why": "?"}));
    world.try_record_by(DESK, &[asked]).expect("as before");
    let answered = v1::Record {
        actor: Some(v1::Actor { organisation: STRUCTURE.to_owned(), ..doctor(1, "physician") }),
        ..says(Kind::CONTEST_ANSWERED, Some(two_tags(1).open), patient(), &json!({"free": true}))
    };
    world.try_record_by(RECORDER, &[answered]).expect("as before");
    assert!(world.reader().sources(world.now).expect("read").is_empty(), "nothing is kept");
}
