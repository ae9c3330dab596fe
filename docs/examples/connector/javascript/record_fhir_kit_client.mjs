// Records events with `fhir-kit-client`, one by one and as a batch, reads one back and finds it.
import assert from "node:assert";
import { Client } from "fhir-kit-client";
import { event } from "./event.mjs";

const client = new Client({ baseUrl: process.env.FHIR_BASE, bearerToken: process.env.FHIR_TOKEN });

const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, "4.0.1");
const made = await client.create({ resourceType: "AuditEvent", body: event("DocumentReference/fhir-kit-client") });
const read = await client.read({ resourceType: "AuditEvent", id: made.id });
assert.equal(read.entity[0].what.reference, "DocumentReference/fhir-kit-client");
const day = new Date().toISOString().slice(0, 10);
const searchParams = { entity: "DocumentReference/fhir-kit-client", date: [`ge${day}`, "lt2100-01-01"] };
const found = await client.resourceSearch({ resourceType: "AuditEvent", searchParams });
assert.equal(found.entry[0].resource.id, made.id);
const posted = await client.resourceSearch({ resourceType: "AuditEvent", searchParams, options: { postSearch: true } });
assert.equal(posted.entry[0].resource.id, made.id);
const entry = ["batch-1", "batch-2"].map((name) => ({ resource: event(`DocumentReference/${name}`), request: { method: "POST", url: "AuditEvent" } }));
const answered = await client.batch({ body: { resourceType: "Bundle", type: "batch", entry } });
assert.deepEqual(answered.entry.map((one) => one.response.status), ["201 Created", "201 Created"]);
await assert.rejects(client.delete({ resourceType: "AuditEvent", id: made.id }), (error) => error.response.status === 405);
const first = await client.resourceSearch({ resourceType: "AuditEvent", searchParams: { _count: 1 } });
assert.ok((await client.nextPage({ bundle: first })).entry.length > 0);
console.log(made.id);
