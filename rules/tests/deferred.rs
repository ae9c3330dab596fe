//! An emergency access that is handed in after an outage held from when the glass was broken.

use sillage_proof::hash::LedgerTimeMs;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::{Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};

const BROKEN: u64 = 1_772_442_000_000;
const HOUR: u64 = 3_600_000;

fn opened(expires: &str, deferred: bool) -> (Event, Meta) {
    let mut message = new_message(Kind::BREAKGLASS_OPENED, Some(&[5; 32]), BROKEN);
    message.actor = Some(v1::Actor {
        system: "urn:oid:1.2.250.1.71.4.2.1".into(),
        id: "10100534436".into(),
        role: "physician".into(),
        ..v1::Actor::default()
    });
    message.details = format!(
        r#"{{"id":"bg1","case":"INCAPACITY","reason":"coma","expires":"{expires}","search":"INS","no_position":"INDOORS"}}"#
    );
    message.deferred = deferred.then(|| v1::Deferred { reason: "fibre cut".into() });
    let record = ParsedRecord::from_message(message).expect("a record");
    // Recorded six hours after the glass was broken.
    let meta = Meta::of(&record, 7.into(), LedgerTimeMs(BROKEN + 6 * HOUR), false, false).expect("a signer");
    (Event::of(&record).expect("understood").expect("decides"), meta)
}

fn admitted((event, meta): &(Event, Meta)) -> Result<(), Code> {
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    let env = Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_| false,
        claims: true,
        across_servers: true,
    };
    PatientState::default().admit(event, meta, &env).map_err(|refusal| refusal.code)
}

#[test]
fn what_ran_out_during_the_outage_is_taken_when_it_is_handed_in_and_held_in_its_time() {
    let late = opened("2026-03-02T11:00:00Z", true);
    assert_eq!(admitted(&late), Ok(()));
    let mut state = PatientState::default();
    state.apply(&late.0, &late.1);
    let glass = state.breakglass("bg1").expect("on record");
    assert_eq!((glass.period.from.get(), glass.period.until.get()), (BROKEN, BROKEN + 2 * HOUR));
    assert_eq!(state.open_breakglasses(&glass.actor, late.1.time).count(), 0, "it opens nothing now");
    assert_eq!(admitted(&opened("2026-03-02T09:00:00Z", true)), Err(Code::EmptyPeriod), "it never held");
}

#[test]
fn the_longest_time_counts_from_when_the_glass_was_broken() {
    let bounded = |expires: &str, deferred, longest_h: u64, first| {
        let (mut event, meta) = opened(expires, deferred);
        let policy = Policy { breakglass_max_s: longest_h * 3_600, ..Policy::default() };
        let Event::BreakGlassOpened(opened) = &mut event else { panic!("{event:?}") };
        opened.bound(&policy, meta.time, first);
        let mut state = PatientState::default();
        state.apply(&event, &meta);
        state.breakglass("bg1").expect("on record").period.until.get()
    };
    let asked = "2026-03-09T09:00:00Z";
    assert_eq!(bounded(asked, true, 8, None), BROKEN + 8 * HOUR);
    assert_eq!(bounded(asked, false, 8, None), BROKEN + 14 * HOUR, "from when it was recorded");
    assert_eq!(bounded(asked, false, 24, None), BROKEN + 30 * HOUR, "a day, where the policy doesn't say");
    assert_eq!(bounded(asked, false, 24, Some(LedgerTimeMs(BROKEN))), BROKEN + 24 * HOUR, "it continues another one");
    assert_eq!(bounded("2026-03-02T17:00:00Z", false, 24, None), BROKEN + 8 * HOUR, "less was asked for");
    assert_eq!(Policy::default().breakglass_max_s, 86_400);
    let written = serde_json::to_value(Policy::default()).expect("JSON");
    assert!(written.get("breakglass_max_s").is_none(), "as before there was one");
}

#[test]
fn what_was_not_handed_in_late_holds_from_when_it_is_recorded() {
    assert_eq!(admitted(&opened("2026-03-02T11:00:00Z", false)), Err(Code::EmptyPeriod));
    let now = opened("2026-03-02T17:00:00Z", false);
    let mut state = PatientState::default();
    state.apply(&now.0, &now.1);
    assert_eq!(state.breakglass("bg1").expect("on record").period.from, now.1.time);
}
