// How long verifying takes, in Node and, where there is one, in a Chromium: bundles made by hand, each entry an access of
// 150 to 200 bytes, 1 or 25 of them in a batch. Prints one JSON line for each.
//
//   node gateway/portal/measure.mjs [ENTRIES...]        (50 1000 without)

import { chromium, inBrowser } from "./browser.mjs";
import { MadeLog, POLICY, bodies, file, proto } from "./made.mjs";
import { verify } from "./verify.js";

const ROUNDS = 5;

function made(entries, perBatch) {
  const log = new MadeLog();
  const actor = proto([1, "urn:oid:1.2.250.1.71.4.2.1"], [2, "10100534436"], [3, "physician"], [4, "750712184"], [5, "Dr Claire Dubois"]);
  const record = { body: [[4, actor], [7, 1767225600000], [8, "TREAT"], [9, proto([1, 3])], [10, 1]] };
  for (let left = entries; left > 0; left -= perBatch) log.batch(Array.from({ length: Math.min(left, perBatch) }, () => record));
  return file(bodies(log.commit()));
}

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];

async function here(bytes, slow) {
  const times = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const { ok, errors } = await verify([{ name: "x.sillage-trace", bytes }], POLICY, { slow });
    if (!ok) throw new Error(JSON.stringify(errors));
    times.push(performance.now() - start);
  }
  return times;
}

const there = (slow) => `
  const { internals, verify } = await import("./verify.js");
  const { native } = await internals.start();
  const bytes = new Uint8Array(await (await fetch("/bundle")).arrayBuffer());
  const policy = await (await fetch("/policy.txt")).text();
  const times = [];
  for (let round = 0; round < ${ROUNDS}; round++) {
    const start = performance.now();
    const { ok, errors } = await verify([{ name: "x.sillage-trace", bytes }], policy, { slow: ${slow} });
    if (!ok) throw new Error(JSON.stringify(errors));
    times.push(performance.now() - start);
  }
  await answer({ native, times });`;

const counts = process.argv.slice(2).map(Number);
for (const entries of counts.length > 0 ? counts : [50, 1000]) {
  for (const perBatch of [1, 25]) {
    const bytes = made(entries, perBatch);
    const row = { entries, per_batch: perBatch, bytes: bytes.length };
    for (const slow of [false, true]) {
      const name = slow ? "_without_ed25519" : "";
      row[`node${name}_ms`] = Math.round(median(await here(bytes, slow)) * 10) / 10;
      if (chromium() === null) continue;
      const got = await inBrowser(there(slow), { bundle: bytes, "policy.txt": POLICY });
      if (got.failed) throw new Error(got.failed);
      row.browser_has_ed25519 = got.native;
      row[`browser${name}_ms`] = Math.round(median(got.times) * 10) / 10;
    }
    console.log(JSON.stringify(row));
  }
}
