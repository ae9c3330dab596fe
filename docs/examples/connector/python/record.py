"""Records an event with `requests`, reads it back and finds it."""
import os

import requests

from event import event

base = os.environ["FHIR_BASE"]
http = requests.Session()
http.headers.update({"Authorization": "Bearer " + os.environ["FHIR_TOKEN"], "Content-Type": "application/fhir+json"})

made = http.post(base + "/AuditEvent", json=event("DocumentReference/requests"))
made.raise_for_status()
if made.status_code == 202:
    raise SystemExit("kept, and not on record yet: ask " + made.headers["Location"])
again = http.post(base + "/AuditEvent", data=made.request.body)
assert again.headers["Location"] == made.headers["Location"], "a retry is recorded once"

read = http.get(base + "/AuditEvent/" + made.json()["id"])
read.raise_for_status()
assert read.json()["entity"] == event("DocumentReference/requests")["entity"]
patient = "urn:oid:" + os.environ["INS_OID"] + "|" + os.environ["INS"]
found = http.post(base + "/AuditEvent/_search", data={"patient.identifier": patient, "_count": "500"},
                  headers={"Content-Type": "application/x-www-form-urlencoded"})
found.raise_for_status()
assert read.json()["id"] in [entry["resource"]["id"] for entry in found.json()["entry"]]
print(read.json()["id"])
