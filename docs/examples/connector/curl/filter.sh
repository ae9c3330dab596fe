#!/bin/sh
# No receipt, no data: what a record store asks before it opens a document. `filter.sh DOCUMENT`
set -eu
document=${1:-$DOCUMENT}
ask() {
  cat <<JSON
{"resourceType":"Parameters","parameter":[
 {"name":"patient","valueIdentifier":{"system":"urn:oid:$INS_OID","value":"$INS"}},
 {"name":"actor","valueIdentifier":{"system":"urn:oid:1.2.250.1.71.4.2.1","value":"$RPPS"}},
 {"name":"profession","valueCode":"physician"},
 {"name":"purpose","valueCode":"TREAT"},
 {"name":"action","valueCode":"read"},
 {"name":"item","valueString":"$document"}]}
JSON
}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
if ! ask | curl --silent --show-error --fail-with-body --max-time 10 --output "$answer" \
  --header "Authorization: Bearer $FHIR_TOKEN" --header "Content-Type: application/fhir+json" \
  --data-binary @- "$FHIR_BASE/Consent/\$decide"; then
  echo "not permitted, or not asked: nothing is opened" >&2
  exit 3
fi
# One document was asked for, so the whole decision is that of the document.
field() { tr -d '\n' < "$answer" | sed -n "s/.*\"name\":\"$1\",\"$2\":\"\([^\"]*\)\".*/\1/p"; }
index=$(field index valueString)
[ -n "$index" ] || exit 3
field receipt valueBase64Binary | base64 -d > "${RECEIPTS:-.}/$index.sillage-receipt"
grep -q '"name":"decision","valueCode":"permit"' "$answer" || exit 3
printf '%s\n' "$document"
