"""Records an event with `fhirpy`, reads it back and finds it."""
import os

from fhirpy import SyncFHIRClient

from event import event

client = SyncFHIRClient(os.environ["FHIR_BASE"], authorization="Bearer " + os.environ["FHIR_TOKEN"])
made = client.resource("AuditEvent", **event("DocumentReference/fhirpy"))
made.save()
read = client.reference("AuditEvent", made["id"]).to_resource()
assert read["entity"][0]["what"]["reference"] == "DocumentReference/fhirpy"
found = client.resources("AuditEvent").search(entity="DocumentReference/fhirpy").limit(5).fetch()
assert [one["id"] for one in found][0] == made["id"]
print(made["id"])
