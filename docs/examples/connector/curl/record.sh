#!/bin/sh
# Records an event with curl, as JSON, and reads it back.
set -eu
. "$(dirname "$0")/event.sh"
auth="Authorization: Bearer $FHIR_TOKEN"
head=$(event DocumentReference/curl | curl --silent --show-error --fail-with-body --dump-header - --output /dev/null \
  --header "$auth" --header "Content-Type: application/fhir+json" --data-binary @- "$FHIR_BASE/AuditEvent")
url=$(printf '%s\n' "$head" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl --silent --show-error --fail-with-body --compressed --header "$auth" "$url" | grep -q '"DocumentReference/curl"'
url=${url%/_history/*}
printf '%s\n' "${url##*/}"
