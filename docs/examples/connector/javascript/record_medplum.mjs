// Records events with `@medplum/core`, one by one and as a batch, reads one back and goes through the pages of a search.
import assert from "node:assert";
import { MedplumClient } from "@medplum/core";
import { event } from "./event.mjs";

const base = new URL(process.env.FHIR_BASE);
const client = new MedplumClient({ baseUrl: base.origin, fhirUrlPath: base.pathname.slice(1), accessToken: process.env.FHIR_TOKEN, fetch, cacheTime: 0 });

const made = await client.createResource(event("DocumentReference/medplum"));
const read = await client.readResource("AuditEvent", made.id);
assert.equal(read.entity[0].what.reference, "DocumentReference/medplum");
const entry = ["medplum-1", "medplum-2"].map((name) => ({ resource: event(`DocumentReference/${name}`), request: { method: "POST", url: "AuditEvent" } }));
const answered = await client.executeBatch({ resourceType: "Bundle", type: "batch", entry });
assert.deepEqual(answered.entry.map((one) => one.response.status), ["201 Created", "201 Created"]);
const seen = [];
for await (const page of client.searchResourcePages("AuditEvent", { _count: "2" })) seen.push(...page.map((one) => one.id));
assert.ok(seen.includes(made.id) && new Set(seen).size === seen.length);
console.log(made.id);
