// A reading of a document by a professional, as an AuditEvent (IHE BALP, PatientRead).
const { INS, INS_OID, RPPS } = process.env;

export const event = (document) => ({
  resourceType: "AuditEvent",
  type: { system: "http://terminology.hl7.org/CodeSystem/audit-event-type", code: "rest" },
  subtype: [{ system: "http://hl7.org/fhir/restful-interaction", code: "read" }],
  action: "R",
  recorded: new Date().toISOString(),
  outcome: "0",
  purposeOfEvent: [{ coding: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActReason", code: "TREAT" }] }],
  agent: [
    { type: { coding: [{ system: "http://dicom.nema.org/resources/ontology/DCM", code: "110153" }] }, who: { display: "archive" }, requestor: false },
    { type: { coding: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", code: "IRCP" }] },
      who: { identifier: { system: "urn:oid:1.2.250.1.71.4.2.1", value: RPPS } }, requestor: true },
  ],
  source: { observer: { display: "archive" } },
  entity: [
    { what: { reference: document }, role: { system: "http://terminology.hl7.org/CodeSystem/object-role", code: "3" } },
    { what: { identifier: { system: `urn:oid:${INS_OID}`, value: INS }, type: "Patient" },
      type: { system: "http://terminology.hl7.org/CodeSystem/audit-entity-type", code: "1" },
      role: { system: "http://terminology.hl7.org/CodeSystem/object-role", code: "1" } },
  ],
});
