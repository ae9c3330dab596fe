use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::quarantine::{Bounds, Quarantine};

/// 2026-03-02T09:00:00Z
const MARCH: u64 = 1_772_442_000_000;
const MESSAGE: &str = "<85>1 2026-03-02T09:00:00Z h a 1 IHE+RFC-3881 - <AuditMessage><EventIdentification EventActionCode=\"E\" EventDateTime=\"2026-03-02T09:00:00Z\" EventOutcomeIndicator=\"0\"><EventID csd-code=\"110114\" codeSystemName=\"DCM\" originalText=\"Accès é\"/></EventIdentification><ActiveParticipant UserID=\"u\" UserIsRequestor=\"true\"/><AuditSourceIdentification AuditSourceID=\"s\"/></AuditMessage>";

/// An intake that takes everything, or has no room.
#[derive(Default)]
struct Taker {
    taken: Mutex<Vec<Message>>,
    is_full: AtomicBool,
}

impl Take for Arc<Taker> {
    async fn take(&self, message: Message) -> Handed {
        if self.is_full.load(Ordering::Acquire) {
            return Handed::Full;
        }
        self.taken.lock().push(message);
        Handed::Taken
    }
}

fn retry(dir: &tempfile::TempDir) -> (Retry<Arc<Taker>>, Arc<Taker>, Arc<Quarantine>) {
    let quarantine = Arc::new(Quarantine::open(dir.path(), [7; 32], Bounds::default()).expect("opened"));
    let taker = Arc::new(Taker::default());
    let feed = Arc::new(Feed { take: Arc::clone(&taker), quarantine: Arc::clone(&quarantine) });
    (Retry { feed, syslog: syslog::Settings::default(), adt: None }, taker, quarantine)
}

fn new(door: Door, raw: &[u8]) -> New {
    New::bytes(door, "pacs", MARCH, "", "why", raw.to_vec())
}

#[tokio::test]
async fn what_came_after_a_wrong_length_is_taken_in_parts() {
    let dir = tempfile::tempdir().expect("a folder");
    let (retry, taker, quarantine) = retry(&dir);
    let short = format!("{} {MESSAGE}", MESSAGE.encode_utf16().count());
    let id = quarantine.keep(&new(Door::Syslog, format!("{short}{short}").as_bytes())).expect("kept");
    quarantine.retry(&id).expect("there");
    retry.one(&id).await.expect("handed in");
    let taken = taker.taken.lock().clone();
    assert_eq!(taken.len(), 2);
    assert_eq!((taken[0].raw.as_slice(), taken[0].received_ms), (MESSAGE.as_bytes(), MARCH));
    assert_eq!(quarantine.held().expect("read").items, 0);
    assert_eq!(quarantine.day("2026-03-02").expect("read")["pacs"].taken, 1);
}

#[tokio::test]
async fn what_still_says_nothing_stays_and_what_has_no_room_is_due_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (retry, taker, quarantine) = retry(&dir);
    let noise = quarantine.keep(&new(Door::Syslog, b"GET / HTTP/1.1")).expect("kept");
    let hl7 = quarantine.keep(&new(Door::Adt, b"MSH|^~\\&|")).expect("kept");
    for id in [&noise, &hl7] {
        quarantine.retry(id).expect("there");
        retry.one(id).await.expect("looked at");
    }
    assert!(quarantine.due().expect("read").is_empty() && quarantine.held().expect("read").items == 2);
    taker.is_full.store(true, Ordering::Release);
    let event = quarantine
        .keep(&new(Door::Rest, b"<AuditEvent xmlns=\"http://hl7.org/fhir\"><outcome value=\"0\"/></AuditEvent>"))
        .expect("kept");
    quarantine.retry(&event).expect("there");
    retry.one(&event).await.expect("looked at");
    assert_eq!(quarantine.due().expect("read"), std::slice::from_ref(&event));
    taker.is_full.store(false, Ordering::Release);
    retry.one(&event).await.expect("handed in");
    assert_eq!(taker.taken.lock()[0].resource["resourceType"], "AuditEvent");
    assert_eq!(quarantine.held().expect("read").items, 2);
}

#[tokio::test]
async fn what_the_event_path_refused_is_handed_in_as_an_event_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a folder");
    let (retry, taker, quarantine) = retry(&dir);
    let line = br#"{"kind": "breakglass.opened", "details": {}}"#;
    let consent = br#"{"resourceType": "Consent", "status": "active"}"#;
    let xml = br#"<Consent xmlns="http://hl7.org/fhir"><status value="active"/></Consent>"#;
    let refused = [(Door::Rest, &line[..]), (Door::Rest, consent), (Door::Rest, xml), (Door::Adt, line)];
    for (door, raw) in refused {
        let id = quarantine.keep(&new(door, raw)).expect("kept");
        quarantine.retry(&id).expect("there");
        retry.one(&id).await.expect("looked at");
    }
    assert!(taker.taken.lock().is_empty() && quarantine.due().expect("read").is_empty());
    assert_eq!(quarantine.held().expect("read").items, refused.len());
    let joined = quarantine.keep(&new(Door::Adt, br#"{"kind": "careteam.joined"}"#)).expect("kept");
    quarantine.retry(&joined).expect("there");
    retry.one(&joined).await.expect("handed in");
    assert_eq!(taker.taken.lock().len(), 1);
}
