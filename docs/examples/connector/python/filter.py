"""No receipt, no data: what a record store asks before it opens documents. `filter.py DOCUMENT...`"""
import base64
import os
import sys

import requests

OUT = os.environ.get("RECEIPTS", ".")


def permitted(documents: list[str]) -> list[str]:
    """The documents that may be opened; none where the ledger permits none, or can't be asked."""
    question = [
        {"name": "patient", "valueIdentifier": {"system": "urn:oid:" + os.environ["INS_OID"], "value": os.environ["INS"]}},
        {"name": "actor", "valueIdentifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": os.environ["RPPS"]}},
        {"name": "profession", "valueCode": "physician"},
        {"name": "purpose", "valueCode": "TREAT"},
        {"name": "action", "valueCode": "read"},
        *({"name": "item", "valueString": document} for document in documents),
    ]
    try:
        answer = requests.post(
            os.environ["FHIR_BASE"] + "/Consent/$decide", json={"resourceType": "Parameters", "parameter": question},
            headers={"Authorization": "Bearer " + os.environ["FHIR_TOKEN"]}, timeout=10)
    except requests.RequestException as error:
        print("not asked, nothing is opened:", type(error).__name__, file=sys.stderr)
        return []
    said = answer.json()
    if answer.status_code != 200:
        print("refused:", said["issue"][0]["details"]["text"], file=sys.stderr)
        return []
    parts = said["parameter"]
    receipt = next(p["valueBase64Binary"] for p in parts if p["name"] == "receipt")
    index = next(p["valueString"] for p in parts if p["name"] == "index")
    with open(os.path.join(OUT, index + ".sillage-receipt"), "wb") as file:
        file.write(base64.b64decode(receipt))
    items = [{q["name"]: next(v for k, v in q.items() if k != "name") for q in p["part"]} for p in parts if p["name"] == "item"]
    return [item["id"] for item in items if item["decision"] == "permit"]


opened = permitted(sys.argv[1:] or [os.environ["DOCUMENT"]])
print("\n".join(opened))
sys.exit(0 if opened else 3)
