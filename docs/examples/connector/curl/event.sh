# A reading of a document by a professional, as an AuditEvent (IHE BALP, PatientRead): `event DOCUMENT`.
event() {
  cat <<JSON
{"resourceType":"AuditEvent",
 "type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},
 "subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read"}],
 "action":"R","recorded":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","outcome":"0",
 "agent":[{"who":{"identifier":{"system":"urn:oid:1.2.250.1.71.4.2.1","value":"$RPPS"}},"requestor":true}],
 "source":{"observer":{"display":"archive"}},
 "entity":[{"what":{"reference":"$1"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"3"}},
  {"what":{"identifier":{"system":"urn:oid:$INS_OID","value":"$INS"},"type":"Patient"},
   "type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},
   "role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}}]}
JSON
}
