// Tests of verify.js: published vectors, bundles made by hand, and every way of lying that we could think of.
//
//   node --test gateway/portal/verify.test.mjs

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MadeLog, POLICY, TAG, be, bodies, consistency, file, inclusion, join, mth, note, proto, range, tlogProof, unhex, vectors } from "./made.mjs";
import { checkAct, internals, verify } from "./verify.js";

const { ed25519, ed25519Slow, hex, vrf } = internals;
const read = (name) => JSON.parse(readFileSync(new URL(`../../docs/vectors/${name}`, import.meta.url), "utf8"));
const NOW_S = 1767225600 + 120;
const check = (bytes, options = {}, name = "x.sillage-trace", policy = POLICY) => verify([{ name, bytes }], policy, { nowS: NOW_S, lang: "en", ...options });

async function refused(bytes, part, options, name) {
  const { ok, errors, reports } = await check(bytes, options, name);
  assert.equal(ok, false);
  assert.equal(reports.length, 0);
  assert.equal(errors[0].part, part, errors[0].message);
}

function flip(bytes, at, mask = 1) {
  const changed = Uint8Array.from(bytes);
  changed[at] ^= mask;
  return changed;
}

/** Three shown entries, one erased, and the act that says so; two batches and another patient between. */
function small() {
  const log = new MadeLog();
  const actor = proto([1, "urn:oid:1.2.250.1.71.4.2.1"], [2, "10100534436"], [3, "physician"], [5, "Dr Claire Dubois"]);
  log.batch([{}, { tag: new Uint8Array(32).fill(7) }, { kind: 0x0602, body: [[4, actor], [7, 1767225600000], [8, "TREAT"]] }, { gone: true }]);
  log.batch([{ kind: 0x0a0a, body: [[19, proto([5, proto([1, [5]], [3, "RETENTION"])])]] }]);
  return log.commit();
}

const state = small();
const parts = bodies(state);
const whole = file(parts);

// ---------------------------------------------------------------------------------------------------------------------

test("SHA-256 is the engine's, at every length around its blocks", () => {
  for (let length = 0; length < 300; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 255);
    assert.equal(hex(internals.sha256(bytes)), createHash("sha256").update(bytes).digest("hex"));
  }
});

// RFC 8032 §7.1: public key, message, signature.
const RFC_8032 = [
  ["d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"],
  ["3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"],
  ["fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"],
];

/** Both ways to check a signature must say the same. */
async function holds(key, signature, message) {
  const verdicts = [await ed25519(key, signature, message), await ed25519(key, signature, message, true)];
  assert.equal(verdicts[0], verdicts[1]);
  return verdicts[0];
}

test("Ed25519: the vectors of RFC 8032 hold, and with any bit changed they don't", async () => {
  for (const [key, message, signature] of RFC_8032.map((v) => v.map(unhex))) {
    assert.equal(await holds(key, signature, message), true);
    assert.equal(await holds(key, signature, join(message, [0])), false);
    for (let i = 0; i < 64; i += 7) assert.equal(await holds(key, flip(signature, i, 1 << (i % 8)), message), false);
    for (let i = 0; i < 32; i += 5) assert.equal(await holds(flip(key, i), signature, message), false);
  }
});

test("Ed25519 is strict: S below L, no small order, one encoding, cofactorless", async () => {
  const [key, message, signature] = RFC_8032[1].map(unhex);
  const order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
  const littleInt = (bytes) => BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`);
  const larger = be(littleInt(signature.slice(32)) + littleInt(unhex(order)), 32).reverse();
  assert.equal(await holds(key, join(signature.slice(0, 32), larger), message), false);
  const { COFACTORED } = internals;
  assert.equal(await holds(COFACTORED.key, COFACTORED.signature, COFACTORED.message), false);
  // With a key of small order, R = S·B − k·A is easy to find: S = 0, R = identity holds for the identity as key.
  const weak = ["01" + "00".repeat(31), "ec" + "ff".repeat(30) + "7f", "00".repeat(32), "01" + "00".repeat(30) + "80",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ee" + "ff".repeat(30) + "7f", "ed" + "ff".repeat(30) + "ff"].map(unhex);
  for (const point of weak) {
    assert.equal(await holds(point, join(weak[0], new Uint8Array(32)), message), false);
    assert.equal(await holds(key, join(point, signature.slice(32)), message), false);
  }
  assert.equal(await ed25519Slow(weak[0], join(weak[0], new Uint8Array(32)), message), true, "the equation alone would accept it");
  // y = 3 + p: the same point as y = 3, spelt otherwise.
  assert.equal(await holds(unhex("f0" + "ff".repeat(30) + "7f"), signature, message), false);
});

// RFC 9381 Appendix B.4, examples 19 to 21: public key, alpha, H, pi, beta.
const RFC_9381 = [
  ["d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "", "b8066ebbb706c72b64390324e4a3276f129569eab100c26b9f05011200c1bad9",
    "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2fb37831e00f0acaa6d73bc9997b06501",
    "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cccf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54"],
  ["3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72", "76ac3ccb86158a9104dff819b1ca293426d305fd76b39b13c9356d9b58c08e57",
    "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef055b48372bb82efbdce8e10c8cb9a2f9d60e93908f93df1623ad78a86a028d6bc064dbfc75a6a57379ef855dc6733801",
    "38561d6b77b71d30eb97a062168ae12b667ce5c28caccdf76bc88e093e4635987cd96814ce55b4689b3dd2947f80e59aac7b7675f8083865b46c89b2ce9cc735"],
  ["fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82", "13d2a8b5ca32db7e98094a61f656a08c6c964344e058879a386a947a4e189ed1",
    "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce35b46edfc655bc828d44ad09d1150f31374e7ef73027e14760d42e77341fe05467bb286cc2c9d7fde29120a0b2320d04",
    "121b7f9b9aaaa29099fc04a94ba52784d44eac976dd1a3cca458733be5cd090a7b5fbd148444f17f8daf1fb55cb04b1ae85a626e30a54b4b0f8abf4a43314a58"],
];

test("the VRF: the vectors of RFC 9381 hold, and with any bit changed they don't", async () => {
  for (const [key, alpha, h, pi, beta] of RFC_9381.map((v) => v.map(unhex))) {
    const point = internals.elligator(await internals.hashToField(join(key, alpha)));
    assert.equal(hex(internals.encodePoint(internals.timesEight(point))), hex(h));
    assert.equal(hex(await vrf(key, alpha, pi)), hex(beta));
    assert.equal(await vrf(key, join(alpha, "x"), pi), null);
  }
  const [key, alpha, , pi] = RFC_9381[0].map(unhex);
  for (let i = 0; i < 80; i++) assert.equal(await vrf(key, alpha, flip(pi, i, 1 << (i % 8))), null, `byte ${i}`);
  const identity = unhex("01" + "00".repeat(31));
  assert.equal(await vrf(identity, alpha, pi), null, "a key of small order");
  for (const tag of [vectors.tag.open, vectors.tag.secret]) {
    const output = await vrf(unhex(vectors.tag.vrf_public_key), new TextEncoder().encode(tag.alpha), unhex(tag.vrf_proof));
    assert.equal(hex(output.slice(0, 32)), tag.tag);
  }
});

test("Merkle proofs of every tree up to 20 leaves, and none with a hash more or less", () => {
  const leaves = Array.from({ length: 20 }, (_, i) => internals.H([i]));
  const { rootOfInclusion, isConsistent, rootOfRange } = internals;
  const is = (got, root) => got !== null && hex(got) === hex(root);
  for (let n = 1; n <= 20; n++) {
    const tree = leaves.slice(0, n);
    const root = mth(tree);
    for (let i = 0; i < n; i++) {
      const path = inclusion(i, tree);
      assert.ok(is(rootOfInclusion(tree[i], i, n, path), root));
      assert.ok(!is(rootOfInclusion(tree[i], i, n, [...path, root]), root));
      if (n > 1) assert.ok(!is(rootOfInclusion(tree[i], i, n, path.slice(1)), root));
      assert.ok(!is(rootOfInclusion(tree[i], n, n, path), root));
      const proof = consistency(i + 1, tree);
      const old = mth(tree.slice(0, i + 1));
      assert.ok(isConsistent(i + 1, old, n, root, proof));
      assert.ok(!isConsistent(i + 1, leaves[19 - i], n, root, proof) || hex(old) === hex(leaves[19 - i]));
      assert.ok(!isConsistent(i + 1, old, n, root, [...proof, root]));
    }
    for (let a = 0; a <= n; a++) {
      for (let b = a; b <= n; b++) {
        const [before, after] = range(tree, a, b);
        assert.ok(is(rootOfRange(n, a, b, tree.slice(a, b), before, after), root), `${a} to ${b} of ${n}`);
        assert.equal(rootOfRange(n, a, b, tree.slice(a, b), [...before, root], after), null);
        assert.equal(rootOfRange(n, a, b, tree.slice(a, b), before, [...after, root]), null);
        if (before.length > 0) assert.equal(rootOfRange(n, a, b, tree.slice(a, b), before.slice(1), after), null);
      }
    }
  }
});

test("the published trees: audit path, consistency, root", () => {
  const { log, batch } = vectors;
  const leaves = log.leaf_hashes.map(unhex);
  const path = batch.batch_tree.audit_path_of_3.map(unhex);
  const { records, root } = batch.batch_tree;
  const stated = ({ kind, stated, tag, record_hash }) => ({ kind, flags: stated, tag: unhex(tag), recordHash: unhex(record_hash) });
  for (const it of records) assert.equal(hex(internals.batchLeaf(stated(it))), it.batch_leaf);
  assert.equal(hex(mth(records.map((it) => unhex(it.batch_leaf)))), root);
  assert.equal(hex(internals.rootOfInclusion(internals.batchLeaf(stated(records[3])), 3, 5, path)), root);
  assert.equal(hex(mth(leaves)), log.root);
  assert.ok(internals.isConsistent(3, unhex(log.old_root_of_3), 5, unhex(log.root), log.consistency_proof_3_to_5.map(unhex)));
});

test("an act has the signatures of as many authorities as the rule says, each once, for this log", async () => {
  const { cases, parties, rule, signer, origin, time_ms: timeMs } = read("authority.json");
  const terms = {
    origin, timeMs, signer: unhex(signer), rule: { ...rule, authorities: rule.authorities.map(unhex) },
    parties: parties.map((p) => ({ authorId: unhex(p.author_id), keyId: unhex(p.key_id), key: unhex(p.key), roles: p.roles })),
  };
  for (const { name, record, code } of cases) {
    for (const slow of [false, true]) assert.equal(await checkAct(unhex(record), terms, slow), code, name);
  }
  // Without a rule each authority acts alone; and what is there must be good all the same.
  const alone = { ...terms, rule: null };
  for (const { name, record, code } of cases) {
    assert.equal(await checkAct(unhex(record), alone), code === "SIGNATURES_MISSING" ? null : code, name);
  }
});

test("a rule guards what gives power, and not what takes it away; a genesis may have one", async () => {
  const { cases, genesis, authorities, needed, signer, party, key_id, quota_default: quotaDefault } = read("guarded.json");
  const says = internals.message("Genesis", unhex(genesis), "genesis");
  assert.deepEqual([says.rule.needed, says.rule.acts, says.rule.authorities.map(hex)], [needed, 511, authorities]);
  for (const { name, record, held, held_quota: quota, own, guarded_by_511, guarded_by_127, guarded_by_15 } of cases) {
    const about = { authorId: unhex(party), keyId: unhex(key_id), key: new Uint8Array(32), roles: held, quota };
    const first = { authorId: unhex(signer), keyId: new Uint8Array(32), key: new Uint8Array(32), roles: 64 };
    const terms = { origin: "example.org/two", timeMs: 1, signer: unhex(own ? party : signer), parties: [about, first], quotaDefault };
    for (const [acts, guarded] of [[511, guarded_by_511], [127, guarded_by_127], [15, guarded_by_15]]) {
      const rule = { needed, acts, authorities: authorities.map(unhex) };
      assert.equal(await checkAct(unhex(record), { ...terms, rule }), guarded ? "SIGNATURES_MISSING" : null, `${name} by ${acts}`);
    }
  }
});

test("records of the two doors are read, and hash as the vectors say", () => {
  const { records, salt } = read("doors.json");
  assert.equal(records.length, 7);
  for (const { name, record, details, record_hash } of records) {
    const says = internals.message("Record", unhex(record), "entries");
    assert.equal(internals.KINDS[says.kind], name);
    assert.equal(says.details ?? "", details, name);
    assert.equal(hex(internals.H([0], unhex(salt), unhex(record))), record_hash, name);
  }
  const { listed, removed } = internals.message("Record", unhex(records[0].record), "entries").act.sources;
  assert.deepEqual([listed.length, listed[0].id, listed[0].silent_after_s, removed], [1, "radiology.pacs", 90000, ["radiology.old"]]);
});

test("records and entries: what the vectors accept is read, what they refuse is refused", () => {
  const rules = read("rules.json");
  for (const { name, tag, salt, bytes, record_hash } of rules.records) {
    const says = internals.message("Record", unhex(bytes), "entries");
    assert.equal(says.version, 1, name);
    if (tag) assert.equal(hex(says.tag), tag);
    assert.equal(hex(internals.H([0], unhex(salt), unhex(bytes))), record_hash);
  }
  for (const { name, bytes, code } of rules.refused_records) {
    const says = () => {
      const record = internals.message("Record", unhex(bytes), "entries");
      assert.ok(record.version === 1 && record.kind in internals.KINDS);
    };
    assert.throws(says, undefined, `${name}: ${code}`);
  }
  for (const { name, bytes, index, leaf_hash, batch_leaf } of rules.entries) {
    const it = internals.entry(unhex(bytes), "x");
    assert.equal(it.index, index, name);
    assert.equal(hex(internals.leafHash(unhex(bytes))), leaf_hash);
    if (batch_leaf) assert.equal(hex(internals.batchLeaf(it)), batch_leaf, name);
  }
  for (const { name, bytes } of rules.refused_entries) assert.throws(() => internals.entry(unhex(bytes), "x"), internals.Failure, name);
});

test("a patient's own device: the act commits to both tags, and each half and mark is that of the vectors", () => {
  const { device, records } = read("rules.json");
  const halves = device.tags.map((tag, i) => internals.deviceHalf(unhex(device.salts[i]), unhex(tag)));
  assert.deepEqual(halves.map(hex), device.halves);
  for (const [one, other] of [[0, 1], [1, 0]]) assert.equal(hex(internals.deviceCommitment(halves[one], halves[other])), device.commitment);
  const marks = device.tags.map((tag, i) => internals.deviceMark(unhex(device.salts[i]), unhex(device.author_id), unhex(tag)));
  assert.deepEqual(marks.map(hex), device.readings);
  const act = records.find(({ name }) => name === "a patient's own device");
  const { registered } = internals.message("Record", unhex(act.bytes), "entries").act;
  assert.equal(hex(registered.patient_commitment), device.commitment);
  assert.equal(registered.patient_tag, undefined);
});

// ---------------------------------------------------------------------------------------------------------------------
// Checkpoints, policies, proof files

const text = (t) => new TextEncoder().encode(t);

test("the published checkpoint holds under its policy, and with any byte changed it doesn't", async () => {
  const { checkpoint, policy, witness_time_s } = vectors.log;
  const result = await verify([{ name: "checkpoint", bytes: text(checkpoint) }], policy);
  assert.equal(result.ok, true);
  assert.equal(result.reports[0].asOfS, witness_time_s);
  assert.equal(result.reports[0].root, vectors.log.root);
  const bytes = text(checkpoint);
  for (let i = 0; i < bytes.length; i++) {
    const changed = await verify([{ name: "checkpoint", bytes: flip(bytes, i) }], policy);
    assert.equal(changed.ok, false, `byte ${i}`);
    assert.equal(changed.errors[0].part, "checkpoint");
  }
});

test("without a policy, or with a broken one, nothing is proven", async () => {
  const [log, w1, w2, w3] = POLICY.split("\n");
  const broken = [
    undefined, "", null, 7, "\n", `${log}\n`, `${log}\r\nquorum none\n`, `${log}\nquorum node-1\n`, `${log}\n${w1}\nquorum none\nquorum none\n`,
    `${log}\n${w1}\n${w1}\nquorum none\n`, `${log}\n${log}\nquorum none\n`, `${log}\n${w1}\n${w1.replace("node-1", "other")}\nquorum none\n`,
    `${log}\n${w1}\ngroup g 2 node-1\nquorum g\n`, `${log}\n${w1}\ngroup g 0 node-1\nquorum g\n`, `${log}\n${w1}\ngroup g 01 node-1\nquorum g\n`,
    `${log}\n${w1}\ngroup g any node-1 node-1\nquorum g\n`, `${log}\n${w1}\ngroup none any node-1\nquorum none\n`, `${log}\ngroup g any none\nquorum g\n`,
    `${log}\n${w1}\ngroup g any node-1\ngroup h any node-1\nquorum h\n`, `${log.replace(/\+[0-9a-f]{8}\+/, "+00000000+")}\nquorum none\n`, `${log} a b\nquorum none\n`,
    `log ${w1.split(" ")[2]}\nquorum none\n`, `lag x\n${log}\nquorum none\n`,
    // Cut in its last line, or changed by an editor.
    `${log}\nquorum none`, `${log}\n${w1}\ngroup g any node-1\nquorum g`, `${log}\nquorum none\n# end`, `\ufeff${log}\nquorum none\n`,
  ];
  for (const policy of broken) {
    const { ok, errors } = await verify([{ name: "x.sillage-trace", bytes: whole }], policy);
    assert.equal(ok, false, String(policy));
    assert.equal(errors[0].part, "policy", String(policy));
  }
  const odd = `# comment\n\t ${log}\thttps://log.example/\n\n${w1}\n${w2}\n ${w3} https://w.example/\ngroup nodes all node-1 node-2 node-3\nquorum nodes\n`;
  assert.equal((await check(whole, {}, "x.sillage-trace", odd)).ok, true);
  assert.equal((await check(whole, {}, "x.sillage-trace", `${odd}\n   # end   \n`)).ok, true, "empty lines and spaces are nothing");
  assert.match((await check(whole, {}, "x.sillage-trace", odd.slice(0, -1))).errors[0].message, /was cut/);
  assert.equal((await verify([], POLICY)).ok, false, "no file is no proof");
});

test("a quorum counts whom the policy names, and only them", async () => {
  const note2 = (signing) => file([note(state.size, state.root(), signing), ...parts.slice(1)]);
  assert.equal((await check(note2({ signers: [1, 3] }))).ok, true);
  await refused(note2({ signers: [2] }), "checkpoint");
  await refused(note2({ signers: [] }), "checkpoint"); // the log key alone
  await refused(note2({ signers: [2, 2] }), "checkpoint"); // one node twice is one node
  await refused(note2({ log: false }), "checkpoint");
  const { reports } = await check(note2({ signers: [1, 3] }));
  assert.deepEqual(reports[0].groups, [{ name: "nodes", signed: 2, of: 3 }]);
});

test("an old checkpoint is not passed off as fresh, nor one from the future", async () => {
  const at = (timeS) => file([note(state.size, state.root(), { timeS }), ...parts.slice(1)]);
  assert.equal((await check(at(NOW_S - 300), { maxAgeS: 300 })).ok, true);
  await refused(at(NOW_S - 301), "checkpoint", { maxAgeS: 300 });
  await refused(at(NOW_S + 301), "checkpoint", { maxAgeS: 300 });
  assert.equal((await check(at(1), {})).ok, true, "no age was asked for");
  const none = POLICY.replace("quorum nodes", "quorum none");
  assert.equal((await check(whole, {}, "x.sillage-trace", none)).ok, true);
  assert.equal((await check(whole, { maxAgeS: 300 }, "x.sillage-trace", none)).ok, false, "no time stands in the log's own signature");
});

test("a proof of one entry, and with any byte changed it fails", async () => {
  const proof = tlogProof(state, 3);
  const { ok, reports } = await check(proof, {}, "x.tlog-proof");
  assert.equal(ok, true);
  assert.deepEqual([reports[0].entry.index, reports[0].entry.type, reports[0].cosigners.length], [3, "record", 3]);
  for (let i = 0; i < proof.length; i++) {
    const changed = await check(flip(proof, i), {}, "x.tlog-proof");
    assert.equal(changed.ok, false, `byte ${i}`);
    assert.match(changed.errors[0].part, /^(header|extra|index|inclusion|checkpoint|signatures)$/);
  }
  await refused(text(vectors.log.tlog_proof_of_3), "extra", {}, "x.tlog-proof");
  const longer = Buffer.from(proof).toString("latin1").replace("\n\n", `\n${"A".repeat(43)}=\n\n`);
  await refused(new Uint8Array(Buffer.from(longer, "latin1")), "inclusion", {}, "x.tlog-proof");
});

// ---------------------------------------------------------------------------------------------------------------------
// Bundles

test("a whole trace is proven, entry by entry, erased ones with when and why", async () => {
  const { ok, reports, errors } = await check(whole);
  assert.deepEqual(errors, []);
  assert.equal(ok, true);
  const [report] = reports;
  assert.equal(report.complete, true);
  assert.deepEqual(report.identity, { ins: vectors.tag.ins, oid: vectors.tag.oid, compartment: "open" });
  assert.deepEqual(report.entries.map((e) => [e.index, e.kind, e.state]), [
    [2, "access.read", "shown"], [4, "access.search", "shown"], [5, "access.read", "erased"], [7, "payload.erased", "shown"],
  ]);
  assert.equal(report.entries[2].erased.ground, "RETENTION");
  assert.equal(report.entries[2].erased.index, 7);
  assert.equal(report.entries[1].record.actor.label, "Dr Claire Dubois");
  const french = (await check(whole, { lang: "fr" })).reports[0].text.join("\n");
  assert.match(french, /La trace est complète : 4/);
  assert.match(french, /contenu effacé le 2026-01-01 .* : RETENTION/);
  assert.equal((await check(whole, { slow: true })).ok, true, "without the engine's Ed25519");
});

test("every single byte of it counts, and the part that is damaged is named", async () => {
  let at = 17;
  const part = Array.from({ length: at }, () => "header");
  parts.forEach((body, i) => {
    const length = 5 + body.length + 32;
    part.push(...Array.from({ length }, () => internals.SECTIONS[i]));
    at += length;
  });
  assert.equal(at, whole.length);
  for (let i = 0; i < whole.length; i++) await refused(flip(whole, i, 1 << (i % 8)), part[i]);
});

test("cut short or made longer anywhere, it is refused", async () => {
  for (let length = 0; length < whole.length; length += 3) {
    const { ok, errors } = await check(whole.slice(0, length));
    assert.equal(ok, false);
    assert.equal(errors.length, 1);
  }
  await refused(join(whole, [0]), "since");
  for (const [i, part] of internals.SECTIONS.slice(0, 9).entries()) {
    const longer = parts.map((body, j) => (i === j ? join(body, [0]) : body));
    await refused(file(longer), part);
    const shorter = parts.map((body, j) => (i === j ? body.slice(0, -1) : body));
    await refused(file(shorter), part);
    await refused(file(parts.map((body, j) => (i === j ? null : body))), part);
  }
});

test("with the checks made right again, every byte still counts", async () => {
  const names = Buffer.from(parts[6]).indexOf("made");
  for (const [i, body] of parts.entries()) {
    // Computing a tag takes some milliseconds: of the parts behind it, not every byte.
    for (let at = 0; at < body.length; at += i < 3 ? 1 : 7) {
      if (i === 6 && at >= names) continue; // the author's name is the node's word, and not a claim that is checked
      const changed = parts.map((b, j) => (i === j ? flip(b, at, 1 << (at % 8)) : b));
      const { ok, reports, errors } = await check(file(changed));
      if (ok) assert.ok(i === 0 && reports[0].cosigners.length === 2, `${internals.SECTIONS[i]}, byte ${at}`);
      else assert.ok(internals.SECTIONS.includes(errors[0].part), errors[0].part);
    }
  }
});

test("no noise makes it throw", async () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647);
  for (let round = 0; round < 300; round++) {
    const i = random() % parts.length;
    const body = Uint8Array.from(parts[i]);
    for (let k = 0; k < 4; k++) body[random() % body.length] = [0, 255, 128, random() & 255][random() % 4];
    const changed = parts.map((b, j) => (i === j ? body : b));
    const { ok, errors } = await check(file(changed));
    assert.ok(ok || errors.every((e) => internals.SECTIONS.includes(e.part) && !/undefined|not a function|not iterable/.test(e.message)), JSON.stringify(errors));
  }
});

const nothing = () => new MadeLog().batch([{ tag: new Uint8Array(32).fill(7) }]).commit();

test("absence is proven by the same kind of proof", async () => {
  const { ok, reports } = await check(file(bodies(nothing())));
  assert.equal(ok, true);
  assert.deepEqual([reports[0].n, reports[0].complete], [0, true]);
  assert.match(reports[0].text.join("\n"), /nothing was logged for this patient/);
});

test("a trace can't be shown shorter, emptier, in another order or with another entry", async () => {
  const [n] = [state.items.length];
  const short = { ...state, items: state.items.slice(0, n - 1), leaves: state.leaves.slice(0, n - 1) };
  const fewer = bodies(short);
  await refused(file([...parts.slice(0, 5), ...fewer.slice(5)]), "range"); // says that there are three
  await refused(file([...parts.slice(0, 8), fewer[8]]), "range"); // says four, shows three
  await refused(file([...parts.slice(0, 5), ...bodies(nothing()).slice(5)]), "bucket"); // says that there are none
  const swapped = { ...state, items: [state.items[1], state.items[0], ...state.items.slice(2)] };
  await refused(file([...parts.slice(0, 8), bodies(swapped)[8]]), "range");
  const altered = { ...state, items: state.items.map((it, i) => (i === 1 ? { ...it, record: flip(it.record, 1) } : it)) };
  await refused(file([...parts.slice(0, 8), bodies(altered)[8]]), "entries");
  // An index that leaves the entry out, in a log whose nodes all sign: the bundle agrees with itself. That is what auditors are for.
  const poorer = new MadeLog().batch([{}, {}]);
  poorer.items.pop();
  assert.equal((await check(file(bodies(poorer.commit())))).ok, true);
  assert.match((await check(whole)).reports[0].text.join("\n"), /No auditor has cosigned/);
});

test("an operator can't order the entries of one tree at will", async () => {
  const log = new MadeLog().batch([{}, {}]);
  log.items.reverse();
  await refused(file(bodies(log.commit())), "entries");
  const twice = new MadeLog().batch([{}, {}]);
  twice.items.push(twice.items[1]);
  await refused(file(bodies(twice.commit())), "entries");
});

test("an entry of another patient, a record of another kind, a batch that its author did not sign", async () => {
  const other = new MadeLog().batch([{}, {}]);
  other.items[1] = { ...other.items[1], entry: flip(other.items[1].entry, 22) };
  other.entries[3] = other.items[1].entry;
  await refused(file(bodies(other.commit())), "entries");
  const kind = new MadeLog().batch([{}, { body: [[5, proto()], [4, proto()]] }]);
  await refused(file(bodies(kind.commit())), "entries"); // fields out of their order
  const forged = new MadeLog().batch([{}, {}]);
  const bad = flip(forged.items[0].batch, forged.items[0].batch.length - 40);
  forged.items.forEach((it) => (it.batch = bad));
  await refused(file(bodies(forged.commit())), "batches");
  const author = parts.map((b, j) => (j === 6 ? join(be(2, 4), b.slice(4), b.slice(4)) : b));
  await refused(file(author), "authors");
  const unused = parts.map((b, j) => (j === 7 ? join(be(3, 4), b.slice(4), flip(b.slice(4, 152), 50)) : b));
  await refused(file(unused), "batches");
});

test("what the author stated of a record can't be filed otherwise", async () => {
  const of = (...records) => new MadeLog().batch(records);
  const trace = (log) => file(bodies(log.commit()));
  const basis = (kind) => [9, proto([1, kind])];
  const deferred = [13, proto([1, "an outage"])];
  const [decision, team] = [1, 3];
  const day = 86_400_000;
  const other = new Uint8Array(32).fill(7);
  const good = [{}, { body: [basis(decision), deferred], ageMs: 2 * day }, { kind: 0x0202 }, { kind: 0x0701, ageMs: day - 1000 }];
  const { ok, reports } = await check(trace(of(...good)));
  assert.equal(ok, true);
  assert.deepEqual(reports[0].entries.map((e) => e.flags), [["UNJUSTIFIED"], ["LATE", "DEFERRED"], [], []]);
  assert.deepEqual(reports[0].entries.map((e) => e.unjustifiedReason), ["NO_BASIS", null, null, null]);
  // Of a record that another patient's trace should hold, and of others: the record tells.
  await refused(trace(of({}, { tag: other, filed: { tag: TAG } })), "entries");
  await refused(trace(of({ filed: { kind: 0x0606 } })), "entries");
  for (const flags of [0, 5, 17, 3, 1 | 4 << 8, 16]) await refused(trace(of({ filed: { flags } })), "entries");
  for (const flags of [48, 20, 4, 0, 36, 53, 52 | 2]) await refused(trace(of({ body: [basis(decision), deferred], filed: { flags } })), "entries");
  // What another basis is isn't looked up, and nobody may say that it was.
  for (const flags of [48, 17 | 1 << 8]) await refused(trace(of({ body: [basis(team)], filed: { flags } })), "entries");
  // A basis that points to an entry may be found not to hold, for one of four reasons; another basis is not looked up.
  for (const [number, reason] of ["UNKNOWN_REFERENCE", "OTHER_ACTOR", "BEYOND", "EXPIRED"].entries()) {
    const flags = 49 | (number + 1) << 8;
    const found = await check(trace(of({ body: [basis(decision)], filed: { flags } })));
    assert.equal(found.reports[0].entries[0].unjustifiedReason, reason);
    await refused(trace(of({ body: [basis(team)], filed: { flags } })), "entries");
  }
  // Nothing on record supports it: claimed, and unproven where a policy asks for proof. Of what is cited, and of what isn't an
  // access or movement, nobody says so.
  for (const [flags, reason] of [[80, null], [81 | 5 << 8, "UNPROVEN"]]) {
    const found = await check(trace(of({ body: [basis(team)], filed: { flags } })));
    assert.equal(found.reports[0].entries[0].unjustifiedReason, reason);
    assert.ok(found.reports[0].entries[0].flags.includes("CLAIMED"));
    await refused(trace(of({ body: [basis(decision)], filed: { flags: flags | 32 } })), "entries");
    await refused(trace(of({ kind: 0x0202, body: [basis(team)], filed: { flags } })), "entries");
  }
  for (const flags of [17 | 5 << 8, 81, 81 | 1 << 8, 64]) await refused(trace(of({ body: [basis(team)], filed: { flags } })), "entries");
  // A record of any kind may be late, by a policy sooner than by the genesis, and never within a minute.
  assert.equal((await check(trace(of({ kind: 0x0202, ageMs: 61_000, filed: { flags: 2 } })))).ok, true);
  await refused(trace(of({ kind: 0x0202, ageMs: 59_000, filed: { flags: 2 } })), "entries");
  // Where the record is gone, the author's signature still tells: an erasure is on record, so nothing else is wrong.
  const erasure = { kind: 0x0a0a, body: [[19, proto([5, proto([2, 1], [3, "ORDER"])])]] };
  const gone = (record) => trace(of({ gone: true, body: [basis(decision)], ...record }, erasure));
  assert.equal((await check(gone({}))).ok, true);
  const words = async (record) => (await check(gone(record))).errors[0]?.message;
  assert.match(await words({ tag: other, filed: { tag: TAG } }), /not in the batch that its author signed/);
  assert.match(await words({ filed: { kind: 0x0606 } }), /not in the batch that its author signed/);
  assert.match(await words({ filed: { flags: 52 } }), /not in the batch that its author signed/);
  assert.match(await words({ filed: { flags: 16 } }), /not in the batch that its author signed/);
  assert.match(await words({ filed: { flags: 1 } }), /not in the batch that its author signed/);
  assert.match(await words({ filed: { flags: 0 } }), /flagged otherwise/);
  assert.match(await words({ filed: { flags: 17 } }), /flagged otherwise/);
});

test("a decision is shown in both its parts, and what its actor was told is what was decided", async () => {
  const outcomes = [["d1", true, "CONSENT_GRANT"], ["d2", false, "MASKED"], ["d3", false, "NOT_OWNER"]];
  const trace = (say) => file(bodies(new MadeLog().batch([{}]).decision(outcomes, say).commit()));
  const { ok, reports } = await check(trace({}));
  assert.equal(ok, true);
  assert.equal(reports[0].entries[1].kind, "decision.made");
  const request = proto([1, 1], [2, TAG], [6, "read"]);
  assert.equal((await check(trace({ request }))).ok, true);
  // From feature level 4 on: with the login of who asked, and what the ledger says of it.
  const login = proto([1, "a.b.c"], [4, new Uint8Array(32).fill(1)], [5, new Uint8Array(64).fill(2)]);
  const asked = { request: join(request, proto([12, login])), asker: proto([1, "https://idp.example"], [2, "substantial"]) };
  assert.equal((await check(trace(asked))).ok, true);
  const refuse = async (say) => await refused(trace(say), "entries");
  await refuse({ permitted: [] });
  await refuse({ permitted: ["d1", "d2"] });
  await refuse({ told: ["d1"] });
  await refuse({ told: ["d1", "d2", "d3"] });
  await refuse({ tag: new Uint8Array(32).fill(7) });
  await refuse({ atMs: 1767225600001 + 86_400_000 });
  await refuse({ request, hashed: join("something else") });
  await refuse({ request: join("anything") });
  await refuse({ ...asked, asker: proto([4, "unknown"]) });
  await refuse({ request: join(request, proto([12, proto([7, "unknown"])])) });
  await refuse({ filed: { kind: 0x0907 } });
  await refuse({ filed: { flags: 10 } });
  await refuse({ filed: { position: 1 } });
});

test("a refusal of nothing but items of the second tag stands there and names the open one, and no other decision does", async () => {
  const open = new Uint8Array(32).fill(7);
  const request = (secret) => proto([1, 1], [2, open], [3, secret], [6, "read"]);
  const trace = (outcomes, say) => file(bodies(new MadeLog().batch([{}]).decision(outcomes, say).commit()));
  const [refusal, grant] = [[["d1", false, "NO_CONSENT"]], [["d1", true, "SELF"]]];
  assert.equal((await check(trace(refusal, { tag: open, request: request(TAG) }))).ok, true);
  assert.equal((await check(trace(grant, { request: request(TAG) }))).ok, true);
  const another = [["d1", false, "NOT_OWNER"]];
  assert.equal((await check(trace(another, { tag: open, request: request(TAG), told: [] }))).ok, true);
  await refused(trace(another, { tag: open, request: request(TAG) }), "entries");
  await refused(trace(refusal, { request: request(TAG) }), "entries");
  await refused(trace(grant, { tag: open, request: request(TAG) }), "entries");
  await refused(trace(refusal, { tag: open, request: request(new Uint8Array(32).fill(8)) }), "entries");
  await refused(trace(refusal, { tag: open, request: proto([1, 1], [2, open], [6, "read"]) }), "entries");
});

test("a trace that agrees with itself still has to be as the format says", async () => {
  const of = (lies) => file(bodies(new MadeLog(lies).batch([{}, {}]).commit()));
  assert.equal((await check(of({}))).ok, true);
  await refused(of({ unsorted: true }), "bucket");
  await refused(of({ stray: true }), "bucket");
  await refused(of({ depth: 4 }), "index commit");
  await refused(of({ tagLast: 1 }), "identity");
  await refused(file(bodies(new MadeLog().batch([{ says: new Uint8Array(32).fill(7) }]).commit())), "entries");
  await refused(file(bodies(new MadeLog().batch([{ gone: true }, {}]).commit())), "entries"); // and no erasure says why
  const flagged = new MadeLog().batch([{}]);
  flagged.items[0].entry[3] = 8; // made by the ledger, it says; the same bytes stand in the log
  await refused(file(bodies(flagged.commit())), "entries");
  const repeated = new MadeLog().batch([{}]);
  const [it] = repeated.items;
  repeated.items.push({ ...it, entry: repeated.push(2, 0, it.entry.slice(20)), index: 3 });
  await refused(file(bodies(repeated.commit())), "entries");
  const renumbered = new MadeLog().batch([{}]);
  renumbered.seq = 0;
  await refused(file(bodies(renumbered.batch([{ kind: 0x0602 }]).commit())), "batches");
  const twins = bodies(new MadeLog().batch([{}]).batch([{}]).commit());
  twins[6] = join(be(2, 4), twins[6].slice(4), twins[6].slice(4));
  twins[7][4 + 144 + 3] = 1;
  await refused(file(twins), "authors");
});

test("a patient's trace is no other patient's, and another log's checkpoint is not ours", async () => {
  const { ins } = vectors.tag;
  const who = Buffer.from(parts[3]);
  await refused(file(parts.map((b, j) => (j === 3 ? flip(b, who.indexOf(ins) + 3) : b))), "identity");
  await refused(file(parts.map((b, j) => (j === 3 ? flip(b, b.length - 1) : b))), "identity");
  await refused(file(parts.map((b, j) => (j === 3 ? flip(b, who.indexOf("1.2.250") + vectors.tag.oid.length) : b))), "identity"); // secret
  const stranger = POLICY.replace(/^log .*$/m, (line) => line).replaceAll("ledger.example/vectors", "ledger.example/other");
  const { errors } = await check(whole, {}, "x.sillage-trace", stranger);
  assert.equal(errors[0].part, "policy", "the key id binds the name");
  await refused(file([note(state.size, new Uint8Array(32)), ...parts.slice(1)]), "genesis");
});

test("pages and deltas add up, and only to what they continue", async () => {
  const log = new MadeLog().batch([{}, {}, {}]);
  const first = log.commit();
  log.batch([{}, { tag: new Uint8Array(32).fill(7) }, {}]);
  const second = log.commit();
  const named = (name, bytes) => ({ name, bytes });
  const base = named("base", file(bodies(first)));
  const delta = named("delta", file(bodies(second, { a: 3, since: first })));
  const both = await verify([base, delta], POLICY);
  assert.deepEqual(both.errors, []);
  assert.deepEqual(both.reports.map((r) => r.complete), [true, true]);
  assert.equal(both.reports[1].since.linked, true);
  const alone = await verify([delta], POLICY);
  assert.equal(alone.ok, true);
  assert.deepEqual([alone.reports[0].complete, alone.reports[0].since.linked], [false, false]);
  const page = named("page", file(bodies(first, { b: 2 })));
  assert.equal((await verify([page, delta], POLICY)).reports[1].since.linked, false, "what it continues must go to the end");
  const pages = [[0, 2], [2, 4], [4, 5]].map(([a, b]) => named(`page ${a}`, file(bodies(second, { a, b }))));
  assert.deepEqual((await verify(pages, POLICY)).reports.map((r) => r.complete), [true, true, true]);
  assert.deepEqual((await verify([pages[0], pages[2]], POLICY)).reports.map((r) => r.complete), [false, false]);

  // A base of the same log size with other entries: the delta is not its continuation.
  const elsewhere = new MadeLog().batch([{}, { tag: new Uint8Array(32).fill(7) }, {}]);
  const wrong = await verify([named("base", file(bodies(elsewhere.commit()))), delta], POLICY);
  assert.equal(wrong.ok, false);
  assert.equal(wrong.errors[0].part, "since");
  await refused(file(bodies(second, { a: 3, b: 4, since: first })), "since"); // it ends before the end
  await refused(file([...bodies(second, { a: 2 }), bodies(second, { a: 3, since: first })[9]]), "since");
  const since = bodies(second, { a: 3, since: first });
  await refused(file([...since.slice(0, 9), flip(since[9], 12)]), "since");

  // Two histories of one length.
  const split = new MadeLog().batch([{}, {}, { kind: 0x0602 }]);
  const views = await verify([base, named("other", file(bodies(split.commit())))], POLICY);
  assert.equal(views.ok, false);
  assert.match(views.errors[0].message, /another history/);
});

// ---------------------------------------------------------------------------------------------------------------------
// The bundles of the other implementation

test("the published bundles: proven as published, tampered ones refused with the same part", async () => {
  const { bundles, continues, continues_not, policy, refused: unsatisfied, tampered } = read("bundle.json");
  const bytes = Object.fromEntries(bundles.map((b) => [b.name, internals.unbase64(b.bytes)]));
  const ask = (names, under = policy) => verify(names.map((name) => ({ name, bytes: bytes[name] ?? name })), under);
  const times = (list) => list.map((c) => [c.name, c.time_s]);
  for (const { name, report: says } of bundles) {
    const { ok, errors, reports: [got] } = await ask([name]);
    assert.ok(ok, `${name}: ${JSON.stringify(errors)}`);
    for (const key of ["origin", "size", "root", "n", "a", "b", "mth", "tag", "current"]) assert.equal(got[key], says[key], `${name}: ${key}`);
    assert.equal(got.mthBefore, says.mth_before);
    assert.deepEqual(got.identity, { ins: says.ins, oid: says.oid, compartment: says.secret ? "secret" : "open" });
    assert.deepEqual([got.commit.index, got.commit.timeMs], [says.commit_index, says.commit_time_ms]);
    for (const { name: group, signed, of } of got.groups) assert.deepEqual([signed, of], [says.cosigners[group].length, says.cosigners[`${group}_known`]]);
    const { nodes, witnesses, auditors, others } = says.cosigners;
    assert.deepEqual(got.cosigners.map((c) => [c.name, c.timeS]).sort(), times([...nodes, ...witnesses, ...auditors, ...others]).sort());
    const since = got.since && { a: got.since.a, root: got.since.root, size: got.since.size };
    assert.deepEqual(since, says.since);
    const state = (e) => (e.erased ? { erased: { ground: e.erased.ground, index: e.erased.index, time_ms: e.erased.timeMs } } : e.state);
    assert.deepEqual(
      got.entries.map((e) => ({
        author: e.author?.name ?? null, flags: e.flags, index: e.index, key_id: e.author?.keyId ?? null, kind: e.kind, state: state(e),
        time_ms: e.timeMs, unjustified_reason: e.unjustifiedReason,
      })),
      says.entries,
    );
  }
  for (const { older, newer } of continues) {
    const { ok, reports } = await ask([older, newer]);
    assert.deepEqual([ok, reports[1].since.linked, reports[1].complete], [true, true, true]);
  }
  for (const { older, newer } of continues_not) {
    const { reports } = await ask([older, newer]);
    assert.equal(reports.find((r) => r.file === newer)?.since.linked ?? false, false, `${newer} after ${older}`);
  }
  for (const { bundle, policy: other, section } of unsatisfied) {
    const { errors } = await ask([bundle], other);
    assert.equal(errors[0].part, internals.SECTIONS[section - 1]);
  }
  for (const { bundle, offset, xor, reseal, section, what } of tampered) {
    const changed = flip(bytes[bundle], offset, xor);
    const { ok, errors } = await check(reseal ? resealed(changed) : changed, {}, "x.sillage-trace", policy);
    assert.equal(ok, false, what);
    assert.equal(errors[0].part, section === null ? "header" : internals.SECTIONS[section - 1], `${what}: ${errors[0].message}`);
  }
  // And not only where the other implementation changed them: every byte of the smallest.
  const { absence } = bytes;
  for (let i = 0; i < absence.length; i++) assert.equal((await check(flip(absence, i), {}, "x.sillage-trace", policy)).ok, false, `byte ${i}`);
});

/** The same bodies with every check computed anew. */
function resealed(bytes) {
  const bodies = [];
  for (let at = 17; at < bytes.length; ) {
    const length = Buffer.from(bytes).readUInt32BE(at + 1);
    bodies.push(bytes.slice(at + 5, at + 5 + length));
    at += 5 + length + 32;
  }
  return file(bodies);
}

// ---------------------------------------------------------------------------------------------------------------------
// Words, and receipts of decisions

/** What the line of one record of ours says. */
async function said(record, lang = "fr") {
  const { ok, reports, errors } = await check(file(bodies(new MadeLog().batch([record]).commit())), { lang });
  assert.ok(ok, JSON.stringify(errors));
  return reports[0].text.at(-1);
}

test("a line says what came of it: read, refused, or asked for", async () => {
  assert.match(await said({}), /· consultation ·|  .*  consultation/);
  const failed = { body: [[10, 3]] };
  assert.match(await said(failed), /consultation : tentative sans succès \(échec ou refus\)/);
  assert.match(await said(failed, "en"), /read: attempted without success \(failed or refused\)/);
  assert.doesNotMatch(await said({ body: [[10, 1]] }), /tentative/);
  const local = JSON.stringify({ authorisation: "deny", emergency_mode: [{ id: "d9", reason: "MASKED" }] });
  const asked = { body: [[6, proto([1, "d9"])], [10, 3], [17, local]] };
  assert.match(await said(asked), /demande d’accès \(consulter\) : refusée : d9 \(document masqué\)/);
  assert.match(await said(asked, "en"), /access asked for \(read\): refused: d9 \(masked document\)/);
  const granted = { kind: 0x0605, body: [[6, proto([1, "d1"])], [17, '{"authorisation":"permit"}']] };
  assert.match(await said(granted), /demande d’accès \(télécharger\) : accordée : d1/);
  // Details are a stranger's: whatever they are, the line is there.
  for (const details of ["{", "null", "7", '{"authorisation":"permit","emergency_mode":7}', '{"authorisation":"toString"}']) {
    assert.match(await said({ body: [[6, proto([1, "constructor"])], [17, details]] }), /2026-01-01/);
  }
});

test("a line names the documents, the purpose and the right, in words, apart from what is proven", async () => {
  const items = [[6, proto([1, "d1"], [2, "REPORT"])], [6, proto([1, "d2"])]];
  const care = { body: [...items, [8, "TREAT"], [9, proto([1, 3])]] };
  assert.match(await said(care), /consultation .*documents d1 \(compte rendu\), d2 · pour des soins · en tant que membre de l’équipe de soins/);
  assert.match(await said(care, "en"), /documents d1 \(report\), d2 · for care · as a member of the care team/);
  const law = { body: [[6, proto([1, "d1"])], [8, "AUDIT"], [9, proto([1, 6], [2, "emergency-mode"])]] };
  assert.match(await said(law), /document d1 · pour le motif AUDIT · selon les règles d’urgence de l’établissement/);
  const odd = { body: [[6, proto([1, "x\u202e"])], [8, "toString"], [9, proto([1, 4], [2, "c1"])]] };
  assert.match(await said(odd, "en"), /document x\ufffd · for the purpose toString · with the patient’s consent \(c1\)/);
  const { reports: [report] } = await check(file(bodies(new MadeLog().batch([care]).commit())), { lang: "fr" });
  const { what, documents, why, basis } = report.events.at(-1);
  assert.deepEqual([what, documents, why], ["consultation", "documents d1 (compte rendu), d2", "pour des soins"]);
  assert.equal(basis, "en tant que membre de l’équipe de soins");
  assert.ok(report.statements.every((line) => !line.includes("d1")) && report.statements.some((line) => line.includes("complète")));
  assert.deepEqual(report.text.slice(0, report.statements.length), report.statements);
});

test("the words of kinds, purposes, reasons and flags are those that the programs in Rust use", () => {
  assert.deepEqual(internals.VOCABULARY, read("words.json"));
  assert.deepEqual(Object.values(internals.KINDS).sort(), Object.keys(read("words.json").kinds).sort());
});

test("every published decision reads as granted, partly granted or refused, and for what", async () => {
  const { entryWords } = internals;
  const line = (outcomes, lang) => entryWords({
    index: 9, timeMs: 1767225600000, kindCode: 0x0801, flags: ["LEDGER"], unjustifiedReason: null, author: null, state: "shown", erased: null,
    record: { actor: { label: "Dr Claire Dubois" }, items: outcomes, purpose: "TREAT", decision: { action: "read", outcomes } },
  }, lang);
  const yes = { id: "d1", permit: true, reason: "CARE_TEAM" };
  const no = { id: "d2", reason: "MASKED" };
  assert.match(line([yes], "fr"), /demande d’accès \(consulter\) : accordée : d1 \(membre de l’équipe de soins\) · Dr Claire Dubois/);
  assert.match(line([yes, no], "fr"), /accordée en partie ; accordé : d1 .*; refusé : d2 \(document masqué\)/);
  assert.match(line([no], "en"), /access asked for \(read\): refused: d2 \(masked document\)/);
  const many = Array.from({ length: 8 }, (_, i) => ({ ...no, id: `x${i}` }));
  assert.match(line(many, "en"), /x5 \(masked document\), 2 more/);
  assert.deepEqual(Object.keys(internals.WORDS.fr).sort(), Object.keys(internals.WORDS.en).sort());
  for (const table of ["came", "parts"]) {
    assert.deepEqual(Object.keys(internals.WORDS.fr[table]).sort(), Object.keys(internals.WORDS.en[table]).sort(), table);
  }
});

test("parts of a large access are one line that names all of its places, and what only claims to be a part is none", () => {
  const { accesses, entryWords } = internals;
  const part = (index, n, change = {}) => ({
    index, timeMs: 1767225600000, kindCode: 0x0601, flags: [], unjustifiedReason: null, author: { name: "dmp" }, state: "shown", erased: null,
    record: { actor: { label: "Dr A" }, items: [{ id: `d${n}` }], details: JSON.stringify({ part: { of: "ab", n, parts: 3, items: 3 } }), ...change },
  });
  const other = { ...part(12, 1), record: { actor: { label: "Dr B" }, items: [] } };
  const shown = accesses([part(11, 1), part(12, 2), part(13, 3), other]);
  assert.deepEqual(shown.map((e) => e.places ?? e.index), [[11, 12, 13], 12]);
  assert.match(entryWords(shown[0], "fr"), /documents d1, d2, d3 .* un seul accès à 3 documents, inscrit en 3 enregistrements : entrées 11 à 13/);
  assert.match(entryWords(accesses([part(11, 1)])[0], "en"), /part of an access to 3 documents, on record in 3 records, of them here: 11/);
  assert.deepEqual(accesses([part(11, 1), { ...other, index: 12 }, part(13, 2)]).map((e) => e.places ?? e.index), [[11], 12, [13]]);
  for (const stranger of [part(13, 2), { ...part(12, 2), timeMs: 1767225600001 }, part(12, 1), part(12, 3), part(12, 2, { purpose: "TREAT" }), { ...part(12, 2), author: { name: "x" } }, { ...part(12, 2), state: "erased", record: null }]) {
    assert.equal(accesses([part(11, 1), stranger]).length, 2);
  }
  assert.equal(accesses([part(11, 1, { details: "{\"part\": 5}" })])[0].part, undefined);
});

/** The receipt file of a published decision, and the policy of its log with its node. */
function published(number = 0) {
  const { decisions, node, origin } = read("decision.json");
  const it = decisions[number];
  const [part, salt, other, signature] = [it.actor_part, it.salt_a, it.private_hash, it.signature].map(unhex);
  const one = join([1], unhex(node.key_id), be(it.index, 8), be(it.time_ms, 8), signature, salt, other, be(part.length, 4), part);
  const vkey = (name, type, key) => {
    const id = hex(internals.H(join(name, "\n"), [type], key).slice(0, 4));
    return `${name}+${id}+${Buffer.from(join([type], key)).toString("base64")}`;
  };
  const witness = vkey(`${origin}/node-1`, 4, unhex(node.public_key));
  const policy = `log ${vkey(origin, 1, unhex(node.public_key))}\nwitness n1 ${witness}\ngroup nodes 1 n1\nquorum nodes\n`;
  return { it, policy, origin, one, bytes: join("sillage-receipt/v1\n", [origin.length], origin, [1], one) };
}

test("a receipt is verified, and with any byte changed or after its time it isn't", async () => {
  const { it, policy, origin, one, bytes } = published();
  const says = internals.message("DecisionActorPart", unhex(it.actor_part), "x");
  const ask = (given, atMs, lang = "en") => verify([{ name: "x.sillage-receipt", bytes: given }], policy, { atMs, lang });
  const good = await ask(bytes, it.time_ms);
  assert.ok(good.ok, JSON.stringify(good.errors));
  const [report] = good.reports;
  assert.deepEqual([report.kind, report.origin, report.receipts[0].recordHash], ["receipt", origin, it.record_hash]);
  assert.deepEqual(report.receipts[0].permitted, says.permitted);
  assert.match(report.text.join("\n"), new RegExp(`Decision no\\. ${it.index} .* valid until`));
  assert.equal((await ask(bytes, says.expires_at_ms - 1)).ok, true);
  for (const [atMs, words] of [[says.expires_at_ms, /no longer valid: it was until/], [it.time_ms - 1, /not valid yet/], [undefined, /no longer valid/]]) {
    const { ok, errors } = await ask(bytes, atMs);
    assert.equal(ok, false);
    assert.equal(errors[0].part, "validity");
    assert.match(errors[0].message, words);
  }
  assert.match((await ask(bytes, undefined, "fr")).errors[0].message, /les signatures tiennent, mais le reçu n’est plus valable/);
  for (let i = 0; i < bytes.length; i++) {
    const { ok, errors } = await ask(flip(bytes, i), it.time_ms);
    assert.equal(ok, false, `byte ${i}`);
    assert.match(errors[0].part, /^(header|receipt)$/);
  }
  for (let length = 0; length < bytes.length; length += 5) assert.equal((await ask(bytes.slice(0, length), it.time_ms)).ok, false);
  assert.equal((await ask(join(bytes, [0]), it.time_ms)).ok, false);
  const head = bytes.slice(0, bytes.length - one.length - 1);
  assert.equal((await ask(join(head, [2], one, one), it.time_ms)).ok, true, "one request, twice");
  const [other] = [published(1).one];
  assert.match((await ask(join(head, [2], one, other), it.time_ms)).errors[0].message, /different requests/);
  // Of a log, or by a node, that the policy doesn't know.
  const unknown = await verify([{ name: "x.sillage-receipt", bytes }], POLICY, { atMs: it.time_ms });
  assert.match(unknown.errors[0].message, /another log/);
  const nobody = policy.replace(/^witness.*\ngroup.*\nquorum nodes/m, "quorum none");
  assert.match((await verify([{ name: "x.sillage-receipt", bytes }], nobody, { atMs: it.time_ms })).errors[0].message, /no node of the policy/);
});

test("whoever gives something else is told what is taken", async () => {
  const { errors } = await verify([{ name: "notes.txt", bytes: text("a letter") }], POLICY, { lang: "en" });
  assert.match(errors[0].message, /\.sillage-trace, \.sillage-receipt, \.tlog-proof, or a checkpoint/);
});

test("the command line: 0 proven, 1 not proven, 2 usage", async () => {
  const folder = mkdtempSync(`${tmpdir()}/verify-`);
  const script = fileURLToPath(new URL("verify.js", import.meta.url));
  const run = (...args) => new Promise((done) => {
    execFile(process.execPath, [script, ...args], { cwd: folder }, (error, out, err) => done({ status: error ? error.code : 0, out, err }));
  });
  try {
    writeFileSync(`${folder}/policy.txt`, POLICY);
    writeFileSync(`${folder}/a.sillage-trace`, whole);
    writeFileSync(`${folder}/b.sillage-trace`, flip(whole, 1000));
    const good = await run("--policy", "policy.txt", "--lang", "en", "a.sillage-trace");
    assert.equal(good.status, 0, good.err);
    assert.match(good.out, /a\.sillage-trace: OK\n {2}Trace of the patient/);
    const json = JSON.parse((await run("--policy", "policy.txt", "--json", "a.sillage-trace")).out);
    assert.equal(json.reports[0].tag, hex(TAG));
    const bad = await run("--policy", "policy.txt", "a.sillage-trace", "b.sillage-trace");
    assert.equal(bad.status, 1);
    assert.match(bad.err, /b\.sillage-trace: \S+ \(genesis\)/);
    assert.equal((await run("--policy", "policy.txt", "--max-age", "1m", "a.sillage-trace")).status, 1);
    for (const args of [["a.sillage-trace"], ["--policy", "policy.txt"], ["--policy", "none.txt", "a.sillage-trace"], ["--what"], ["--policy", "policy.txt", "--max-age", "x", "a"]]) {
      const { status, err } = await run(...args);
      assert.equal(status, 2);
      assert.match(err, /usage:/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
