use sillage_proof::keys::{AuthorId, SigningKey};
use sillage_proof::vrf::VrfSecretKey;
use sillage_rules::consent::ActorName;
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;

use super::*;

const INS: &str = "279035121518989";
const OID: &str = "1.2.250.1.213.1.4.10";

fn subject() -> (Subject, VrfPublicKey) {
    let vrf = VrfSecretKey::from_seed([1; 32]);
    let identity = Identity::new(INS, OID).expect("an identity");
    let own = |which| {
        let (tag, proof) = PatientTag::resolve(&vrf, &identity, which);
        ProvenTag { tag, proof: proof.to_bytes() }
    };
    let subject = Subject {
        ins: INS.to_owned(),
        oid: OID.to_owned(),
        open: own(WhichTag::Open),
        secret: Some(own(WhichTag::Secret)),
    };
    (subject, VrfPublicKey::from_bytes(vrf.public_key().as_bytes()).expect("a key"))
}

fn acting() -> Acting {
    let (issuer, method, eidas_level) = ("https://fc".to_owned(), "eidas2".to_owned(), "substantial".to_owned());
    Acting {
        auth: Some(v1::Authentication { issuer, method, eidas_level }),
        ..Acting::new(&ActorName::patient(), "", "", "")
    }
}

fn session() -> PatientSession {
    let key = SigningKey::from_seed(&[7; 32]);
    PatientSession {
        login: will::Session { key, token: "a.b.c".to_owned(), userinfo: String::new() },
        subject: subject().0,
        acting: acting(),
        until_ms: 2_000,
    }
}

fn origin() -> Origin {
    Origin::new("test/log").expect("a name")
}

#[test]
fn tags_of_another_identity_are_not_taken() {
    let (own, key) = subject();
    own.check(&key).expect("the patient's");
    let other = Subject { ins: "279035121518988".to_owned(), ..own.clone() };
    assert!(other.check(&key).is_err(), "another INS");
    let swapped = Subject { open: own.secret.clone().expect("there"), ..own };
    assert!(swapped.check(&key).is_err(), "the wrong one of the two");
}

#[test]
fn the_key_of_a_session_signs_no_other_record_than_its_opening_for_a_login() {
    let (own, _) = subject();
    let portal = AuthorId::from([9; 32]);
    let opened = opening::opened(&own, portal, &acting(), 1_000);
    let parsed = ParsedRecord::from_message(opened.clone()).expect("a record");
    assert_eq!(
        (parsed.kind(), parsed.tag()),
        (Kind::SESSION_OPENED, Some(own.secret.as_ref().unwrap().tag.as_bytes()))
    );
    let check = |record: &v1::Record| opening::check_opened(record, &own, portal, &acting());
    check(&opened).expect("the opening");
    let edits: [fn(&mut v1::Record); 5] = [
        |record| record.kind = Kind::SPACE_CLOSED.code().into(),
        |record| record.tag[0] ^= 1,
        |record| record.actor = None,
        |record| record.details = record.details.replace("0909", "0808"),
        |record| record.items.push(v1::Item::default()),
    ];
    for edit in edits {
        let mut other = opened.clone();
        edit(&mut other);
        assert!(check(&other).is_err(), "{other:?}");
    }
}

#[test]
fn a_session_signs_for_its_patient_and_for_who_acts_alone() {
    let session = session();
    let change = Change::bare(Kind::SPACE_OPPOSED);
    let record = session.record_of(&change, 1_000, false).expect("a record");
    let bytes = session.sign(&origin(), record.clone()).expect("signed");
    let signed = ParsedRecord::parse(&bytes).expect("canonical").into_message();
    assert_eq!(record_digest(&signed), record_digest(&record), "the proof is no part of what is decided");
    let will = signed.will.expect("a proof");
    assert_eq!(
        (will.session_key, will.tag_proof.len()),
        (session.login.key.public_key().to_bytes().to_vec(), PROOF_BYTES)
    );
    let strangers = v1::Record { tag: vec![5; 32], ..record.clone() };
    assert_eq!(session.sign(&origin(), strangers).expect_err("another patient").exit_code(), 4);
    let by_other = v1::Record { actor: Some(v1::Actor::default()), ..record };
    assert_eq!(session.sign(&origin(), by_other).expect_err("another actor").exit_code(), 4);
}

#[test]
fn a_representative_has_no_part_in_the_secret_trace() {
    let mut session = session();
    session.subject.secret = None;
    assert!(session.record_of(&Change::bare(Kind::SPACE_OPPOSED), 1_000, true).is_err());
    assert_eq!(session.subject.tags().1, None);
}

#[test]
fn the_end_of_a_session_stands_where_its_opening_does() {
    let session = session();
    let closed = ParsedRecord::parse(&session.closing(1_500).expect("encoded")).expect("canonical");
    assert_eq!(
        (closed.kind(), closed.tag()),
        (Kind::SESSION_CLOSED, Some(session.subject.secret.as_ref().unwrap().tag.as_bytes()))
    );
    assert!(closed.message().will.is_none());
    assert!(session.is_over(2_000) && !session.is_over(1_999));
}
