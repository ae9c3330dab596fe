//! From a message to the records of care teams.

use serde_json::{Value, json};
use sillage_rules::ident::Ins;
use sillage_rules::ident::spelling::ins_oid;
use sillage_rules::line::PatientLine;
use sillage_rules::time::TimeMs;

use super::hl7::{Field, Message, Unread};
use super::mapping::Mapping;
use crate::identifiers::authority_uri;

/// Why a message gives no records: the field, and the reason.
pub type NotRecorded = Unread;

/// The changes of care teams by a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visit {
    /// INS and OID.
    pub patient: (String, String),
    /// When it happened, milliseconds since 1970.
    pub at_ms: u64,
    /// Professionals who join: (system|id, the care team's name).
    pub joined: Vec<(String, String)>,
    /// Professionals who leave.
    pub left: Vec<String>,
    /// The structure.
    pub organisation: String,
    /// The id of the message.
    pub id: String,
}

/// The record lines of a message, in the order in which they are to be recorded; none where its event says nothing of care teams.
///
/// # Errors
/// When it names no patient by an INS, no time, or professionals of whom none can be named.
pub fn records(message: &Message, mapping: &Mapping, now_ms: u64) -> Result<Vec<Value>, NotRecorded> {
    if message.text("MSH", 9, 1) != "ADT" {
        return Err(Unread::new("MSH-9", "expected ADT: only admissions, transfers and discharges are taken"));
    }
    let event = message.event();
    let (joins, leaves) = match event.as_str() {
        "A01" | "A04" | "A08" | "A13" => (true, false),
        "A02" | "A12" => (true, true),
        "A03" | "A11" => (false, true),
        _ => return Ok(Vec::new()),
    };
    let patient = patient(message)?;
    let at_ms = moment(message, mapping)?;
    let members = members(message, mapping)?;
    let location = message.text("PV1", 3, 1);
    let ward = mapping.ward(&location);
    let origin = ward.map_or("stay", |ward| ward.origin.as_str());
    let facility = message.repetitions("PV1", 3).first().map(|place| place.component(4)).unwrap_or_default();
    let facility = facility.split('&').next().unwrap_or_default();
    let of_ward = ward.map(|ward| ward.members.clone()).unwrap_or_default();
    let here: Vec<String> = union(members, of_ward);
    let (joined, left) = if joins {
        let before = mapping.ward(&message.text("PV1", 6, 1)).filter(|_| leaves);
        let gone = before.map(|ward| ward.members.clone()).unwrap_or_default();
        let gone: Vec<String> = gone.into_iter().filter(|member| !here.contains(member)).collect();
        (here.into_iter().map(|member| (member, origin.to_owned())).collect(), gone)
    } else {
        (Vec::new(), here)
    };
    let organisation = mapping.structure(facility).to_owned();
    let visit = Visit { patient, at_ms, joined, left, organisation, id: message.text("MSH", 10, 1) };
    visit.lines(mapping, now_ms)
}

/// The patient whom a message says to be there now; none of any other event, and where none is named.
pub fn admitted(message: &Message) -> Option<PatientLine> {
    let is_there = matches!(message.event().as_str(), "A01" | "A02" | "A04" | "A08" | "A12" | "A13");
    let (ins, oid) = patient(message).ok().filter(|_| is_there)?;
    Some(PatientLine { ins, oid })
}

impl Visit {
    /// Record lines: those who leave first.
    pub(super) fn lines(&self, mapping: &Mapping, now_ms: u64) -> Result<Vec<Value>, NotRecorded> {
        let (ins, oid) = &self.patient;
        let until = TimeMs(self.at_ms.saturating_add(mapping.lasts_ms));
        if until.0 <= now_ms && !self.joined.is_empty() {
            let why = "it is older than a membership lasts (`days` in adt.toml): nobody joins by it any more";
            return Err(Unread::new("EVN-2", why));
        }
        let line = |kind: &str, details: Value| {
            json!({
                "kind": kind,
                "patient": { "ins": ins, "oid": oid },
                "actor": { "system": mapping.actor.system, "id": mapping.actor.id, "organisation": self.organisation },
                "occurred_at": TimeMs(self.at_ms),
                "details": details,
                "correlation": { "ids": [self.id] },
            })
        };
        let left = self.left.iter().map(|member| line("careteam.left", json!({ "professional": member })));
        let joined = self.joined.iter().map(|(member, origin)| {
            let details = json!({
                "professional": member, "until": until, "origin": origin, "organisation": self.organisation,
            });
            line("careteam.joined", details)
        });
        let mut lines: Vec<Value> = left.chain(joined).collect();
        if self.id.is_empty() {
            lines.iter_mut().for_each(|line| drop(line.as_object_mut().map(|line| line.remove("correlation"))));
        }
        Ok(lines)
    }
}

/// The INS of PID-3, by its assigning authority.
fn patient(message: &Message) -> Result<(String, String), Unread> {
    let mut found: Option<(String, String)> = None;
    for identifier in message.repetitions("PID", 3) {
        let Some(oid) = ins_oid(&authority_uri(&identifier.component(4))) else { continue };
        let ins = Ins::parse(&identifier.component(1), oid.as_str())
            .map_err(|_| Unread::new("PID-3", "an INS that isn't one: 15 characters, of which the key fits"))?;
        let one = (ins.value().to_owned(), oid.as_str().to_owned());
        if found.as_ref().is_some_and(|other| *other != one) {
            return Err(Unread::new("PID-3", "two different INS: which one is the patient's?"));
        }
        found = Some(one);
    }
    let why = "no INS: an identifier with its assigning authority, as 279035121518989^^^&1.2.250.1.213.1.4.8&ISO";
    found.ok_or_else(|| Unread::new("PID-3", why))
}

/// When it happened: the event (EVN-6), else when it was entered (EVN-2), else when the message was written.
fn moment(message: &Message, mapping: &Mapping) -> Result<u64, Unread> {
    for (segment, field) in [("EVN", 6), ("EVN", 2), ("MSH", 7)] {
        if let Some(time) = message.time(segment, field, &mapping.zone)? {
            let why = || Unread::new(format!("{segment}-{field}"), "a time before 1970");
            return u64::try_from(time.as_millisecond()).map_err(|_| why());
        }
    }
    Err(Unread::new("EVN-2", "no time"))
}

/// The professionals of a visit, each once.
fn members(message: &Message, mapping: &Mapping) -> Result<Vec<String>, Unread> {
    let mut out: Vec<String> = Vec::new();
    let mut unnamed = None;
    for (segment, field) in &mapping.members {
        let people: Vec<Field<'_>> = message.all(segment).flat_map(|segment| segment.repetitions(*field)).collect();
        for person in people {
            let (id, authority) = (person.component(1), authority_uri(&person.component(9)));
            match mapping.professional_system(&authority) {
                Some(system) if !id.is_empty() => out = union(out, vec![format!("{system}|{id}")]),
                _ => unnamed = unnamed.or(Some(format!("{segment}-{field}"))),
            }
        }
    }
    match (out.is_empty(), unnamed) {
        (true, Some(path)) => {
            let why = "professionals, and none has an identifier of an authority that [professionals] of adt.toml names (XCN.9)";
            Err(Unread::new(path, why))
        }
        _ => Ok(out),
    }
}

fn union(mut all: Vec<String>, more: Vec<String>) -> Vec<String> {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use sillage_rules::line::RecordLine;

    use super::*;

    /// 2026-03-02T10:00:00+01:00
    const MARCH: u64 = 1_772_442_000_000;
    const RPPS: &str = "urn:oid:1.2.250.1.71.4.2.1";

    fn adt(event: &str, pv1: &str) -> String {
        format!(
            "MSH|^~\\&|HIS|BICHAT|SILLAGE|BICHAT|20260302100100||ADT^{event}|M{event}|P|2.5|||||FRA|UNICODE UTF-8\r\
             EVN||20260302100000\r\
             PID|1||8003^^^HOP&1.2.3&ISO^PI~279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS||Dubois^Hélène\r\
             PV1|1|I|{pv1}\r"
        )
    }

    const CARDIO: &str = "CARDIO^12^1^BICHAT||||10001234567^House^G^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^L^^^RPPS~77^House^^^^^^^HOP";

    fn lines(text: &str) -> Result<Vec<Value>, Unread> {
        records(&Message::parse(text.as_bytes())?, &Mapping::example(), MARCH)
    }

    #[test]
    fn an_admission_joins_those_of_the_visit_and_of_the_ward() {
        let got = lines(&adt("A01", CARDIO)).expect("records");
        let expected = json!({
            "kind": "careteam.joined",
            "patient": {"ins": "279035121518989", "oid": "1.2.250.1.213.1.4.8"},
            "actor": {"system": "urn:sillage:system", "id": "adt", "organisation": "750100042"},
            "occurred_at": "2026-03-02T09:00:00Z",
            "details": {"professional": format!("{RPPS}|10001234567"), "until": "2026-04-01T09:00:00Z", "origin": "cardiologie", "organisation": "750100042"},
            "correlation": {"ids": ["MA01"]}
        });
        assert_eq!(got.len(), 2);
        assert_eq!(got[0], expected, "{:#}", got[0]);
        assert_eq!(got[1]["details"]["professional"], format!("{RPPS}|10100534436"));
        for line in &got {
            let line = RecordLine::parse(line.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            line.to_record(Some(&[7; 32])).expect("a record");
        }
    }

    #[test]
    fn a_discharge_lets_them_leave_and_a_transfer_those_of_the_ward_before() {
        let got = lines(&adt("A03", CARDIO)).expect("records");
        assert_eq!(got.len(), 2);
        for line in &got {
            assert_eq!(line["kind"], "careteam.left");
            let line = RecordLine::parse(line.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            line.to_record(Some(&[7; 32])).expect("a record");
        }
        let moved = CARDIO.replace("CARDIO^12", "NEURO^1").replace("||||", "|||CARDIO|");
        let got = lines(&adt("A02", &moved)).expect("records");
        assert_eq!(
            (got[0]["kind"].as_str(), got[0]["details"]["professional"].as_str()),
            (Some("careteam.left"), Some("urn:oid:1.2.250.1.71.4.2.1|10100534436"))
        );
        assert_eq!(
            (got[1]["kind"].as_str(), got[1]["details"]["origin"].as_str()),
            (Some("careteam.joined"), Some("stay"))
        );
        assert_eq!(got.len(), 2);
    }

    #[test]
    fn other_events_record_nothing_and_what_isnt_named_is_refused() {
        assert_eq!(lines(&adt("A40", CARDIO)), Ok(Vec::new()));
        let good = adt("A01", CARDIO);
        for (text, path) in [
            (good.replace("ADT^", "ORU^"), "MSH-9"),
            (good.replace("1.2.250.1.213.1.4.8", "1.2.4"), "PID-3"),
            (good.replace("279035121518989", "27903512151898"), "PID-3"),
            (good.replace("||Dubois", "~179035121518954^^^&1.2.250.1.213.1.4.8&ISO||Dubois"), "PID-3"),
            (good.replace("EVN||20260302100000", "EVN||yesterday"), "EVN-2"),
            (good.replace("ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO", "HOP"), "PV1-7"),
            (good.replace("EVN||2026", "EVN||2025"), "EVN-2"),
        ] {
            assert_eq!(lines(&text).expect_err(path).path, path);
        }
        assert_eq!(lines(&adt("A01", "X")), Ok(Vec::new()), "nobody is named");
    }
}
