// No receipt, no data: what a record store asks before it opens documents. `node filter.mjs DOCUMENT...`
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

const { FHIR_BASE, FHIR_TOKEN, INS, INS_OID, RPPS, DOCUMENT, RECEIPTS = "." } = process.env;

/** The documents that may be opened; none where the ledger permits none, or can't be asked. */
async function permitted(documents) {
  const parameter = [
    { name: "patient", valueIdentifier: { system: `urn:oid:${INS_OID}`, value: INS } },
    { name: "actor", valueIdentifier: { system: "urn:oid:1.2.250.1.71.4.2.1", value: RPPS } },
    { name: "profession", valueCode: "physician" },
    { name: "purpose", valueCode: "TREAT" },
    { name: "action", valueCode: "read" },
    ...documents.map((id) => ({ name: "item", valueString: id })),
  ];
  const answer = await fetch(`${FHIR_BASE}/Consent/$decide`, {
    method: "POST",
    headers: { authorization: `Bearer ${FHIR_TOKEN}`, "content-type": "application/fhir+json" },
    body: JSON.stringify({ resourceType: "Parameters", parameter }),
    signal: AbortSignal.timeout(10_000),
  }).catch((error) => console.error("not asked, nothing is opened:", error.name));
  if (!answer) return [];
  const said = await answer.json();
  if (!answer.ok) {
    console.error("refused:", said.issue[0].details.text);
    return [];
  }
  const one = (name) => said.parameter.find((part) => part.name === name);
  const receipt = Buffer.from(one("receipt").valueBase64Binary, "base64");
  await writeFile(join(RECEIPTS, `${one("index").valueString}.sillage-receipt`), receipt);
  const items = said.parameter.filter((part) => part.name === "item").map(({ part }) => ({
    id: part.find(({ name }) => name === "id").valueString,
    decision: part.find(({ name }) => name === "decision").valueCode,
  }));
  return items.filter(({ decision }) => decision === "permit").map(({ id }) => id);
}

const opened = await permitted(process.argv.length > 2 ? process.argv.slice(2) : [DOCUMENT]);
console.log(opened.join("\n"));
process.exitCode = opened.length ? 0 : 3;
