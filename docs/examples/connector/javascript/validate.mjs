// Validates resources with npm `fhir`: structure, types and required codes. `node validate.mjs FILE...`, one JSON resource in each.
import { readFileSync } from "node:fs";
import { Fhir, Versions } from "fhir/fhir.js";
import { ParseConformance } from "fhir/parseConformance.js";

const fhir = new Fhir(new ParseConformance(true, Versions.R4));
let bad = 0;
for (const file of process.argv.slice(2)) {
  const { valid, messages } = fhir.validate(readFileSync(file, "utf8"), { errorOnUnexpected: true });
  const errors = messages.filter(({ severity }) => severity === "error" || severity === "fatal");
  if (!valid || errors.length > 0) {
    bad += 1;
    for (const { location, message } of errors) console.error(`${file}: ${location}: ${message}`);
  }
}
process.exitCode = bad ? 1 : 0;
