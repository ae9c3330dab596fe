"""Validates resources with `fhir.resources`, of FHIR R4B: `python validate.py FILE...`, one JSON resource in each."""

import json
import sys
from pathlib import Path

from fhir.resources.R4B import get_fhir_model_class

bad = 0
for name in sys.argv[1:]:
    resource = json.loads(Path(name).read_text())
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValueError as error:
        bad += 1
        print(f"{name}: {error}", file=sys.stderr)
sys.exit(1 if bad else 0)
