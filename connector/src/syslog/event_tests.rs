use serde_json::{Value, json};
use sillage_fhir::import::{PatientMap, map as import};

use super::super::audit_event;
use super::*;

const HEAD: &str = "<85>1 2026-03-02T10:00:01+01:00 pacs app 1 IHE+RFC-3881 - \u{feff}\n";
const INS: &str = "279035121518989";

/// A message of DICOM with this event, and these objects.
fn dicom(event: &str, objects: &str) -> String {
    format!(
        r#"{HEAD}<?xml version="1.0" encoding="UTF-8"?><AuditMessage>
        <EventIdentification EventActionCode="R" EventDateTime="2026-03-02T09:00:00.250Z" EventOutcomeIndicator="0">
          <EventID csd-code="{event}" codeSystemName="DCM" originalText="Accès"/>
          <EventTypeCode csd-code="ITI-43" codeSystemName="IHE Transactions" originalText="Retrieve Document Set"/>
          <PurposeOfUse csd-code="TREAT" codeSystemName="2.16.840.1.113883.5.8" originalText="Treatment"/>
        </EventIdentification>
        <ActiveParticipant UserID="10100534436" AlternativeUserID="" UserName="Dr Hélène Dubois" UserIsRequestor="true" NetworkAccessPointID="10.0.0.1" NetworkAccessPointTypeCode="2">
          <RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source"/>
          <RoleIDCode csd-code="10" codeSystemName="1.2.250.1.213.1.1.5.5" originalText="Médecin"/>
        </ActiveParticipant>
        <ActiveParticipant UserID="http://pacs.example/wado" UserIsRequestor="false"/>
        <AuditSourceIdentification AuditSourceID="PACS-1" AuditEnterpriseSiteID="Bichat"><AuditSourceTypeCode csd-code="4"/></AuditSourceIdentification>
        {objects}</AuditMessage>"#
    )
}

fn patient(id: &str) -> String {
    format!(
        r#"<ParticipantObjectIdentification ParticipantObjectID="{id}" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">
        <ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"/></ParticipantObjectIdentification>"#
    )
}

const DOCUMENT: &str = r#"<ParticipantObjectIdentification ParticipantObjectID="1.2.3.4" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3" ParticipantObjectDataLifeCycle="6">
    <ParticipantObjectIDTypeCode csd-code="9" codeSystemName="RFC-3881" originalText="Report Number"/>
    <ParticipantObjectName>Compte rendu</ParticipantObjectName>
    <ParticipantObjectDetail type="Repository Unique Id" value="MS4yLjM="/></ParticipantObjectIdentification>"#;

fn event(message: &str) -> Result<Value, Unread> {
    let settings = Settings {
        user_system: Some("urn:oid:1.2.250.1.71.4.2.1".to_owned()),
        organisation: Some("750712184".to_owned()),
        zone: None,
    };
    audit_event(message.as_bytes(), &settings)
}

/// The INS under which each record of a message would be filed; none: nobody's.
fn filed(message: &str) -> Result<Vec<Option<String>>, String> {
    let event = event(message).map_err(|error| error.to_string())?;
    let records = import(event.to_string().as_bytes(), &PatientMap::empty(false)).map_err(|error| error.to_string())?;
    Ok(records.into_iter().map(|record| record.patient.map(|patient| patient.ins)).collect())
}

#[test]
fn a_message_of_dicom_becomes_the_audit_event_that_it_says() {
    let objects = patient("279035121518989^^^&amp;1.2.250.1.213.1.4.8&amp;ISO^NH") + DOCUMENT;
    let message = dicom("110103", &objects);
    let mut got = event(&message).expect("mapped");
    let kept = got.as_object_mut().and_then(|event| event.remove("extension")).expect("the message as it came");
    use base64::Engine as _;
    let kept =
        base64::engine::general_purpose::STANDARD.decode(kept[0]["valueBase64Binary"].as_str().unwrap_or_default());
    assert_eq!(kept.expect("base64"), message.as_bytes());
    let expected = json!({
        "resourceType": "AuditEvent",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110103", "display": "Accès"},
        "subtype": [{"system": "urn:ihe:event-type-code", "code": "ITI-43", "display": "Retrieve Document Set"}],
        "action": "R",
        "period": {"start": "2026-03-02T09:00:00.250Z"},
        "recorded": "2026-03-02T10:00:01+01:00",
        "outcome": "0",
        "purposeOfEvent": [{"coding": [{"system": "urn:oid:2.16.840.1.113883.5.8", "code": "TREAT", "display": "Treatment"}]}],
        "agent": [
            {
                "type": {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110153", "display": "Source"}]},
                "role": [{"coding": [{"system": "urn:oid:1.2.250.1.213.1.1.5.5", "code": "10", "display": "Médecin"}]}],
                "who": {"identifier": {
                    "system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10100534436",
                    "assigner": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"}}
                }},
                "altId": "10100534436", "name": "Dr Hélène Dubois", "requestor": true,
                "network": {"address": "10.0.0.1", "type": "2"}
            },
            {"who": {"identifier": {"value": "http://pacs.example/wado"}}, "altId": "http://pacs.example/wado", "requestor": false}
        ],
        "source": {
            "site": "Bichat", "observer": {"identifier": {"value": "PACS-1"}, "display": "PACS-1"},
            "type": [{"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4"}]
        },
        "entity": [
            {
                "what": {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.8", "value": INS}, "type": "Patient"},
                "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1"},
                "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"},
                "detail": [{"type": "ParticipantObjectIDTypeCode", "valueString": "2"}]
            },
            {
                "what": {"identifier": {"value": "1.2.3.4"}},
                "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2"},
                "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "3"},
                "lifecycle": {"system": "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle", "code": "6"},
                "name": "Compte rendu",
                "detail": [{"type": "Repository Unique Id", "valueBase64Binary": "MS4yLjM="}, {"type": "ParticipantObjectIDTypeCode", "valueString": "9"}]
            }
        ]
    });
    assert_eq!(got, expected, "{got:#}");
    let records = import(got.to_string().as_bytes(), &PatientMap::empty(false)).expect("imported");
    let record = &records[0].record;
    assert_eq!(records[0].patient.as_ref().map(|patient| patient.ins.as_str()), Some(INS));
    assert_eq!(record.occurred_at_ms, 1_772_442_000_250, "the author's time, and not that of syslog");
    assert_eq!(
        record.actor.as_ref().map(|actor| (actor.system.as_str(), actor.id.as_str())),
        Some(("urn:oid:1.2.250.1.71.4.2.1", "10100534436"))
    );
    assert_eq!(record.actor.as_ref().map(|actor| actor.organisation.as_str()), Some("750712184"));
    assert_eq!(record.items[0].id, "1.2.3.4");
}

#[test]
fn rfc_3881_says_the_same_in_its_own_words() {
    let objects = patient("279035121518989^^^&amp;1.2.250.1.213.1.4.8&amp;ISO^NH") + DOCUMENT;
    let dicom = dicom("110103", &objects);
    let rfc = dicom.replace("csd-code", "code").replace("originalText", "displayName");
    let without = |message: &str| {
        let mut event = event(message).expect("mapped");
        event.as_object_mut().map(|event| event.remove("extension"));
        event
    };
    assert_eq!(without(&rfc), without(&dicom));
}

#[test]
fn every_spelling_of_an_ins_is_filed_under_it() {
    for id in [
        "279035121518989^^^&amp;1.2.250.1.213.1.4.8&amp;ISO^NH",
        "279035121518989^^^ASIP-SANTE-INS-NIR&amp;1.2.250.1.213.1.4.8&amp;ISO^INS",
        "279035121518989^^^&amp;amp;1.2.250.1.213.1.4.8&amp;amp;ISO",
        "279035121518989^^^1.2.250.1.213.1.4.8",
        "urn:oid:1.2.250.1.213.1.4.8|279035121518989",
    ] {
        assert_eq!(filed(&dicom("110103", &(patient(id) + DOCUMENT))), Ok(vec![Some(INS.to_owned())]), "{id}");
    }
}

#[test]
fn no_message_about_a_patient_ends_in_nobodys_trace() {
    let refused = [
        // A patient without an INS that is known.
        dicom("110103", &(patient("8003^^^HOSPITAL") + DOCUMENT)),
        dicom("110114", &patient("8003^^^&amp;1.2.3&amp;ISO")),
        dicom("110114", &patient("")),
        // A patient by the type of the identifier alone, or by the role alone.
        dicom("110114", &patient("8003").replace(r#"ParticipantObjectTypeCodeRole="1""#, "")),
        dicom(
            "110114",
            &patient("8003")
                .replace(r#"ParticipantObjectTypeCode="1""#, r#"ParticipantObjectTypeCode="2""#)
                .replace(r#"csd-code="2""#, r#"csd-code="12""#),
        ),
        // No patient, in an event about one.
        dicom("110103", DOCUMENT),
        dicom("110106", ""),
        dicom("110110", ""),
        // No patient, and a query for one, or one that nobody can read.
        dicom("110112", &query("$XDSDocumentEntryPatientId '8003^^^&1.2.3&ISO'")),
        dicom("110112", &query("QPD|IHE PDQ Query|1|@PID.5.1^Dupont")),
        dicom("110112", &query("livingSubjectName Dupont")),
        dicom("110114", &query("x").replace("eA==", "%%%")),
        // An INS in an object that is said to be something else.
        dicom("110114", &DOCUMENT.replace("1.2.3.4", "279035121518989^^^&amp;1.2.250.1.213.1.4.8&amp;ISO")),
        dicom("110114", &DOCUMENT.replace("1.2.3.4", "Patient/8003")),
        dicom("110114", &DOCUMENT.replace("Compte rendu", "de 2 79 03 51 215 189 89")),
        // A person of whom nothing says which part they have.
        dicom(
            "110114",
            r#"<ParticipantObjectIdentification ParticipantObjectID="8003" ParticipantObjectTypeCode="1"/>"#,
        ),
    ];
    for message in refused {
        assert!(filed(&message).is_err(), "{:?}: {message}", filed(&message));
    }
    for nobodys in [dicom("110114", ""), dicom("110100", ""), dicom("110112", &query("documents of today"))] {
        assert_eq!(filed(&nobodys), Ok(vec![None]), "{nobodys}");
    }
}

fn query(said: &str) -> String {
    use base64::Engine as _;
    let said = base64::engine::general_purpose::STANDARD.encode(said);
    format!(
        r#"<ParticipantObjectIdentification ParticipantObjectID="q" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="24">
        <ParticipantObjectIDTypeCode csd-code="ITI-18" codeSystemName="IHE Transactions"/><ParticipantObjectQuery>{said}</ParticipantObjectQuery></ParticipantObjectIdentification>"#
    )
}

#[test]
fn a_time_without_a_zone_is_read_in_the_one_that_the_operator_says_or_not_at_all() {
    let message = dicom("110114", "").replace("09:00:00.250Z", "09:00:00");
    let error = event(&message).expect_err("which zone?");
    assert_eq!(error.path, "AuditMessage.EventIdentification.EventDateTime");
    let paris = Settings { zone: Some(TimeZone::get("Europe/Paris").expect("known")), ..Settings::default() };
    let got = audit_event(message.as_bytes(), &paris).expect("mapped");
    assert_eq!(got["period"]["start"], "2026-03-02T08:00:00Z");
    for wrong in
        ["", "yesterday", "2026-03-02", "2026-03-02T09:00:00 CET", "2026-13-02T09:00:00Z", "2026-03-29T02:30:00"]
    {
        let message = dicom("110114", "").replace("2026-03-02T09:00:00.250Z", wrong);
        assert!(audit_event(message.as_bytes(), &paris).is_err(), "{wrong}");
    }
    let without = dicom("110114", "").replace("2026-03-02T10:00:01+01:00", "-");
    let got = event(&without).expect("mapped");
    assert_eq!(got["recorded"], got["period"]["start"]);
}

#[test]
fn what_is_no_audit_message_is_refused_with_its_part() {
    let good = dicom("110114", "");
    for (message, path) in [
        (format!("{HEAD}plain text"), "syslog message"),
        (good.replace(HEAD, "<85>Oct 11 22:14:15 host su: "), "syslog header"),
        (
            good.replace(
                "<AuditMessage>",
                "<!DOCTYPE AuditMessage [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><AuditMessage>",
            ),
            "",
        ),
        (good.replace("AuditMessage", "IHEYr4"), "IHEYr4"),
        (good.replace("<ActiveParticipant ", "<Participant "), "AuditMessage.Participant"),
        (good.replace("110114", ""), "AuditMessage.EventIdentification.EventID"),
        (
            good.replace("EventOutcomeIndicator=\"0\"", "EventOutcomeIndicator=\"1\""),
            "AuditMessage.EventIdentification.EventOutcomeIndicator",
        ),
        (good.replace("</AuditMessage>", ""), "AuditMessage"),
        (good.replace("</AuditMessage>", "</AuditMess"), "AuditMessage"),
        (good.replace("</AuditMessage>", "<Patient id=\"1\"/></AuditMessage>"), "AuditMessage.Patient"),
    ] {
        let error = event(&message).expect_err(&message);
        assert_eq!(error.path, path, "{error}");
    }
}
