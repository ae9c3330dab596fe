// A small log made by hand, for tests and measurements: whoever holds all of its keys can make any bundle, also wrong ones.
// It encodes what verify.js decodes, from docs/formats.md, and shares only hash functions with it.

import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const vectors = JSON.parse(readFileSync(new URL("../../docs/vectors/proof.json", import.meta.url), "utf8"));

export const join = (...parts) => new Uint8Array(Buffer.concat(parts.map((p) => (typeof p === "string" ? Buffer.from(p) : Uint8Array.from(p)))));
export const H = (...parts) => new Uint8Array(createHash("sha256").update(join(...parts)).digest());
export const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));
export const base64 = (bytes) => Buffer.from(bytes).toString("base64");
export const be = (value, length) => unhex(BigInt(value).toString(16).padStart(2 * length, "0"));
const [u8, u16, u32, u64] = [1, 2, 4, 8].map((length) => (value) => be(value, length));
export const chunk = (bytes) => join(u32(bytes.length), bytes);
const list = (items) => join(u32(items.length), ...items);

/** An Ed25519 key from a seed of one repeated byte. */
export function keyPair(byte) {
  const der = join(unhex("302e020100300506032b657004220420"), new Uint8Array(32).fill(byte));
  const secret = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  const key = new Uint8Array(createPublicKey(secret).export({ format: "der", type: "spki" })).slice(-32);
  return { key, sign: (message) => new Uint8Array(sign(null, message, secret)) };
}

// RFC 6962 §2.1, by its recursion.
const split = (n) => 2 ** Math.ceil(Math.log2(n) - 1);
const node = (left, right) => H([1], left, right);
export function mth(leaves) {
  if (leaves.length < 2) return leaves[0] ?? H();
  const k = split(leaves.length);
  return node(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}
export function inclusion(index, leaves) {
  if (leaves.length < 2) return [];
  const k = split(leaves.length);
  return index < k
    ? [...inclusion(index, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...inclusion(index - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}
export function consistency(old, leaves, whole = true) {
  if (old === leaves.length) return whole ? [] : [mth(leaves)];
  const k = split(leaves.length);
  return old <= k
    ? [...consistency(old, leaves.slice(0, k), whole), mth(leaves.slice(k))]
    : [...consistency(old - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}
export function range(leaves, a, b, from = 0) {
  const end = from + leaves.length;
  if (leaves.length === 0) return [[], []];
  if (end <= a) return [[mth(leaves)], []];
  if (from >= b) return [[], [mth(leaves)]];
  if (a <= from && end <= b) return [[], []];
  const k = split(leaves.length);
  const [left, right] = [range(leaves.slice(0, k), a, b, from), range(leaves.slice(k), a, b, from + k)];
  return [[...left[0], ...right[0]], [...left[1], ...right[1]]];
}

// Protobuf, as far as needed: pairs of field number and number, text or bytes.
function varint(value) {
  const out = [];
  let v = BigInt(value);
  for (; v > 127n; v >>= 7n) out.push(Number(v & 127n) | 128);
  return [...out, Number(v)];
}
export const proto = (...fields) =>
  join(...fields.map(([number, value]) =>
    typeof value === "number" ? [...varint(number * 8), ...varint(value)] : join(varint(number * 8 + 2), varint(join(value).length), value)));

const ORIGIN = vectors.batch.batch_message.origin;
const TIME_MS = 1767225600000;
const LATE_AFTER_MS = 86_400_000;
const [LOG, AUTHOR] = [keyPair(4), keyPair(1)];
export const NODES = [11, 12, 13].map(keyPair);
const VRF_KEY = unhex(vectors.tag.vrf_public_key);
export const TAG = unhex(vectors.tag.open.tag);
const OTHER_TAG = new Uint8Array(32).fill(7);
const DEPTH = 3;
const STREAM = H("sillage/stream/v1\0", H("sillage/author/v1\0", AUTHOR.key), "made");
const ikeyOf = (tag) => H("sillage/ikey/v1\0", tag);

const vkey = (name, type, { key }) => `${name}+${Buffer.from(H(`${name}\n`, [type], key)).toString("hex").slice(0, 8)}+${base64(join([type], key))}`;
export const POLICY = [
  `log ${vkey(ORIGIN, 1, LOG)}`,
  ...NODES.map((pair, i) => `witness node-${i + 1} ${vkey(`${ORIGIN}/node-${i + 1}`, 4, pair)}`),
  "group nodes 2 node-1 node-2 node-3",
  "quorum nodes\n",
].join("\n");

/** A note over `root`, signed by the log and these nodes (numbers from 1) at `timeS`. */
export function note(size, root, { signers = [1, 2, 3], timeS = TIME_MS / 1000 + 60, log = true } = {}) {
  const text = `${ORIGIN}\n${size}\n${base64(root)}\n`;
  const id = (name, type, { key }) => H(`${name}\n`, [type], key).slice(0, 4);
  const lines = log ? [`— ${ORIGIN} ${base64(join(id(ORIGIN, 1, LOG), LOG.sign(join(text))))}\n`] : [];
  for (const i of signers) {
    const [name, pair] = [`${ORIGIN}/node-${i}`, NODES[i - 1]];
    const signature = pair.sign(join(`cosignature/v1\ntime ${timeS}\n`, text));
    lines.push(`— ${name} ${base64(join(id(name, 4, pair), u64(timeS), signature))}\n`);
  }
  return join(text, "\n", ...lines);
}

/** A log that grows by batches and index commits. */
export class MadeLog {
  /** `lies`: what its genesis or its index commits say that they should not. */
  constructor(lies = {}) {
    this.lies = lies;
    this.entries = [];
    this.items = []; // of our patient
    this.batches = [];
    const genesis = proto(
      [1, 1], [2, ORIGIN], [3, TIME_MS], [4, LOG.key], [5, VRF_KEY], [6, new Uint8Array(32)], [7, new Uint8Array(32).fill(lies.tagLast ?? 255)], [9, LATE_AFTER_MS], [10, lies.depth ?? DEPTH], [14, new Uint8Array(32).fill(9)],
    );
    this.push(4, 8, u16(0x0a0e), chunk(genesis));
    this.seq = 0;
  }
  push(type, flags, ...rest) {
    const entry = join([1, type], u16(flags), u64(this.entries.length), u64(TIME_MS + this.entries.length), ...rest);
    this.entries.push(entry);
    return entry;
  }
  leaves(size = this.entries.length) {
    return (this.hashes ??= []).length >= size
      ? this.hashes.slice(0, size)
      : (this.hashes = this.entries.map((e) => H([0], e))).slice(0, size);
  }

  /**
   * A batch of records, each `{ kind, tag, body, ageMs }`, `body` being more fields of the record; of our patient where no tag
   * is said. `filed` is what the node that admits it writes into the entry in the place of what its author signed.
   */
  batch(records) {
    const made = records.map(({ kind = 0x0601, tag = TAG, body = [], gone = false, says = tag, ageMs = 0, filed = {} }, position) => {
      const salt = new Uint8Array(16).fill(position + 1);
      const [before, after] = [body.filter(([number]) => number < 7), body.filter(([number]) => number > 7)];
      const record = proto([1, 1], [2, kind], [3, says], ...before, [7, TIME_MS - ageMs], ...after);
      const [hasBasis, isDeferred] = [9, 13].map((field) => body.some(([number]) => number === field));
      const cites = body.some(([number, basis]) => number === 9 && (basis[1] === 1 || basis[1] === 2));
      const stated = (hasBasis ? 16 : 0) | (cites ? 32 : 0) | (isDeferred ? 4 : 0);
      const group = kind >> 8;
      const found = (group === 6 && !hasBasis ? 1 : 0) | ((group === 6 || group === 7) && ageMs > LATE_AFTER_MS ? 2 : 0);
      const hash = H([0], salt, record);
      const leaf = H([6], u16(kind), u16(stated), tag, hash);
      return { kind, tag, flags: stated | found, ...filed, gone, position, salt, record, hash, leaf };
    });
    const hashes = made.map((m) => m.leaf);
    const root = mth(hashes);
    this.seq += 1;
    const keyId = H("sillage/key/v1\0", [1], AUTHOR.key);
    const message = join("sillage/batch/v2\0", [1], keyId, [ORIGIN.length], ORIGIN, STREAM, u64(this.seq), u32(made.length), root);
    const signature = AUTHOR.sign(message);
    this.push(1, 0, [1], keyId, STREAM, u64(this.seq), u32(made.length), root, u16(64), signature);
    const batch = join(u32(0), STREAM, u64(this.seq), u32(made.length), root, signature);
    for (const it of made) {
      const entry = this.push(2, it.flags, u16(it.kind), it.tag, it.hash, u32(it.position));
      if (it.tag === TAG) this.items.push({ ...it, entry, index: this.entries.length - 1, batch, path: inclusion(it.position, hashes) });
    }
    return this;
  }

  /**
   * A decision of the ledger on `outcomes`, each `[id, permit, reason]`. What its actor was told, about whom, when and to which
   * request can be said otherwise, and so can what its entry says.
   */
  decision(outcomes, { permitted, told, tag = TAG, atMs, request, hashed = request, asker, filed = {} } = {}) {
    const timeMs = TIME_MS + this.entries.length;
    const ids = (some) => some.map(([id]) => id);
    const allowed = permitted ?? ids(outcomes.filter(([, permit]) => permit));
    const known = told ?? ids(outcomes.filter(([, permit, reason]) => permit || reason === "NOT_OWNER"));
    const actor = proto(
      [1, 1], [2, tag], [3, H([0], hashed ?? "what was asked")], [4, proto([1, "urn:sillage:person"], [2, "marie"])], [5, "read"], [6, "TREAT"],
      ...allowed.map((id) => [7, id]), ...known.map((id) => [8, id]), [10, atMs ?? timeMs], [11, timeMs + 300_000],
    );
    const outcome = ([id, permit, reason]) => [8, proto([1, id], ...(permit ? [[2, 1]] : []), [3, reason], [4, join([1])])];
    const [key, signature] = [new Uint8Array(32).fill(1), new Uint8Array(64).fill(2)];
    const rest = proto([1, 1], ...(request ? [[2, request]] : []), [3, key], [4, signature], [6, 1], ...outcomes.map(outcome), ...(asker ? [[13, asker]] : []));
    const salts = [3, 4].map((byte) => new Uint8Array(16).fill(byte));
    const hash = H([5], H([0], salts[0], actor), H([0], salts[1], rest));
    const it = { kind: 0x0801, flags: 8, position: 0, ...filed };
    const entry = this.push(2, it.flags, u16(it.kind), TAG, hash, u32(it.position));
    this.items.push({ ...it, entry, hash, index: this.entries.length - 1, decision: join(...salts, chunk(actor), chunk(rest)), path: [] });
    return this;
  }

  /** An index commit over what is there; what it says of our patient is kept for bundles. */
  commit() {
    const items = [...this.items];
    const ikey = ikeyOf(TAG);
    const leaves = items.map((it) => H([2], H([0], it.entry), it.hash));
    const stranger = join([ikey[0] ^ (this.lies.stray ? 128 : 1)], ikey.slice(1)); // another patient of the same bucket
    const rows = [[stranger, H("another row")]];
    if (items.length > 0) rows.push([ikey, H([3], ikey, u64(items.length), mth(leaves))]);
    rows.sort(([x], [y]) => Buffer.compare(x, y) * (this.lies.unsorted ? -1 : 1));
    const buckets = Array.from({ length: 2 ** DEPTH }, (_, i) => H([4], u32(i === 99 ? 1 : 0)));
    const number = ikey[0] >> (8 - DEPTH);
    buckets[number] = H([4], u32(rows.length), ...rows.flat());
    const entry = this.push(3, 8, [DEPTH], u64(2), mth(buckets));
    const size = this.entries.length;
    return { log: this, size, entry, items, leaves, rows, path: inclusion(number, buckets), root: () => mth(this.leaves(size)) };
  }
}

/** The bodies of a bundle's sections, from what a commit says of our patient. `since`: the commit that a delta continues. */
export function bodies(state, { a = 0, b = state.items.length, since = null, signing = {} } = {}) {
  const { log, size, items, leaves } = state;
  const all = log.leaves(size);
  const proven = (index) => join(chunk(log.entries[index]), list(inclusion(index, all)));
  const [before, after] = range(leaves, a, b);
  const page = items.slice(a, b);
  const batches = [...new Set(page.filter((it) => !it.decision).map((it) => it.batch))];
  const opened = (it) => (it.gone ? [[0]] : it.decision ? [[2], it.decision] : [[1], it.salt, chunk(it.record)]);
  const { ins, oid, open } = vectors.tag;
  const item = (it) => join(
    chunk(it.entry), ...opened(it), u32(it.decision ? 0xffffffff : batches.indexOf(it.batch)), list(it.path),
  );
  const parts = [
    note(size, state.root(), signing),
    proven(0),
    proven(size - 1),
    join(u8(ins.length), ins, u8(oid.length), oid, [0], unhex(open.vrf_proof), TAG),
    join(list(state.rows.map((row) => join(...row))), list(state.path)),
    join(u64(leaves.length), u64(a), u64(b), mth(leaves), list(before), list(after)),
    list(batches.length > 0 ? [join([1], AUTHOR.key, u8(4), "made")] : []),
    list(batches),
    list(page.map(item)),
  ];
  if (since) parts.push(join(u64(since.size), since.root(), u64(a), list(consistency(since.size, all))));
  return parts;
}

/** A file from the bodies of its sections, with the right checks; one that is null is left out. */
export function file(parts) {
  const section = (body, i) => {
    if (body === null) return [];
    const head = join([i + 1], chunk(body));
    return join(head, H("sillage/section/v1\0", head));
  };
  return join("sillage-trace/v1\n", ...parts.map(section));
}

/** A proof file of one entry. */
export function tlogProof(state, index) {
  const all = state.log.leaves(state.size);
  const lines = inclusion(index, all).map((hash) => `${base64(hash)}\n`);
  const rest = join(`index ${index}\n`, ...lines, "\n", note(state.size, state.root()));
  const check = H("sillage/tlog-proof/v1\0", "c2sp.org/tlog-proof@v1\n", rest);
  return join(`c2sp.org/tlog-proof@v1\nextra ${base64(join(state.log.entries[index], check))}\n`, rest);
}

export { vectors };
