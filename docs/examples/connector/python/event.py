"""A reading of a document by a professional, as an AuditEvent (IHE BALP, PatientRead)."""
import datetime
import os

DCM = "http://dicom.nema.org/resources/ontology/DCM"


def event(document: str) -> dict:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    return {
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R",
        "recorded": now,
        "outcome": "0",
        "purposeOfEvent": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]}],
        "agent": [
            {"type": {"coding": [{"system": DCM, "code": "110153"}]}, "who": {"display": "archive"}, "requestor": False},
            {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
             "who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": os.environ["RPPS"]}}, "requestor": True},
        ],
        "source": {"observer": {"display": "archive"}},
        "entity": [
            {"what": {"reference": document}, "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "3"}},
            {"what": {"identifier": {"system": "urn:oid:" + os.environ["INS_OID"], "value": os.environ["INS"]}, "type": "Patient"},
             "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1"},
             "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"}},
        ],
    }
