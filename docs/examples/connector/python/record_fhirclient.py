"""Records an event with `fhirclient`, reads it back and finds it."""
import os

from fhirclient import server
from fhirclient.models.auditevent import AuditEvent

from event import event


class Bearer:
    """`fhirclient` asks its server how to sign a request; a token that is there already needs no login."""

    ready = True

    def can_sign_headers(self):
        return True

    def signed_headers(self, headers):
        return {**(headers or {}), "Authorization": "Bearer " + os.environ["FHIR_TOKEN"]}


smart = server.FHIRServer(None, os.environ["FHIR_BASE"])
smart.auth = Bearer()
made = AuditEvent(event("DocumentReference/fhirclient")).create(smart)
read = AuditEvent.read(made["id"], smart)
assert read.entity[0].what.reference == "DocumentReference/fhirclient"
found = AuditEvent.where({"entity": "DocumentReference/fhirclient"}).perform_resources(smart)
assert [one.id for one in found][0] == made["id"]
print(made["id"])
