//! Events, each another one: a physician reads a document of a patient.

use super::{Error, TIMEOUTS};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::ens::identity::{INS_TEST_OID, Sex, ins};
use sillage_chaos::load::Link;
use sillage_client::author::{NewRecord, TagRequest, prepare};
use sillage_fhir::import::{Neighbours, PatientMap, map_among};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Records over gRPC, to be taken in order from any place on.
const RECORDS: u64 = 2_000;
/// Tags that are resolved at once.
const RESOLVED: usize = 500;
/// Physician, structure and time of all events.
const RPPS: &str = "10100534436";
const FINESS: &str = "750712184";

/// Makes events.
pub struct Events {
    patients: Vec<String>,
    next: AtomicU64,
    recorded: String,
}

impl Events {
    /// Of this many invented patients.
    pub fn new(patients: usize) -> Self {
        let mut dice = Dice::new(7);
        let mut known = BTreeSet::new();
        while known.len() < patients {
            known.insert(ins(&mut dice, Sex::Female, 1937));
        }
        let now_ms = sillage_client::clock::now_ms() - 60_000;
        Self {
            patients: known.into_iter().collect(),
            next: AtomicU64::new(0),
            recorded: sillage_rules::time::TimeMs(now_ms).to_string(),
        }
    }

    /// The next event that nobody has sent yet.
    pub fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn patient(&self, number: u64) -> &str {
        let count = self.patients.len() as u64;
        &self.patients[usize::try_from(number % count).expect("below a length")]
    }

    /// An event as an AuditEvent in JSON.
    pub fn json(&self, number: u64) -> String {
        let (patient, recorded) = (self.patient(number), &self.recorded);
        format!(
            r#"{{"resourceType":"AuditEvent","type":{{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"}},"subtype":[{{"system":"http://hl7.org/fhir/restful-interaction","code":"read"}}],"action":"R","recorded":"{recorded}","outcome":"0","purposeOfEvent":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}}]}}],"agent":[{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP"}}]}},"who":{{"identifier":{{"system":"urn:oid:1.2.250.1.71.4.2.1","value":"8{RPPS}"}},"display":"Dr Claire Dubois"}},"requestor":true}}],"source":{{"site":"radiology","observer":{{"display":"archive"}}}},"entity":[{{"what":{{"identifier":{{"system":"urn:oid:{INS_TEST_OID}","value":"{patient}"}}}},"type":{{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"}},"role":{{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}}}},{{"what":{{"reference":"DocumentReference/{patient}-{number}"}},"type":{{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"2"}},"role":{{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"3"}}}}]}}"#
        )
    }

    /// Events as a Bundle.
    pub fn bundle(&self, numbers: impl Iterator<Item = u64>) -> String {
        let entry = |number| {
            format!(r#"{{"request":{{"method":"POST","url":"AuditEvent"}},"resource":{}}}"#, self.json(number))
        };
        let entries: Vec<String> = numbers.map(entry).collect();
        format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, entries.join(","))
    }

    /// An event as an audit message of DICOM, in a frame of syslog.
    pub fn syslog(&self, number: u64) -> String {
        let (patient, time) = (self.patient(number), &self.recorded);
        let message = format!(
            "<85>1 {time} pacs app 1 IHE+RFC-3881 - <AuditMessage><EventIdentification EventActionCode=\"R\" EventDateTime=\"{time}\" \
             EventOutcomeIndicator=\"0\"><EventID csd-code=\"110103\" codeSystemName=\"DCM\" originalText=\"read\"/></EventIdentification>\
             <ActiveParticipant UserID=\"urn:oid:1.2.250.1.71.4.2.1|{RPPS}\" UserName=\"Dr Claire Dubois\" UserIsRequestor=\"true\"/>\
             <AuditSourceIdentification AuditSourceID=\"PACS\"/><ParticipantObjectIdentification ParticipantObjectID=\
             \"{patient}^^^&amp;{INS_TEST_OID}&amp;ISO\" ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\">\
             <ParticipantObjectIDTypeCode csd-code=\"2\" codeSystemName=\"RFC-3881\"/></ParticipantObjectIdentification>\
             <ParticipantObjectIdentification ParticipantObjectID=\"{patient}-{number}\" ParticipantObjectTypeCode=\"2\" \
             ParticipantObjectTypeCodeRole=\"3\"><ParticipantObjectIDTypeCode csd-code=\"9\" codeSystemName=\"RFC-3881\"/>\
             </ParticipantObjectIdentification></AuditMessage>"
        );
        format!("{} {message}", message.len())
    }

    /// The structure for which syslog's senders act.
    pub const fn structure() -> &'static str {
        FINESS
    }

    /// The records that the connector would make of events, ready to be signed: as a service has them that has resolved its patients
    /// before.
    ///
    /// # Errors
    /// When the nodes can't resolve the patients.
    pub async fn records(&self, link: &Link) -> Result<Vec<Vec<u8>>, Error> {
        let tags = link.beginning_at(0, TIMEOUTS)?.tags()?;
        let (patients, around) = (PatientMap::empty(false), Neighbours::default());
        let mut new = Vec::new();
        for number in 0..RECORDS {
            for mapped in map_among(self.json(self.take()).as_bytes(), &patients, &around)? {
                let patient = mapped.patient.as_ref().ok_or_else(|| format!("event {number} names no patient"))?;
                let patient = TagRequest { ins: patient.ins.clone(), oid: patient.oid.clone(), secret: false };
                new.push(NewRecord { patient: Some(patient), record: mapped.signed() });
            }
        }
        let mut out = Vec::with_capacity(new.len());
        for part in new.chunks(RESOLVED) {
            out.extend(prepare(&tags, part.to_vec()).await?);
        }
        Ok(out)
    }
}
