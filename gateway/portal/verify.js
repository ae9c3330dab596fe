// The verifier of Sillage files, a second time: plain JavaScript, one module, nothing beside it.
//
// It checks what a patient, an auditor or a court holds in hand (`.sillage-trace`, `.sillage-receipt`, `.tlog-proof`, a
// checkpoint) against a policy, on the reader's own device: no network, nothing to install. It runs unchanged in a browser and in Node 18 or
// later. It was written from docs/formats.md and the C2SP documents, and shares no code with the verifier in Rust: a
// mistake in one shows against the other. It is one file on purpose: who keeps this file, a policy and a trace has all
// that is needed to check it years from now.
//
// Where to start reading: `verify` at the end, then `bundle`, which makes the checks of docs/formats.md §10 in their order.
// Before them, from the bottom up: bytes, SHA-256, edwards25519 with Ed25519 and the VRF, Merkle trees, notes and
// policies, protobuf, entries.
//
//   import { verify } from "./verify.js";
//   const { ok, reports, errors } = await verify([{ name, bytes }], policyText, { maxAgeS, lang: "fr" });
//
//   node verify.js --policy policy.txt trace.sillage-trace       exit status: 0 proven, 1 not proven, 2 usage
//
// Away from the package.json beside it, Node before 20.19 wants it to be called verify.mjs.

/** A fault, and the part of the file where it is. */
class Failure extends Error {
  constructor(part, message) {
    super(message);
    this.part = part;
  }
}

const fail = (part, message) => {
  throw new Failure(part, message);
};

// ---------------------------------------------------------------------------------------------------------------------
// Bytes

const utf8 = new TextEncoder();
const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The longest file that is read, in bytes. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;
const NOTE_BYTES_MAX = 1_000_000;
const SIGNATURES_MAX = 100;
const POLICY_BYTES_MAX = 1_000_000;
const PROOF_BYTES_MAX = 2_000_000;
const RECORD_BYTES_MAX = 61_440;
const DECISION_BYTES_MAX = 1 << 20;
const BATCH_RECORDS_MAX = 4_096;
/** A quorum whose time is further ahead of our clock than this does not count as fresh, in seconds. */
const AHEAD_S_MAX = 300;

const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

function unhex(text) {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function same(a, b) {
  if (a.length !== b.length) return false;
  let different = 0;
  for (let i = 0; i < a.length; i++) different |= a[i] ^ b[i];
  return different === 0;
}

/** Order of two byte strings of one length: below, at or above zero. */
function order(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

/** Text of one character an octet: notes and policies compare names as octets. */
function octets(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}

const fromOctets = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

/** The octets as a person reads them; what is no UTF-8 stays as it is. */
function readable(text) {
  try {
    return TEXT.decode(fromOctets(text));
  } catch {
    return text;
  }
}

/** Standard base64, in its one canonical form; null for anything else. */
function unbase64(text) {
  try {
    const raw = atob(text);
    return btoa(raw) === text ? fromOctets(raw) : null;
  } catch {
    return null;
  }
}

/** A decimal without leading zeros that a number holds exactly; null for anything else. */
function decimal(text) {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

/** Reads one part of a file from front to back; every failure names the part. */
class Reader {
  constructor(bytes, part) {
    this.bytes = bytes;
    this.part = part;
    this.at = 0;
  }
  get left() {
    return this.bytes.length - this.at;
  }
  take(length) {
    if (length > this.left) fail(this.part, "it ends too early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  uint(length) {
    let value = 0;
    for (const byte of this.take(length)) value = value * 256 + byte;
    // Above 2^53 − 1 there is no index, no count and no time of any log.
    if (!Number.isSafeInteger(value)) fail(this.part, "a number that no log reaches");
    return value;
  }
  u8() {
    return this.uint(1);
  }
  u16() {
    return this.uint(2);
  }
  u32() {
    return this.uint(4);
  }
  u64() {
    return this.uint(8);
  }
  chunk() {
    return this.take(this.u32());
  }
  /** A list of `u32` items of at least `size` bytes each, so that a count can't ask for more memory than the file has. */
  list(size, item) {
    const count = this.u32();
    if (count * size > this.left) fail(this.part, "a list is longer than the part");
    return Array.from({ length: count }, item);
  }
  hashes() {
    return this.list(32, () => this.take(32));
  }
  text(length) {
    try {
      return TEXT.decode(this.take(length));
    } catch (e) {
      throw e instanceof Failure ? e : new Failure(this.part, "a text that is not UTF-8");
    }
  }
  end() {
    if (this.left !== 0) fail(this.part, `${this.left} bytes too many`);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// SHA-256
//
// Written out here, although WebCrypto has it: `subtle.digest` answers through a promise and another thread, which costs
// 10 to 50 µs a call; a Merkle node is 65 bytes, 1 to 2 µs of work, and a bundle needs tens of thousands of them. The
// engine's own SHA-256 is asked once, at the start, whether this one is right.

const K = new Int32Array(64);
const START = new Int32Array(8);
{
  // FIPS 180-4: the first 32 bits of the fractional parts of the cube and square roots of the first primes.
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  // floor(root(n · 2^bits)) by bisection, exact in integers; the low 32 bits are the fraction.
  const root = (n, power) => {
    const target = BigInt(n) << BigInt(32 * power);
    let low = 0n;
    let high = 1n << 40n;
    while (high - low > 1n) {
      const middle = (low + high) >> 1n;
      if (middle ** BigInt(power) <= target) low = middle;
      else high = middle;
    }
    return Number(BigInt.asIntN(32, low));
  };
  primes.forEach((p, i) => (K[i] = root(p, 3)));
  primes.slice(0, 8).forEach((p, i) => (START[i] = root(p, 2)));
}
const W = new Int32Array(64);
const STATE = new Int32Array(8);

function compress(block, at) {
  for (let i = 0, j = at; i < 16; i++, j += 4) {
    W[i] = (block[j] << 24) | (block[j + 1] << 16) | (block[j + 2] << 8) | block[j + 3];
  }
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15];
    const y = W[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[i] = (W[i - 16] + s0 + W[i - 7] + s1) | 0;
  }
  let a = STATE[0];
  let b = STATE[1];
  let c = STATE[2];
  let d = STATE[3];
  let e = STATE[4];
  let f = STATE[5];
  let g = STATE[6];
  let h = STATE[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  STATE[0] += a;
  STATE[1] += b;
  STATE[2] += c;
  STATE[3] += d;
  STATE[4] += e;
  STATE[5] += f;
  STATE[6] += g;
  STATE[7] += h;
}

const TAIL = new Uint8Array(128);

/** SHA-256 of one byte string. */
function sha256(message) {
  STATE.set(START);
  const { length } = message;
  const rest = length % 64;
  const whole = length - rest;
  for (let at = 0; at < whole; at += 64) compress(message, at);
  const end = rest < 56 ? 64 : 128;
  TAIL.fill(0, rest, end);
  for (let i = 0; i < rest; i++) TAIL[i] = message[whole + i];
  TAIL[rest] = 0x80;
  // The length in bits; files are shorter than 2^32 bytes, so it has at most 35.
  const high = Math.floor(length / 0x20000000);
  const low = length << 3;
  for (let i = 0; i < 4; i++) {
    TAIL[end - 8 + i] = high >>> (24 - 8 * i);
    TAIL[end - 4 + i] = low >>> (24 - 8 * i);
  }
  compress(TAIL, 0);
  if (end === 128) compress(TAIL, 64);
  const out = new Uint8Array(32);
  for (let i = 0; i < 32; i++) out[i] = STATE[i >> 2] >>> (24 - 8 * (i & 3));
  return out;
}

const H = (...parts) => sha256(join(...parts));
const be = (value, length) => {
  const bytes = new Uint8Array(length);
  for (let i = length - 1, v = value; i >= 0; i--, v = Math.floor(v / 256)) bytes[i] = v % 256;
  return bytes;
};

// ---------------------------------------------------------------------------------------------------------------------
// The engine: WebCrypto, and what of it can be relied on

/** A signature that only the cofactored equation accepts; ours is the cofactorless one, as everywhere in Sillage. */
const COFACTORED = {
  key: unhex("cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"),
  message: unhex("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c"),
  signature: unhex(
    "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512" +
      "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
  ),
};
/** RFC 8032 §7.1, test 2. */
const SIGNED = {
  key: unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
  message: unhex("72"),
  signature: unhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  ),
};

let engine;

/** Finds WebCrypto, once; checks our SHA-256 against it, and whether its Ed25519 is there and strict. */
function start() {
  engine ??= (async () => {
    const crypto = globalThis.crypto?.subtle ? globalThis.crypto : (await nodeCrypto())?.webcrypto;
    const subtle = crypto?.subtle;
    if (!subtle) fail("engine", "WebCrypto is not here: open this page over https or from this machine");
    for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
      const message = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255);
      const theirs = new Uint8Array(await subtle.digest("SHA-256", message));
      if (!same(theirs, sha256(message))) fail("engine", "two ways to compute SHA-256 disagree on this machine");
    }
    const asks = ({ key, message, signature }) => askSubtle(subtle, key, signature, message);
    let native = false;
    try {
      native = (await asks(SIGNED)) && !(await asks(COFACTORED));
    } catch {
      // No Ed25519 in this engine: the arithmetic below does it, some milliseconds a signature.
    }
    return { subtle, native };
  })();
  return engine;
}

async function nodeCrypto() {
  return globalThis.process?.versions?.node ? import("node:crypto") : undefined;
}

async function askSubtle(subtle, key, signature, message) {
  const imported = await subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  return subtle.verify({ name: "Ed25519" }, imported, signature, message);
}

async function sha512(...parts) {
  const { subtle } = await start();
  return new Uint8Array(await subtle.digest("SHA-512", join(...parts)));
}

// ---------------------------------------------------------------------------------------------------------------------
// edwards25519 (RFC 8032 §5.1), not in constant time: everything here is public

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (x) => {
  const r = x % P;
  return r < 0n ? r + P : r;
};

function power(base, exponent) {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) result = (result * b) % P;
  return result;
}

const inverse = (x) => power(x, P - 2n);
const D = mod(-121665n * inverse(121666n));
const SQRT_M1 = power(2n, (P - 1n) / 4n);
const isSquare = (x) => power(x, (P - 1n) / 2n) <= 1n;

/** A square root of x, the even one; null where there is none. */
function squareRoot(x) {
  let root = power(x, (P + 3n) / 8n);
  if (mod(root * root - x) !== 0n) root = (root * SQRT_M1) % P;
  if (mod(root * root - x) !== 0n) return null;
  return root & 1n ? P - root : root;
}

const little = (bytes) => {
  let text = "";
  for (let i = bytes.length - 1; i >= 0; i--) text += bytes[i].toString(16).padStart(2, "0");
  return BigInt("0x" + text);
};

// Points are [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z.
const ZERO = [0n, 1n, 1n, 0n];
const affine = (x, y) => [x, y, 1n, (x * y) % P];

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = ((y1 + x1) * (y2 + x2)) % P;
  const c = (((2n * t1 * t2) % P) * D) % P;
  const d = (2n * z1 * z2) % P;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function double([x, y, z]) {
  const a = (x * x) % P;
  const b = (y * y) % P;
  const h = a + b;
  const e = h - (x + y) ** 2n;
  const g = a - b;
  const f = 2n * z * z + g;
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

const negate = ([x, y, z, t]) => [mod(-x), y, z, mod(-t)];
const isSame = (p, q) => mod(p[0] * q[2] - q[0] * p[2]) === 0n && mod(p[1] * q[2] - q[1] * p[2]) === 0n;
const timesEight = (p) => double(double(double(p)));
const isSmallOrder = (p) => isSame(timesEight(p), ZERO);

/** m·p + n·q, both at once. */
function combine(m, p, n, q) {
  const both = add(p, q);
  let sum = ZERO;
  for (let bit = 255n; bit >= 0n; bit--) {
    sum = double(sum);
    const [a, b] = [(m >> bit) & 1n, (n >> bit) & 1n];
    if (a && b) sum = add(sum, both);
    else if (a) sum = add(sum, p);
    else if (b) sum = add(sum, q);
  }
  return sum;
}

/** RFC 8032 §5.1.3, in the one canonical encoding; null for anything else. */
function decodePoint(bytes) {
  const sign = BigInt(bytes[31] >> 7);
  const y = little(bytes) & (2n ** 255n - 1n);
  if (y >= P) return null;
  const root = squareRoot(mod((y * y - 1n) * inverse(D * y * y + 1n)));
  if (root === null || (root === 0n && sign === 1n)) return null;
  return affine(sign === 0n ? root : P - root, y);
}

function encodePoint([x, y, z]) {
  const one = inverse(z);
  const text = (((x * one) % P & 1n) << 255n | ((y * one) % P)).toString(16).padStart(64, "0");
  return unhex(text).reverse();
}

const BASE = affine(
  15112221349535400772501151409588531511454012693041857206046113283949847762202n,
  46316835694926478169428394003475163141307993866256225615783033603165251855960n,
);

// ---------------------------------------------------------------------------------------------------------------------
// Ed25519, strict: no small-order key or commitment, one encoding each, S below L, cofactorless

/** The y of the eight points of small order: of order 1, 2, 4, and two of order 8. */
const SMALL_ORDER_Y = new Set([
  1n,
  P - 1n,
  0n,
  little(unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
  little(unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
]);

/** Whether these 32 bytes are a canonical y of a point that is not of small order; not whether it is on the curve. */
function plainPoint(bytes) {
  const y = little(bytes) & (2n ** 255n - 1n);
  return y < P && !SMALL_ORDER_Y.has(y);
}

async function ed25519Slow(key, signature, message) {
  const a = decodePoint(key);
  const r = decodePoint(signature.subarray(0, 32));
  if (!a || !r) return false;
  const k = little(await sha512(signature.subarray(0, 32), key, message)) % L;
  return isSame(combine(little(signature.subarray(32)), BASE, k, negate(a)), r);
}

/** Never throws for what it is given: a signature holds, or it doesn't. */
async function ed25519(key, signature, message, slow = false) {
  if (key.length !== 32 || signature.length !== 64 || little(signature.subarray(32)) >= L) return false;
  if (!plainPoint(key) || !plainPoint(signature.subarray(0, 32))) return false;
  const { subtle, native } = await start();
  if (slow || !native) return ed25519Slow(key, signature, message);
  try {
    return await askSubtle(subtle, key, signature, message);
  } catch {
    return false; // a key that is no point
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// ECVRF-EDWARDS25519-SHA512-ELL2 (RFC 9381, suite 0x04)

const SUITE = 4;
const H2C = utf8.encode("ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_\x04");
const SQRT_MINUS_486664 = squareRoot(P - 486664n);

/** RFC 9380 §5.2, §5.3.1: one field element, from 48 bytes. */
async function hashToField(message) {
  const dst = join(H2C, [H2C.length]);
  const b0 = await sha512(new Uint8Array(128), message, [0, 48, 0], dst);
  const b1 = await sha512(b0, [1], dst);
  return BigInt("0x" + hex(b1.subarray(0, 48))) % P;
}

/** RFC 9380 §6.7.1 and §6.8.2: Elligator 2 on curve25519, then its image on edwards25519. */
function elligator(u) {
  const J = 486662n;
  const denominator = mod(1n + 2n * u * u);
  const x1 = denominator === 0n ? P - J : mod(-J * inverse(denominator));
  const curve = (x) => mod(x * (x * x + J * x + 1n));
  const first = isSquare(curve(x1));
  const s = first ? x1 : mod(-x1 - J);
  const even = squareRoot(curve(s));
  const t = first ? mod(-even) : even; // sgn0 is 1 for the first, 0 for the second
  if (t === 0n || s === P - 1n) return ZERO;
  return affine((((SQRT_MINUS_486664 * s) % P) * inverse(t)) % P, (mod(s - 1n) * inverse(s + 1n)) % P);
}

/** RFC 9381 §5.3 with a check of the key. The 64 bytes of output, or null for a proof that doesn't hold. */
async function vrf(key, alpha, proof) {
  if (key.length !== 32 || proof.length !== 80) return null;
  const y = decodePoint(key);
  const gamma = decodePoint(proof.subarray(0, 32));
  const c = little(proof.subarray(32, 48));
  const s = little(proof.subarray(48));
  if (!y || isSmallOrder(y) || !gamma || s >= L) return null;
  const h = timesEight(elligator(await hashToField(join(key, alpha))));
  const u = combine(s, BASE, c, negate(y));
  const v = combine(s, h, c, negate(gamma));
  const points = [h, gamma, u, v].map(encodePoint);
  const challenge = await sha512([SUITE, 2], key, ...points, [0]);
  if (!same(challenge.subarray(0, 16), proof.subarray(32, 48))) return null;
  return sha512([SUITE, 3], encodePoint(timesEight(gamma)), [0]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Merkle trees (RFC 6962, RFC 9162 §2.1.3 and §2.1.4). Sizes go beyond 32 bits: no bit operators here.

const NODE = new Uint8Array(65).fill(1, 0, 1);
const EMPTY = sha256(new Uint8Array(0));

function node(left, right) {
  NODE.set(left, 1);
  NODE.set(right, 33);
  return sha256(NODE);
}

const half = (x) => Math.floor(x / 2);
const isOdd = (x) => x % 2 === 1;

/** The root that a leaf hash at `index` of `size` leaves leads to; null where the path has the wrong length. */
function rootOfInclusion(leaf, index, size, path) {
  if (index >= size) return null;
  let root = leaf;
  let f = index;
  let s = size - 1;
  for (const sibling of path) {
    if (s === 0) return null;
    if (isOdd(f) || f === s) {
      root = node(sibling, root);
      while (!isOdd(f) && f !== 0) {
        f = half(f);
        s = half(s);
      }
    } else root = node(root, sibling);
    f = half(f);
    s = half(s);
  }
  return s === 0 ? root : null;
}

/** Whether the tree of `size` leaves with `root` extends the one of `old` leaves with `oldRoot`. */
function isConsistent(old, oldRoot, size, root, proof) {
  if (old < 1 || old > size) return false;
  if (old === size) return proof.length === 0 && same(oldRoot, root);
  let f = old - 1;
  let s = size - 1;
  while (isOdd(f)) {
    f = half(f);
    s = half(s);
  }
  const path = f === 0 ? [oldRoot, ...proof] : proof;
  if (path.length === 0) return false;
  let [fr, sr] = [path[0], path[0]];
  for (const sibling of path.slice(1)) {
    if (s === 0) return false;
    if (isOdd(f) || f === s) {
      fr = node(sibling, fr);
      sr = node(sibling, sr);
      while (!isOdd(f) && f !== 0) {
        f = half(f);
        s = half(s);
      }
    } else sr = node(sr, sibling);
    f = half(f);
    s = half(s);
  }
  return s === 0 && same(fr, oldRoot) && same(sr, root);
}

/** The largest power of two below `size`. */
function split(size) {
  let k = 1;
  while (2 * k < size) k *= 2;
  return k;
}

/** The root of `n` leaves of which those from `a` to `b` are `inside`; null where the proof has too many or too few. */
function rootOfRange(n, a, b, inside, before, after) {
  let [usedBefore, usedAfter] = [0, 0];
  const part = (low, high) => {
    if (high <= a) return before[usedBefore++];
    if (low >= b) return after[usedAfter++];
    if (high - low === 1) return inside[low - a];
    const k = low + split(high - low);
    const left = part(low, k);
    const right = left && part(k, high);
    return right && node(left, right);
  };
  const root = part(0, n);
  return root && usedBefore === before.length && usedAfter === after.length ? root : null;
}

// ---------------------------------------------------------------------------------------------------------------------
// Signed notes, policies (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy)

const ALG_LOG = 1;
const ALG_COSIGNATURE = 4;
const DASH = "\xe2\x80\x94 "; // an em dash and a space, as octets

const isKeyName = (name) => name !== "" && !name.includes("+") && !/\p{White_Space}/u.test(readable(name));
const u32 = (bytes) => bytes[0] * 0x1000000 + (bytes[1] << 16) + (bytes[2] << 8) + bytes[3];

/** A verifier key: `name+key id+base64(type ‖ public key)`. */
function vkey(text, type) {
  const [, name, id, body] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? fail("policy", `not a verifier key: ${readable(text)}`);
  const key = unbase64(body);
  if (!key || key.length < 2 || !isKeyName(name)) fail("policy", `not a verifier key: ${readable(text)}`);
  if (key[0] !== type || key.length !== 33) {
    fail("policy", `the key of ${readable(name)} is of type ${key[0]}; here, only Ed25519 (type ${type}) is known`);
  }
  if (hex(H(fromOctets(`${name}\n`), key).subarray(0, 4)) !== id) fail("policy", `the key id of ${readable(name)} is not its key's`);
  return { name, id: parseInt(id, 16), key: key.subarray(1) };
}

/** The signers of a policy, and how many of them must sign. */
function parsePolicy(source) {
  const bytes = typeof source === "string" ? utf8.encode(source) : source;
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) fail("policy", "there is no policy: without one, nothing can be proven");
  if (bytes.length > POLICY_BYTES_MAX) fail("policy", "it is too long");
  const text = octets(bytes);
  if (/[^\t\n\x20-\x7e\x80-\xff]/.test(text)) fail("policy", "it holds control characters");
  // A last line that was cut may ask for less than it did.
  if (!text.endsWith("\n")) fail("policy", "its last line doesn't end: it was cut, get the whole file again");
  const policy = { logs: [], names: new Map(), quorum: null };
  text.split("\n").forEach((line, i) => {
    const words = line.split(/[ \t]+/).filter((w) => w !== "");
    if (words.length > 0 && !words[0].startsWith("#")) policyLine(policy, words, `line ${i + 1}`);
  });
  if (policy.quorum === null) fail("policy", "no line says which quorum is asked for");
  return policy;
}

function policyLine(policy, [what, ...words], where) {
  const { logs, names } = policy;
  const known = (name) => names.get(name) ?? fail("policy", `${where}: ${readable(name)} is not defined above`);
  const define = (name, value) => {
    if (name === "none" || names.has(name)) fail("policy", `${where}: the name ${readable(name)} is taken`);
    names.set(name, { ...value, grouped: false });
  };
  const unique = (key, all) => {
    if (all.some((k) => same(k, key))) fail("policy", `${where}: this key stands on two lines`);
  };
  const count = words.length;
  if (what === "log" && (count === 1 || count === 2)) {
    const log = vkey(words[0], ALG_LOG);
    unique(log.key, logs.map((l) => l.key));
    logs.push(log);
  } else if (what === "witness" && (count === 2 || count === 3)) {
    const witness = vkey(words[1], ALG_COSIGNATURE);
    unique(witness.key, [...names.values()].filter((n) => n.witness).map((n) => n.witness.key));
    define(words[0], { witness });
  } else if (what === "group" && count >= 3) {
    const [name, threshold, ...members] = words;
    for (const member of members) {
      if (known(member).grouped) fail("policy", `${where}: ${readable(member)} is a member twice`);
      known(member).grouped = true;
    }
    const needed = threshold === "any" ? 1 : threshold === "all" ? members.length : decimal(threshold);
    if (needed === null || needed < 1 || needed > members.length) fail("policy", `${where}: no such number of members`);
    define(name, { needed, members });
  } else if (what === "quorum" && count === 1) {
    if (policy.quorum !== null) fail("policy", `${where}: a second quorum`);
    if (words[0] !== "none") known(words[0]);
    policy.quorum = words[0];
  } else fail("policy", `${where}: not a line of a policy`);
}

/** Whether the name is witnessed, given when each witness cosigned. */
function isWitnessed(policy, name, times) {
  if (name === "none") return true;
  const { witness, needed, members } = policy.names.get(name);
  if (witness) return times.has(name);
  return members.filter((member) => isWitnessed(policy, member, times)).length >= needed;
}

/** The names of the witnesses under a name. */
function witnessesOf(policy, name) {
  const { witness, members } = policy.names.get(name);
  return witness ? [name] : members.flatMap((member) => witnessesOf(policy, member));
}

/** The text and the signature lines of a note; every line must be well formed, whoever signed. */
function parseNote(bytes, part) {
  if (bytes.length > NOTE_BYTES_MAX) fail(part, "it is too long");
  try {
    TEXT.decode(bytes);
  } catch {
    fail(part, "a text that is not UTF-8");
  }
  const note = octets(bytes);
  if (/[^\n\x20-\xff]/.test(note)) fail(part, "it holds control characters");
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n") || cut + 2 >= note.length) fail(part, "it is not a signed note");
  const lines = note.slice(cut + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) fail(part, "it has too many signatures");
  const signatures = lines.map((line) => {
    const [name, body, ...more] = line.startsWith(DASH) ? line.slice(DASH.length).split(" ") : [];
    const blob = body === undefined ? null : unbase64(body);
    if (!blob || blob.length < 5 || more.length > 0 || !isKeyName(name)) fail(part, "a signature line is not well formed");
    return { name, id: u32(blob), signature: blob.subarray(4) };
  });
  return { text: note.slice(0, cut + 1), signatures };
}

/** A checkpoint that the policy holds for good, and what is known of who signed it. */
async function checkpoint(bytes, context, part = "checkpoint") {
  const { policy } = context;
  const { text, signatures } = parseNote(bytes, part);
  const lines = text.split("\n");
  if (lines.length !== 4) fail(part, "a checkpoint has three lines: origin, size, root");
  const [origin, sizeText, rootText] = lines;
  const size = decimal(sizeText);
  const root = unbase64(rootText);
  if (origin === "" || origin.length > 255) fail(part, "an origin has 1 to 255 bytes");
  if (size === null) fail(part, "the size is not a number");
  if (root?.length !== 32) fail(part, "the root is not a hash");
  const logs = policy.logs.filter((log) => log.name === origin);
  if (logs.length === 0) fail(part, `the policy knows no log ${readable(origin)}: another log's checkpoint`);
  const body = fromOctets(text);
  let signed = null;
  const times = new Map();
  for (const { name, id, signature } of signatures) {
    const isOf = (key) => key.name === name && key.id === id;
    const bad = () => fail(part, `the signature of ${readable(name)} does not hold`);
    for (const log of logs.filter(isOf)) {
      if (!(await context.ed25519(log.key, signature, body))) bad();
      signed = log;
    }
    for (const [known, { witness }] of policy.names) {
      if (!witness || !isOf(witness)) continue;
      if (signature.length !== 72) bad();
      const time = new Reader(signature, part).u64();
      const message = join(utf8.encode(`cosignature/v1\ntime ${time}\n`), body);
      if (!(await context.ed25519(witness.key, signature.subarray(8), message))) bad();
      times.set(known, Math.max(time, times.get(known) ?? 0));
    }
  }
  if (!signed) fail(part, "no log of the policy has signed it");
  return { origin: readable(origin), size, root, logKey: signed.key, ...cosigned(policy, times, context, part) };
}

/** Whether enough have cosigned, and as of when; with a maximal age, whether that is recent enough. */
function cosigned(policy, times, { maxAgeS, nowS }, part) {
  if (!isWitnessed(policy, policy.quorum, times)) fail(part, "too few have cosigned it for this policy: no quorum");
  // The latest time by which the quorum stands when only cosignatures from then on count.
  const since = (t) => new Map([...times].filter(([, time]) => time >= t));
  const latest = [...times.values()].sort((a, b) => b - a).find((t) => isWitnessed(policy, policy.quorum, since(t)));
  const asOfS = policy.quorum === "none" ? null : latest;
  if (maxAgeS !== undefined) {
    if (asOfS === null) fail(part, "its age can't be shown: this policy asks for no cosignature, and only those have a time");
    if (Math.floor(nowS) - asOfS > maxAgeS) fail(part, `it is too old: cosigned at ${day(asOfS * 1000)}`);
    if (asOfS - nowS > AHEAD_S_MAX) fail(part, `it is from the future by this clock: cosigned at ${day(asOfS * 1000)}`);
  }
  const groups = [...policy.names.keys()]
    .filter((name) => ["nodes", "witnesses", "auditors"].includes(name))
    .map((name) => {
      const all = witnessesOf(policy, name);
      return { name, signed: all.filter((w) => times.has(w)).length, of: all.length };
    });
  return { asOfS, groups, cosigners: [...times].map(([name, timeS]) => ({ name: readable(name), timeS })) };
}

// ---------------------------------------------------------------------------------------------------------------------
// Protobuf in its canonical encoding: ascending fields, no defaults, no unknown field (docs/formats.md §2)

const MESSAGES = {
  Record: {
    1: ["version", "u32"], 2: ["kind", "u32"], 3: ["tag", "bytes"], 4: ["actor", "Actor"], 5: ["auth", "Authentication"],
    6: ["items", "Item", "many"], 7: ["occurred_at_ms", "u64"], 8: ["purpose", "string"], 9: ["basis", "Basis"],
    10: ["outcome", "enum"], 11: ["outcome_text", "string"], 12: ["place", "Place"], 13: ["deferred", "Deferred"],
    14: ["correlation", "Correlation"], 15: ["automated", "Automated"], 16: ["agents", "Agent", "many"],
    17: ["details", "string"], 18: ["original", "Original"], 19: ["act", "LedgerAct"],
    20: ["will", "Will"], 21: ["signatures", "ActSignature", "many"],
  },
  Will: {
    1: ["token", "string"], 2: ["userinfo", "string"], 3: ["tag_proof", "bytes"], 4: ["session_key", "bytes"],
    5: ["signature", "bytes"], 6: ["blind", "bytes"],
  },
  Actor: { 1: ["system", "string"], 2: ["id", "string"], 3: ["role", "string"], 4: ["organisation", "string"], 5: ["label", "string"] },
  Agent: { 1: ["type", "string"], 2: ["who", "Actor"], 3: ["network_address", "string"], 4: ["requestor", "bool"] },
  Item: { 1: ["id", "string"], 2: ["category", "string"], 3: ["labels", "string", "many"], 4: ["depositor", "string"], 5: ["label", "string"] },
  Authentication: { 1: ["issuer", "string"], 2: ["method", "string"], 3: ["eidas_level", "string"] },
  Basis: { 1: ["kind", "enum"], 2: ["ref", "string"] },
  Place: { 1: ["site", "string"], 2: ["network_address", "string"], 3: ["device", "string"], 4: ["observer", "string"] },
  Deferred: { 1: ["reason", "string"] },
  Correlation: { 1: ["launch_context", "string"], 2: ["ids", "string", "many"] },
  Automated: { 1: ["software", "string"], 2: ["version", "string"] },
  Original: { 1: ["media_type", "string"], 2: ["content", "bytes"] },
  // One of these, and no other.
  LedgerAct: {
    1: ["registered", "PartyRegistered", "one"], 2: ["rotated", "KeyRotated", "one"], 3: ["revoked", "KeyRevoked", "one"],
    4: ["roles", "RolesChanged", "one"], 5: ["erased", "Erased", "one"], 6: ["node_key", "NodeKeyRotated", "one"],
    7: ["log_key", "LogKeyRotated", "one"], 8: ["actor", "ActorRevoked", "one"], 9: ["node_set", "NodeSetChanged", "one"],
    10: ["vouching", "VouchingChanged", "one"],
    11: ["issuer", "IssuerPublished", "one"],
    12: ["voided", "RecordsVoided", "one"], 13: ["rule", "AuthorityRule", "one"], 14: ["sources", "SourcesListed", "one"],
  },
  DecisionRequest: {
    1: ["version", "u32"], 2: ["tag", "bytes"], 3: ["secret_tag", "bytes"], 4: ["actor", "Actor"], 5: ["auth", "Authentication"],
    6: ["action", "string"], 7: ["purpose", "string"], 8: ["items", "Item", "many"], 9: ["requested_at_ms", "u64"],
    10: ["nonce", "bytes"], 11: ["correlation", "Correlation"], 12: ["will", "Will"],
  },
  DecisionActorPart: {
    1: ["version", "u32"], 2: ["tag", "bytes"], 3: ["request_hash", "bytes"], 4: ["actor", "Actor"], 5: ["action", "string"],
    6: ["purpose", "string"], 7: ["permitted", "string", "many"], 8: ["told", "string", "many"],
    9: ["obligations", "string", "many"], 10: ["decided_at_ms", "u64"], 11: ["expires_at_ms", "u64"],
  },
  DecisionPrivatePart: {
    1: ["version", "u32"], 2: ["request", "bytes"], 3: ["key_id", "bytes"], 4: ["signature", "bytes"], 5: ["position", "u32"],
    6: ["count", "u32"], 7: ["path", "bytes", "many"], 8: ["outcomes", "ItemOutcome", "many"], 9: ["policy_version", "string"],
    10: ["matrix_version", "string"], 11: ["catalogue_version", "string"], 12: ["as_of_index", "u64"], 13: ["asker", "DecisionAsker"],
  },
  DecisionAsker: { 1: ["issuer", "string"], 2: ["eidas_level", "string"], 3: ["own_key", "bool"] },
  ItemOutcome: { 1: ["id", "string"], 2: ["permit", "bool"], 3: ["reason", "string"], 4: ["consulted", "u64", "packed"] },
  PublicKey: { 1: ["alg", "u32"], 2: ["key", "bytes"] },
  PartyRegistered: {
    1: ["key", "PublicKey"], 2: ["name", "string"], 3: ["roles", "u32"], 4: ["tls_spki_sha256", "bytes", "many"],
    5: ["quota_events_per_s", "u32"], 6: ["patient_tag", "bytes"], 7: ["patient_secret_tag", "bytes"],
    8: ["structures", "string", "many"], 9: ["actor_systems", "string", "many"], 10: ["issuers", "string", "many"],
    11: ["patient_commitment", "bytes"],
  },
  VouchingChanged: { 1: ["author_id", "bytes"], 2: ["added", "Vouching"], 3: ["removed", "Vouching"] },
  Vouching: { 1: ["structures", "string", "many"], 2: ["actor_systems", "string", "many"], 3: ["issuers", "string", "many"] },
  KeyRotated: { 1: ["author_id", "bytes"], 2: ["key", "PublicKey"], 3: ["tls_spki_sha256", "bytes", "many"] },
  KeyRevoked: { 1: ["key_id", "bytes"], 2: ["reason", "string"] },
  RolesChanged: { 1: ["author_id", "bytes"], 2: ["roles", "u32"], 3: ["quota_events_per_s", "u32"] },
  Erased: { 1: ["indices", "u64", "packed"], 2: ["patient", "bool"], 3: ["ground", "string"] },
  NodeKeyRotated: { 1: ["node_id", "u64"], 2: ["key", "PublicKey"] },
  LogKeyRotated: { 1: ["key", "PublicKey"] },
  ActSignature: { 1: ["key_id", "bytes"], 2: ["expires_ms", "u64"], 3: ["signature", "bytes"] },
  RecordsVoided: {
    1: ["key_id", "bytes"], 2: ["author_id", "bytes"], 3: ["from_index", "u64"], 4: ["until_index", "u64"],
    5: ["reason", "string"], 6: ["reinstates", "u64"],
  },
  AuthorityRule: { 1: ["needed", "u32"], 2: ["authorities", "bytes", "many"], 3: ["acts", "u32"], 4: ["limit", "LimitADay"] },
  SourcesListed: { 1: ["listed", "ListedSource", "many"], 2: ["removed", "string", "many"] },
  ListedSource: {
    1: ["id", "string"], 2: ["name_fr", "string"], 3: ["name_en", "string"], 4: ["structure", "string"],
    5: ["author_id", "bytes"], 6: ["answers", "bytes"], 7: ["since_ms", "u64"], 8: ["silent_after_s", "u32"],
  },
  LimitADay: { 1: ["author_id", "bytes"], 2: ["records", "u32"] },
  ActorRevoked: { 1: ["actor_hash", "bytes"], 2: ["reason", "string"] },
  NodeSetChanged: {
    1: ["epoch", "u64"], 2: ["added", "AddedNode", "many"], 3: ["moved", "NodeAddresses", "many"],
    4: ["removed", "u64", "packed"], 5: ["voters", "u64", "packed"], 6: ["voters_outgoing", "u64", "packed"],
    7: ["learners", "u64", "packed"],
  },
  AddedNode: {
    1: ["id", "u64"], 2: ["name", "string"], 3: ["key", "PublicKey"], 4: ["tls_spki_sha256", "bytes"],
    5: ["client_address", "string"], 6: ["peer_address", "string"],
  },
  NodeAddresses: { 1: ["id", "u64"], 2: ["client_address", "string"], 3: ["peer_address", "string"] },
  IssuerPublished: {
    1: ["issuer", "string"], 2: ["name", "string"], 3: ["keys", "IssuerKey", "many"], 4: ["audiences", "string", "many"],
    5: ["ins_claim", "string"], 6: ["oid_claim", "string"], 7: ["person_claim", "string"], 8: ["person_system", "string"],
    9: ["acr_substantial", "string", "many"], 10: ["acr_high", "string", "many"], 11: ["session_s", "u32"],
    12: ["from_ms", "u64"], 13: ["until_ms", "u64"], 14: ["test", "bool"],
  },
  IssuerKey: { 1: ["kid", "string"], 2: ["alg", "string"], 3: ["key", "bytes"], 4: ["exponent", "u32"] },
  NodeIdentity: { 1: ["id", "u64"], 2: ["name", "string"], 3: ["key", "PublicKey"], 4: ["tls_spki_sha256", "bytes"] },
  Genesis: {
    1: ["version", "u32"], 2: ["origin", "string"], 3: ["created_ms", "u64"], 4: ["log_public_key", "bytes"],
    5: ["vrf_public_key", "bytes"], 6: ["tag_first", "bytes"], 7: ["tag_last", "bytes"], 8: ["test_log", "bool"],
    9: ["late_after_ms", "u64"], 10: ["index_depth", "u32"], 11: ["quota_events_per_s", "u32"],
    12: ["nodes", "NodeIdentity", "many"], 13: ["parties", "PartyRegistered", "many"], 14: ["nonce", "bytes"],
    15: ["feature_level", "u32"],
    16: ["issuers", "IssuerPublished", "many"], 17: ["rule", "AuthorityRule"],
  },
};
const NUMBER_MAX = { u32: 0xffffffff, enum: 0x7fffffff, bool: 1, u64: Number.MAX_SAFE_INTEGER };

function varint(reader) {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.u8();
    value += (byte & 127) * scale;
    if (!Number.isSafeInteger(value)) fail(reader.part, "a number that no record needs");
    if (byte < 128) {
      if (byte === 0 && scale > 1) fail(reader.part, "a number that is not in its shortest form");
      return value;
    }
  }
}

/** The value of one field, by its type. */
function fieldValue(reader, type) {
  const { part } = reader;
  if (type in NUMBER_MAX) {
    const value = varint(reader);
    if (value > NUMBER_MAX[type]) fail(part, "a number out of range");
    return type === "bool" ? value === 1 : value;
  }
  const length = varint(reader);
  if (type === "string") return reader.text(length);
  const bytes = reader.take(length);
  return type === "bytes" ? bytes : message(type, bytes, part);
}

/** A message as an object; fields left out are absent. Messages nest no deeper than the schema does. */
function message(type, bytes, part) {
  const reader = new Reader(bytes, part);
  const value = {};
  let last = 0;
  while (reader.left > 0) {
    const key = varint(reader);
    const number = Math.floor(key / 8);
    const [name, kind, times] = MESSAGES[type][number] ?? fail(part, `a field ${number} that ${type} does not have`);
    if (number < last || (number === last && times !== "many")) fail(part, "fields out of their order");
    if (times === "one" && last !== 0) fail(part, "two acts in one");
    last = number;
    const isNumber = kind in NUMBER_MAX && times !== "packed";
    if (key % 8 !== (isNumber ? 0 : 2)) fail(part, "a field of another type");
    if (times === "packed") {
      const packed = new Reader(reader.take(varint(reader)), part);
      if (packed.left === 0) fail(part, "a default spelt out");
      value[name] = [];
      while (packed.left > 0) value[name].push(fieldValue(packed, kind));
      continue;
    }
    const field = fieldValue(reader, kind);
    const isDefault = field === 0 || field === false || field.length === 0;
    if (times === "many") (value[name] ??= []).push(field);
    else if (isDefault) fail(part, "a default spelt out");
    else value[name] = field;
  }
  return value;
}

// ---------------------------------------------------------------------------------------------------------------------
// Acts that several authorities sign (docs/formats.md §18)

const ACT_SIGNATURES_MAX = 16;
const ACT_SIGNATURES_FIELD = 21;
const [ROLE_PATIENT, ROLE_OPERATOR, ROLE_AUTHORITY, ROLE_IDENTITY] = [8, 32, 64, 4096];
const [GUARDED_VOIDING, GUARDED_AUTHORITIES, GUARDED_NODES, GUARDED_ERASING] = [1, 2, 4, 8];
const [GUARDED_PARTIES, GUARDED_DOCUMENTS, GUARDED_PATIENTS, GUARDED_QUOTAS, GUARDED_ACTORS] = [16, 32, 64, 128, 256];

/** The record without its further signatures: what those are over, and all of it as it was received. */
function withoutSignatures(bytes, part) {
  const reader = new Reader(bytes, part);
  const kept = [];
  while (reader.left > 0) {
    const from = bytes.length - reader.left;
    const key = varint(reader);
    if (key % 8 === 0) varint(reader);
    else reader.take(varint(reader));
    if (Math.floor(key / 8) !== ACT_SIGNATURES_FIELD) kept.push(bytes.subarray(from, bytes.length - reader.left));
  }
  return join(...kept);
}

/** Whether one quota gives a party more events a second than another: 0 is the log's, and no bound where that is 0 too. */
function isMore(quota, before, ofLog) {
  const bound = (own) => own || ofLog || Infinity;
  return bound(quota) > bound(before);
}

/**
 * Which acts a rule guards; `heldBy` gives `{ roles, quota }` of a party (by its author id or a key's id), `quotaDefault` is the
 * genesis' quota.
 */
function isGuarded(act, acts, heldBy, signer, quotaDefault) {
  const rolesOf = (id) => heldBy(id).roles;
  const changed = act.registered ?? act.roles;
  const before = act.roles ? heldBy(act.roles.author_id).quota : 0;
  if (acts & GUARDED_QUOTAS && changed && isMore(changed.quota_events_per_s ?? 0, before, quotaDefault)) return true;
  const wide = (acts & GUARDED_PARTIES) !== 0;
  const isHigh = (roles) => (roles & (ROLE_AUTHORITY | ROLE_IDENTITY)) !== 0;
  const vouches = (party) => [party.structures, party.actor_systems, party.issuers].some((names) => names?.length > 0);
  const needs = () => {
    if (act.voided) return GUARDED_VOIDING;
    // An issuer without keys is withdrawn.
    if (act.issuer && wide && !act.issuer.keys) return 0;
    if (act.rule || act.issuer) return GUARDED_AUTHORITIES;
    if (act.registered) {
      const roles = act.registered.roles ?? 0;
      if (isHigh(roles)) return GUARDED_AUTHORITIES;
      return (roles & ~(ROLE_OPERATOR | ROLE_PATIENT)) !== 0 || vouches(act.registered) ? GUARDED_PARTIES : 0;
    }
    if (act.roles) {
      const [roles, held] = [act.roles.roles ?? 0, rolesOf(act.roles.author_id)];
      if (!wide) return isHigh(roles) || isHigh(held) ? GUARDED_AUTHORITIES : 0;
      return (roles & ~held) !== 0 || (held & ROLE_AUTHORITY) !== 0 ? GUARDED_PARTIES : 0;
    }
    if (act.rotated) {
      // Whoever replaces their own key signs with the one before.
      if (same(act.rotated.author_id, signer)) return 0;
      return isHigh(rolesOf(act.rotated.author_id)) ? GUARDED_AUTHORITIES : GUARDED_PARTIES;
    }
    if (act.revoked) {
      const roles = rolesOf(act.revoked.key_id);
      return (roles & ROLE_AUTHORITY) !== 0 || (isHigh(roles) && !wide) ? GUARDED_AUTHORITIES : 0;
    }
    if (act.sources) return GUARDED_DOCUMENTS;
    if (act.actor) return GUARDED_ACTORS;
    if (act.vouching) return act.vouching.added ? GUARDED_PARTIES : 0;
    if (act.node_key || act.log_key || act.node_set) return GUARDED_NODES;
    if (act.erased) return act.erased.patient ? GUARDED_ERASING : GUARDED_PATIENTS;
    return 0;
  };
  const needed = needs();
  return needed !== 0 && (acts & needed) === needed;
}

/**
 * Whether an act is signed by as many authorities as the rule says. `bytes` is its record, `timeMs` its ledger time, `signer` the
 * author id of who signed its batch, `rule` `{ needed, authorities, acts }` or null, `parties` those whose keys were active then:
 * `{ authorId, keyId, key, roles, quota }`; `quotaDefault` is the quota of the genesis. Ids and keys are bytes. Gives null where it is,
 * otherwise the code with which a ledger refuses it. That one content is recorded once is for who replays the log to see.
 */
export async function checkAct(bytes, { origin, timeMs, signer, rule, parties, quotaDefault = 0 }, slow = false) {
  const part = "act";
  const record = message("Record", bytes, part);
  const signatures = record.signatures ?? [];
  const isWhole = (one) => one.key_id?.length === 32 && one.signature?.length === 64 && one.expires_ms > 0;
  const isAfter = (one, i) => i === 0 || hex(signatures[i - 1].key_id) < hex(one.key_id);
  if (!record.act || signatures.length > ACT_SIGNATURES_MAX || !signatures.every(isWhole) || !signatures.every(isAfter)) return "MALFORMED_RECORD";
  const content = H([0], withoutSignatures(bytes, part));
  const isAuthority = ({ roles }) => (roles & ROLE_AUTHORITY) !== 0;
  const signers = new Set(parties.filter((p) => same(p.authorId, signer) && isAuthority(p)).map((p) => hex(p.authorId)));
  for (const { key_id, expires_ms, signature } of signatures) {
    const party = parties.find((p) => same(p.keyId, key_id));
    const name = utf8.encode(origin);
    const text = join(utf8.encode("sillage/act-cosign/v1\0"), [1], key_id, [name.length], name, be(expires_ms, 8), content);
    if (!party || !isAuthority(party) || expires_ms <= timeMs || signers.has(hex(party.authorId))) return "BAD_SIGNATURE";
    if (!(await ed25519(party.key, signature, text, slow))) return "BAD_SIGNATURE";
    signers.add(hex(party.authorId));
  }
  const heldBy = (id) => {
    const party = parties.find((p) => same(p.authorId, id) || same(p.keyId, id));
    return { roles: party?.roles ?? 0, quota: party?.quota ?? 0 };
  };
  if (!rule || !isGuarded(record.act, rule.acts, heldBy, signer, quotaDefault)) return null;
  const counting = rule.authorities.filter((id) => signers.has(hex(id)));
  return counting.length < rule.needed ? "SIGNATURES_MISSING" : null;
}

// ---------------------------------------------------------------------------------------------------------------------
// Entries (docs/formats.md §5) and their kinds

const KINDS = {
  0x0101: "space.opened", 0x0102: "space.opposed", 0x0103: "space.closed", 0x0201: "consent.directive", 0x0202: "consent.revoked",
  0x0301: "emergency.opposition", 0x0302: "emergency.opposition.lifted", 0x0303: "professional.blocked",
  0x0304: "professional.unblocked", 0x0305: "item.masked", 0x0306: "item.unmasked", 0x0307: "item.embargoed",
  0x0308: "item.released", 0x0309: "feed.opposed", 0x030a: "feed.opposition.lifted", 0x0401: "representation.registered",
  0x0402: "representation.ended", 0x0403: "minor.secrecy.set", 0x0404: "minor.secrecy.lifted", 0x0405: "careteam.joined",
  0x0406: "careteam.left", 0x0407: "attending.declared", 0x0408: "attending.ended", 0x0501: "breakglass.opened",
  0x0502: "breakglass.justified", 0x0503: "breakglass.closed", 0x0504: "breakglass.reviewed", 0x0601: "access.read",
  0x0602: "access.search", 0x0603: "access.write", 0x0604: "access.update", 0x0605: "access.download", 0x0606: "access.print",
  0x0607: "access.export", 0x0608: "access.delete", 0x0701: "movement.third_party", 0x0702: "movement.app_sync",
  0x0703: "movement.research", 0x0704: "movement.snds", 0x0801: "decision.made", 0x0901: "notification.queued",
  0x0902: "notification.delivered", 0x0903: "notification.failed", 0x0904: "notification.read", 0x0905: "contest.opened",
  0x0906: "contest.answered", 0x0907: "log.consulted", 0x0908: "session.opened", 0x0909: "session.closed",
  0x090a: "contest.closed", 0x0a01: "key.registered", 0x0a02: "key.rotated", 0x0a03: "key.revoked",
  0x0a04: "role.changed", 0x0a05: "catalogue.published", 0x0a06: "policy.published", 0x0a07: "matrix.published",
  0x0a08: "identity.linked", 0x0a09: "identity.corrected", 0x0a0a: "payload.erased", 0x0a0b: "index.commit", 0x0a0c: "log.closed",
  0x0a0d: "system.event", 0x0a0e: "genesis", 0x0a0f: "node_set.changed", 0x0a10: "vouching.changed", 0x0a11: "issuer.published",
  0x0a12: "records.voided", 0x0a13: "authority.rule", 0x0a14: "device.registered", 0x0a15: "sources.listed",
  0x0a16: "source.heartbeat",
};
const KIND_GENESIS = 0x0a0e;
/** Kinds that the ledger itself makes: decision.made, index.commit, log.closed, genesis. */
const EVENTS = [0x0801, 0x0a0b, 0x0a0c, KIND_GENESIS];
const KIND_ERASED = 0x0a0a;
const KIND_VOIDED = 0x0a12;
const KIND_DECISION = 0x0801;
const KIND_DEVICE = 0x0a14;
const TYPES = { 1: "batch header", 2: "record", 3: "index commit", 4: "ledger event" };
const FLAGS = ["UNJUSTIFIED", "LATE", "DEFERRED", "LEDGER", "BASIS", "CITES", "CLAIMED"];
/** Those that a reader should know of: the others are as it should be. */
const REMARKS = FLAGS.filter((flag) => flag !== "BASIS" && flag !== "CITES");
const [FLAG_UNJUSTIFIED, FLAG_LATE, FLAG_DEFERRED, FLAG_LEDGER, FLAG_BASIS, FLAG_CITES, FLAG_CLAIMED] = FLAGS.map((_, bit) => 2 ** bit);
/** The flags that the author states, and so signs; the others are findings of the ledger. */
const FLAGS_STATED = FLAG_DEFERRED | FLAG_BASIS | FLAG_CITES;
/** Why an access is UNJUSTIFIED; the number stands in bits 8 to 11. */
const REASONS = ["NO_BASIS", "UNKNOWN_REFERENCE", "OTHER_ACTOR", "BEYOND", "EXPIRED", "UNPROVEN"];
const REASON_UNPROVEN = 5;
/** A policy calls nothing late before this. */
const LATE_AFTER_MS_MIN = 60_000;
/** Bases that point to an entry of the log, so that the ledger may find that they do not hold. */
const [BASIS_DECISION, BASIS_BREAKGLASS, BASIS_LEGAL] = [1, 2, 6];
const isAccess = (kind) => kind >> 8 === 6;
const isMovement = (kind) => kind >> 8 === 7;
const reasonOf = (flags) => flags >> 8;

/** Flags that a record entry can have: known ones, a reason only of what is UNJUSTIFIED, nothing cited or claimed without a basis, nothing unproven but what is claimed. */
const areFlags = (flags) =>
  (flags & ~0x0f7f) === 0 &&
  reasonOf(flags) < REASONS.length &&
  (reasonOf(flags) === 0 || (flags & FLAG_UNJUSTIFIED) !== 0) &&
  ((flags & FLAG_CITES) === 0 || (flags & FLAG_BASIS) !== 0) &&
  ((flags & FLAG_CLAIMED) === 0
    ? reasonOf(flags) !== REASON_UNPROVEN
    : (flags & (FLAG_BASIS | FLAG_CITES)) === FLAG_BASIS && [0, REASON_UNPROVEN].includes(reasonOf(flags)));

function entry(bytes, part) {
  const reader = new Reader(bytes, part);
  if (reader.u8() !== 1) fail(part, "an entry of an unknown version");
  const type = reader.u8();
  const flags = reader.u16();
  const it = { bytes, type, flags, index: reader.u64(), timeMs: reader.u64() };
  const want = { 1: flags === 0, 2: areFlags(flags), 3: flags === FLAG_LEDGER, 4: flags === FLAG_LEDGER }[type];
  if (want === undefined) fail(part, "an entry of an unknown type");
  if (!want) fail(part, "an entry with a flag that its type does not have");
  if (type === 1) {
    if (reader.u8() !== 1) fail(part, "an unknown algorithm");
    Object.assign(it, { keyId: reader.take(32), streamId: reader.take(32), seq: reader.u64(), count: reader.u32() });
    if (it.seq < 1 || it.count < 1 || it.count > BATCH_RECORDS_MAX) fail(part, "a batch header with impossible numbers");
    Object.assign(it, { root: reader.take(32), signature: reader.take(reader.u16()) });
    if (it.signature.length !== 64) fail(part, "a signature has 64 bytes");
  } else if (type === 2) {
    Object.assign(it, { kind: reader.u16(), tag: reader.take(32), recordHash: reader.take(32), position: reader.u32() });
    if (it.position >= BATCH_RECORDS_MAX) fail(part, "a position beyond any batch");
    if (flags & FLAG_UNJUSTIFIED && !isAccess(it.kind)) fail(part, "unjustified, and no access");
  } else if (type === 3) {
    Object.assign(it, { depth: reader.u8(), patients: reader.u64(), root: reader.take(32) });
  } else {
    Object.assign(it, { kind: reader.u16(), body: reader.chunk() });
  }
  if (it.kind !== undefined && !(it.kind in KINDS)) fail(part, "an entry of an unknown kind");
  if (type === 4 && !EVENTS.includes(it.kind)) fail(part, "an event of a kind that the ledger does not make");
  reader.end();
  return it;
}

const leafHash = (bytes) => H([0], bytes);
/** The part of a record entry that the author signed (§3): all that the author knows of it, so that no node can file it otherwise. */
const batchLeaf = (it) => H([6], be(it.kind, 2), be(it.flags & FLAGS_STATED, 2), it.tag, it.recordHash);

// ---------------------------------------------------------------------------------------------------------------------
// The patient bundle (docs/formats.md §10)

const BUNDLE = utf8.encode("sillage-trace/v1\n");
const SECTIONS = ["checkpoint", "genesis", "index commit", "identity", "bucket", "range", "authors", "batches", "entries", "since"];
const MADE_BY_LEDGER = 0xffffffff;
const DEPTH_MAX = 26;
const BUCKET_ROWS_MAX = 65_536;
const AUTHOR_NAME_BYTES_MAX = 200;

/** The bodies of the sections by name. What is damaged, missing or out of order is named by the section expected there. */
function sections(bytes) {
  const reader = new Reader(bytes, "header");
  if (!same(reader.take(Math.min(BUNDLE.length, reader.left)), BUNDLE)) fail("header", "it is not a sillage-trace/v1 file");
  const bodies = {};
  for (const [i, part] of SECTIONS.entries()) {
    if (part === "since" && reader.left === 0) break;
    reader.part = part;
    const from = reader.at;
    if (reader.u8() !== i + 1) fail(part, "another part stands in its place");
    bodies[part] = new Reader(reader.chunk(), part);
    const checked = bytes.subarray(from, reader.at);
    if (!same(H(utf8.encode("sillage/section/v1\0"), checked), reader.take(32))) fail(part, "it is damaged");
  }
  reader.end();
  return bodies;
}

const all = (reader, read) => {
  const value = read(reader);
  reader.end();
  return value;
};

/** Everything that a bundle says, nothing of it checked. */
function parseBundle(bytes) {
  const s = sections(bytes);
  const proven = (r) => ({ entry: r.chunk(), path: r.hashes() });
  return {
    note: s.checkpoint.take(s.checkpoint.left),
    genesis: all(s.genesis, proven),
    commit: all(s["index commit"], proven),
    identity: all(s.identity, (r) => {
      const ins = r.take(r.u8());
      const oid = r.take(r.u8());
      return { ins, oid, compartment: r.u8(), proof: r.take(80), tag: r.take(32) };
    }),
    bucket: all(s.bucket, (r) => ({ rows: r.list(64, () => ({ ikey: r.take(32), row: r.take(32) })), path: r.hashes() })),
    range: all(s.range, rangeOf),
    authors: all(s.authors, (r) => r.list(34, () => author(r))),
    batches: all(s.batches, (r) => r.list(144, () => batch(r))),
    items: all(s.entries, (r) => r.list(13, () => item(r))),
    since: s.since ? all(s.since, (r) => ({ size: r.u64(), root: r.take(32), a: r.u64(), proof: r.hashes() })) : null,
  };
}

function author(r) {
  const [alg, key, length] = [r.u8(), r.take(32), r.u8()];
  if (length > AUTHOR_NAME_BYTES_MAX) fail("authors", "a name that is too long");
  return { alg, key, name: r.text(length) };
}

const batch = (r) => ({
  author: r.u32(), streamId: r.take(32), seq: r.u64(), count: r.u32(), root: r.take(32), signature: r.take(64),
});

function rangeOf(r) {
  const [n, a, b] = [r.u64(), r.u64(), r.u64()];
  const it = { n, a, b, mth: r.take(32), before: r.hashes(), after: r.hashes() };
  if (a > b || b > n) fail("range", "an impossible range");
  const isEmpty = same(it.mth, EMPTY) && it.before.length === 0 && it.after.length === 0;
  if (n === 0 && !isEmpty) fail("range", "a patient without entries has no range");
  return it;
}

function item(r) {
  const bytes = r.chunk();
  const state = r.u8();
  if (state > 2) fail("entries", "an entry in an unknown state");
  let shown = null;
  if (state === 1) {
    shown = { salt: r.take(16), record: r.chunk() };
    if (shown.record.length > RECORD_BYTES_MAX) fail("entries", "a record that is too long");
  }
  if (state === 2) {
    shown = { decision: { saltA: r.take(16), saltP: r.take(16), actor: r.chunk(), rest: r.chunk() } };
    const { actor, rest } = shown.decision;
    if (actor.length + rest.length > DECISION_BYTES_MAX) fail("entries", "a decision that is too long");
  }
  return { bytes, shown, batch: r.u32(), path: r.hashes() };
}

/** Entry 0: what holds for the whole log. */
function genesis(it, note, part) {
  const first = entry(it.entry, part);
  if (first.type !== 4 || first.kind !== KIND_GENESIS || first.index !== 0) fail(part, "entry 0 is not a genesis");
  const says = message("Genesis", first.body, part);
  if (says.version !== 1) fail(part, "a genesis of an unknown version");
  if (says.origin !== note.origin) fail(part, "it is the genesis of another log");
  if (says.vrf_public_key?.length !== 32) fail(part, "it names no key for tags");
  if (says.tag_first?.length !== 32 || says.tag_last?.length !== 32) fail(part, "it names no range of tags");
  if ((says.index_depth ?? 0) > DEPTH_MAX) fail(part, "its index is too deep");
  const root = rootOfInclusion(leafHash(it.entry), 0, note.size, it.path);
  if (!root || !same(root, note.root)) fail(part, "it is not the first entry of this log");
  return {
    origin: utf8.encode(says.origin), vrfKey: says.vrf_public_key, depth: says.index_depth ?? 0,
    tags: [says.tag_first, says.tag_last], testLog: says.test_log ?? false, lateAfterMs: says.late_after_ms ?? 0,
  };
}

function indexCommit(it, note, depth, part) {
  const commit = entry(it.entry, part);
  if (commit.type !== 3) fail(part, "the entry is not an index commit");
  const root = rootOfInclusion(leafHash(it.entry), commit.index, note.size, it.path);
  if (!root || !same(root, note.root)) fail(part, "it is not in this log at this place");
  if (commit.depth !== depth) fail(part, "its depth is not the genesis's");
  return commit;
}

async function identity({ ins, oid, compartment, proof, tag }, { vrfKey, tags }, part) {
  const [insText, oidText] = [octets(ins), octets(oid)];
  if (!/^[0-9AB]{15}$/.test(insText) || !/^[0-9]+(\.[0-9]+)*$/.test(oidText) || oid.length > 64) fail(part, "it is no INS with its OID");
  if (compartment > 1) fail(part, "an unknown compartment");
  const alpha = join(ins, oid, utf8.encode(compartment === 1 ? "secret" : ""));
  const output = await vrf(vrfKey, alpha, proof);
  if (!output || !same(output.subarray(0, 32), tag)) fail(part, "the tag is not this patient's");
  if (order(tag, tags[0]) < 0 || order(tag, tags[1]) > 0) fail(part, "another log is there for this patient: the silence of this one proves nothing");
  return { ins: insText, oid: oidText, compartment: compartment === 1 ? "secret" : "open" };
}

/** The number of the bucket: the first `depth` bits, at most 26. */
const bucketOf = (ikey, depth) => (depth === 0 ? 0 : u32(ikey.subarray(0, 4)) >>> 0 >>> (32 - depth));

/** The patient's row, or null where the bucket shows that there is none, and none is claimed. */
function rowInBucket({ rows, path }, ikey, n, commit, part) {
  if (rows.length > BUCKET_ROWS_MAX) fail(part, "it is too large");
  const number = bucketOf(ikey, commit.depth);
  rows.forEach((row, i) => {
    if (bucketOf(row.ikey, commit.depth) !== number) fail(part, "a row that belongs to another bucket");
    if (i > 0 && order(rows[i - 1].ikey, row.ikey) >= 0) fail(part, "rows out of their order");
  });
  let root = H([4], be(rows.length, 4), ...rows.flatMap((row) => [row.ikey, row.row]));
  if (path.length !== commit.depth) fail(part, "a path of another length than the index is deep");
  let place = number;
  for (const sibling of path) {
    root = isOdd(place) ? node(sibling, root) : node(root, sibling);
    place = half(place);
  }
  if (!same(root, commit.root)) fail(part, "it is not in the patient index");
  const row = rows.find((row) => same(row.ikey, ikey))?.row ?? null;
  if (row && n === 0) fail(part, "the index holds entries of this patient, and none are shown");
  if (!row && n !== 0) fail(part, "the index holds no entry of this patient");
  return row;
}

/** The row must be the one of `n` and the patient's tree; the entries shown must be that tree's, from `a` to `b`. */
function rangeOfRow({ n, a, b, mth, before, after }, items, ikey, row, part) {
  if (row && !same(H([3], ikey, be(n, 8), mth), row)) fail(part, "another number of entries, or other entries, than the index holds");
  if (items.length !== b - a) fail(part, `${items.length} entries where there should be ${b - a}`);
  if (n === 0) return;
  const leaves = items.map(({ it }) => H([2], leafHash(it.bytes), it.recordHash ?? fail(part, "an entry that is no record")));
  const root = rootOfRange(n, a, b, leaves, before, after);
  if (!root || !same(root, mth)) fail(part, "the entries are not those that the index holds");
}

/** The message that an author signs for a batch (§3). */
function batchMessage(origin, keyId, { streamId, seq, count, root }) {
  return join(utf8.encode("sillage/batch/v2\0"), [1], keyId, [origin.length], origin, streamId, be(seq, 8), be(count, 4), root);
}

/** Begins to check every signature, all at once; they are awaited where an entry needs them. Returns what was used so far. */
function signers({ authors, batches }, origin, context) {
  for (const it of authors) {
    if (it.alg !== 1) fail("authors", "an unknown algorithm");
    it.keyId = H(utf8.encode("sillage/key/v1\0"), [it.alg], it.key);
  }
  for (const it of batches) {
    const { key, keyId } = authors[it.author] ?? fail("batches", "its author is not in the list");
    it.holds = context.ed25519(key, it.signature, batchMessage(origin, keyId, it));
  }
  return { authors: 0, batches: 0, keys: new Set(), numbers: new Set() };
}

/** Checks a batch and its author where the first entry of it stands; both lists are in that order. */
async function firstUse(bundle, place, uses) {
  const it = bundle.batches[place];
  if (place !== uses.batches++) fail("batches", "they are not in the order of their use");
  if (it.seq < 1 || it.count < 1 || it.count > BATCH_RECORDS_MAX) fail("batches", "a batch with impossible numbers");
  const number = `${hex(it.streamId)} ${it.seq}`;
  if (uses.numbers.has(number)) fail("batches", "one number of a stream stands here twice");
  uses.numbers.add(number);
  if (it.author >= uses.authors) {
    const key = hex(bundle.authors[it.author].key);
    if (it.author !== uses.authors++) fail("authors", "they are not in the order of their use");
    if (uses.keys.has(key)) fail("authors", "one key stands here twice");
    uses.keys.add(key);
  }
  if (!(await it.holds)) fail("batches", "a batch that its author did not sign");
}

/** One half of what the act that registers a patient's own device commits to (docs/formats.md §21). */
const deviceHalf = (salt, tag) => H(utf8.encode("sillage/device/tag/v1\0"), salt, tag);

/** That commitment: the smaller half comes first. */
function deviceCommitment(one, other) {
  const [first, second] = hex(one) < hex(other) ? [one, other] : [other, one];
  return H(utf8.encode("sillage/device/v1\0"), first, second);
}

/** The mark of such a device in the record of its first reading. */
const deviceMark = (salt, author, tag) => H(utf8.encode("sillage/device/reading/v1\0"), salt, author, tag);

/** A record that tells of a patient's own device says what it has to, and nothing else. */
function checkDevice(says, bad) {
  let details;
  try {
    details = JSON.parse(says.details ?? "");
  } catch {
    bad("a device whose details are no JSON");
  }
  const fields = { party: /^[0-9a-f]{64}$/, name: /^.+$/u, authority: /^.+$/u, salt: /^[0-9a-f]{32}$/, other: /^[0-9a-f]{64}$/ };
  const names = Object.keys(details ?? {}).sort().join();
  const right = Object.entries(fields).every(([name, form]) => typeof details[name] === "string" && form.test(details[name]));
  if (names !== Object.keys(fields).sort().join() || !right) bad("a device that is told of in another form");
}

/** The record that is shown must be the one that was logged, in the one encoding, and speak of this patient. */
function checkRecord({ it, shown }, part) {
  const bad = (why) => fail(part, `entry ${it.index}: ${why}`);
  if (!same(H([0], shown.salt, shown.record), it.recordHash)) bad("the record is not the one that was logged");
  shown.says = message("Record", shown.record, part);
  const { version, kind, tag } = shown.says;
  if (version !== 1) bad("a record of an unknown version");
  if (kind !== it.kind) bad("the record is of another kind");
  if (!tag || !same(tag, it.tag)) bad("the record is of another patient");
  if (kind === KIND_DEVICE) checkDevice(shown.says, bad);
}

/** The same of a decision of the ledger, which has two parts; what the actor was told follows from what was decided. */
function checkDecision({ it, shown }, part) {
  const bad = (why) => fail(part, `entry ${it.index}: ${why}`);
  const { saltA, saltP, actor, rest } = shown.decision;
  if (!same(H([5], H([0], saltA, actor), H([0], saltP, rest)), it.recordHash)) bad("the decision is not the one that was made");
  const [told, all] = [message("DecisionActorPart", actor, part), message("DecisionPrivatePart", rest, part)];
  if (told.version !== 1 || all.version !== 1) bad("a decision of an unknown version");
  if (it.kind !== KIND_DECISION || it.flags !== FLAG_LEDGER || it.timeMs !== told.decided_at_ms) bad("another decision than its entry says");
  // Refused for nothing but items of the secret tag, it stands there, and doesn't tell the actor so.
  const asked = all.request && message("DecisionRequest", all.request, part);
  const [named, under] = asked?.secret_tag ? [told.permitted ? asked.secret_tag : asked.tag, asked.secret_tag] : [it.tag, it.tag];
  if (!told.tag || !named || !same(told.tag, named) || !same(under, it.tag)) bad("the decision is about another patient");
  const outcomes = all.outcomes ?? [];
  const lists = (some, ids = []) => some.length === ids.length && some.every((outcome, i) => outcome.id === ids[i]);
  const isTold = ({ permit, reason }) => permit || reason === "NOT_OWNER";
  const known = asked?.secret_tag && !told.permitted ? [] : outcomes.filter(isTold);
  if (!lists(outcomes.filter((o) => o.permit), told.permitted) || !lists(known, told.told)) bad("the actor was told something else");
  if (all.request && !(told.request_hash && same(H([0], all.request), told.request_hash))) bad("it answers another request");
  // What a report shows of a record, as far as a decision has it.
  shown.says = { actor: told.actor, purpose: told.purpose, occurred_at_ms: told.decided_at_ms, items: outcomes, decision: { action: told.action, outcomes } };
}

/** The flags are those that follow from the record, or, where that is gone, from some record that there can be. */
function areFlagsRight({ it, shown }, lateAfterMs) {
  const { kind, flags } = it;
  if (flags & FLAG_LEDGER) return flags === FLAG_LEDGER;
  const { basis, deferred, occurred_at_ms: happenedMs = 0 } = shown?.says ?? {};
  const hasBasis = shown ? basis !== undefined : (flags & FLAG_BASIS) !== 0;
  const refers = basis?.kind === BASIS_DECISION || basis?.kind === BASIS_BREAKGLASS;
  const cites = shown ? refers : (flags & FLAG_CITES) !== 0;
  const happened = isAccess(kind) || isMovement(kind);
  const isClaimed = (flags & FLAG_CLAIMED) !== 0;
  if (isClaimed && !happened) return false;
  const isUnjustified = (flags & FLAG_UNJUSTIFIED) !== 0;
  // Without basis: unjustified, and for that reason. With one: only if it points to what the ledger can look up, or nothing
  // on record supports it.
  const found = reasonOf(flags) === REASON_UNPROVEN ? isClaimed : reasonOf(flags) > 0 && cites;
  const isJust = isAccess(kind) && !hasBasis ? isUnjustified && reasonOf(flags) === 0 : !isUnjustified || found;
  const isLate = (flags & FLAG_LATE) !== 0;
  if (!shown) return isJust;
  const stated = (hasBasis ? FLAG_BASIS : 0) | (cites ? FLAG_CITES : 0) | (deferred === undefined ? 0 : FLAG_DEFERRED);
  // The genesis says from when on an access or movement is late; a policy may say so earlier, and of every kind.
  const ageMs = it.timeMs - happenedMs;
  const isTimely = isLate ? ageMs > Math.min(lateAfterMs, LATE_AFTER_MS_MIN) : !happened || ageMs <= lateAfterMs;
  return isJust && (flags & FLAGS_STATED) === stated && isTimely;
}

/** One entry: its record, its place in its batch, and its author's word for it. Its author, or null where the ledger made it. */
async function checkItem(one, bundle, uses, lateAfterMs, part) {
  const { it, shown, batch: place, path } = one;
  const bad = (why) => fail(part, `entry ${it.index}: ${why}`);
  if (shown?.decision) checkDecision(one, part);
  else if (shown) checkRecord(one, part);
  else if (it.kind === KIND_ERASED || it.kind === KIND_VOIDED) bad("an act of the authority keeps its record");
  if (!areFlagsRight(one, lateAfterMs)) bad("it is flagged otherwise than its record says");
  const ofLedger = (it.flags & FLAG_LEDGER) !== 0;
  if (ofLedger !== (place === MADE_BY_LEDGER)) bad("made by the ledger, or by an author?");
  if (ofLedger) {
    if (path.length > 0 || it.position !== 0) bad("an entry of the ledger has no batch");
    return null;
  }
  const batch = bundle.batches[place] ?? bad("its batch is not in the list");
  const root = rootOfInclusion(batchLeaf(it), it.position, batch.count, path);
  if (!root || !same(root, batch.root)) bad("it is not in the batch that its author signed");
  const header = it.index - 1 - it.position;
  if (batch.header === undefined) {
    await firstUse(bundle, place, uses);
    batch.header = header;
  }
  // Else one record could be shown under two entries.
  if (header !== batch.header || header < 1) bad("its batch does not stand before it");
  return bundle.authors[batch.author];
}

/** Nothing stands in the lists that no entry needs, and whatever is not shown is known to be erased, where the end is shown. */
function nothingLeft({ authors, batches, range }, uses, entries) {
  if (uses.authors !== authors.length) fail("authors", "an author whom no entry needs");
  if (uses.batches !== batches.length) fail("batches", "a batch that no entry needs");
  const withheld = entries.find((e) => e.state === "withheld");
  if (withheld && range.b === range.n) fail("entries", `entry ${withheld.index}: content withheld, no erasure on record shows why`);
}

/** The root of the first `a` leaves, from the part of a range proof that stands before them. */
const rootOfFirst = (a, before) => (a === 0 ? EMPTY : before.reduceRight((right, left) => node(left, right)));

function checkSince(since, note, { n, a, b, before }, part) {
  if (!since) return null;
  const { size, root, proof } = since;
  if (since.a !== a || b !== n) fail(part, "a delta shows all that came after what it continues");
  if (!isConsistent(size, root, note.size, note.root, proof)) fail(part, "this log does not extend the one of the earlier bundle");
  return { size, root: hex(root), a, mth: hex(rootOfFirst(a, before)), linked: false };
}

async function bundle(file, context) {
  const it = parseBundle(file.bytes);
  const note = await checkpoint(it.note, context);
  const first = genesis(it.genesis, note, "genesis");
  const commit = indexCommit(it.commit, note, first.depth, "index commit");
  const who = await identity(it.identity, first, "identity");
  const { tag } = it.identity;
  const ikey = H(utf8.encode("sillage/ikey/v1\0"), tag);
  const row = rowInBucket(it.bucket, ikey, it.range.n, commit, "bucket");
  for (const one of it.items) one.it = entry(one.bytes, "entries");
  rangeOfRow(it.range, it.items, ikey, row, "range");
  const uses = signers(it, first.origin, context);
  const entries = [];
  let above = -1;
  for (const one of it.items) {
    const { type, index } = one.it;
    if (type !== 2 || !same(one.it.tag, tag)) fail("entries", `entry ${index} is not a record of this patient`);
    if (index <= above || index >= commit.index) fail("entries", `entry ${index} is out of order`);
    above = index;
    entries.push(line(one, await checkItem(one, it, uses, first.lateAfterMs, "entries")));
  }
  explainErased(entries);
  markVoided(entries);
  nothingLeft(it, uses, entries);
  const { n, a, b, mth } = it.range;
  const since = checkSince(it.since, note, it.range, "since");
  return {
    ...common(file, "bundle", note), identity: who, tag: hex(tag), testLog: first.testLog,
    n, a, b, mth: hex(mth), complete: a === 0 && b === n, since,
    mthBefore: hex(rootOfFirst(a, it.range.before)),
    commit: { index: commit.index, timeMs: commit.timeMs, patients: commit.patients },
    current: commit.index + 1 === note.size,
    entries, erased: entries.filter((e) => e.state === "erased").length,
  };
}

const common = (file, kind, note) => ({
  file: file.name, kind, origin: note.origin, size: note.size, root: hex(note.root), logKey: hex(note.logKey),
  asOfS: note.asOfS, groups: note.groups, cosigners: note.cosigners,
});

/** An entry as the report shows it. */
function line({ it, shown }, author) {
  return {
    index: it.index, timeMs: it.timeMs, kind: KINDS[it.kind], kindCode: it.kind,
    flags: REMARKS.filter((flag) => (it.flags >> FLAGS.indexOf(flag)) & 1),
    unjustifiedReason: it.flags & FLAG_UNJUSTIFIED ? REASONS[reasonOf(it.flags)] : null,
    author: author ? { name: author.name, keyId: hex(author.keyId) } : null,
    state: shown ? "shown" : "withheld", erased: null, voidedBy: null, record: shown?.says ?? null,
  };
}

/** For each erased entry, the later entry that says so: the acts of erasing in this bundle. */
function explainErased(entries) {
  const acts = entries.filter((e) => e.kindCode === KIND_ERASED && e.record?.act?.erased);
  for (const gone of entries.filter((e) => e.state === "withheld")) {
    const names = ({ patient, indices }) => patient || (indices ?? []).includes(gone.index);
    const act = acts.find((e) => e.index > gone.index && names(e.record.act.erased));
    if (!act) continue;
    gone.state = "erased";
    gone.erased = { index: act.index, timeMs: act.timeMs, ground: act.record.act.erased.ground ?? "" };
  }
}

/** Which records count for nothing: what the ledger tells the patient of it in this bundle (docs/formats.md §17). */
function markVoided(entries) {
  const acts = new Map();
  for (const told of entries.filter((e) => e.kindCode === KIND_VOIDED && e.record)) {
    const { act, records, reinstates } = detailsOf(told.record);
    for (const index of Array.isArray(records) ? records : []) {
      const of = acts.get(index) ?? acts.set(index, new Set()).get(index);
      if (reinstates === undefined) of.add(act);
      else of.delete(reinstates);
    }
  }
  for (const e of entries) {
    const by = [...(acts.get(e.index) ?? [])];
    if (by.length > 0) e.voidedBy = Math.min(...by);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The receipt of a decision (docs/formats.md §13)

const RECEIPT = utf8.encode("sillage-receipt/v1\n");
const OBLIGATIONS = ["JUSTIFY", "NOTIFY_PATIENT", "NOTIFY_ATTENDING", "REVIEW"];

/** The node keys that a policy knows, for a log that it names. */
function nodeKeys(policy, origin) {
  if (!policy.logs.some((log) => readable(log.name) === origin)) fail("receipt", `the policy knows no log ${origin}: another log's receipt`);
  const names = policy.names.has("nodes") ? witnessesOf(policy, "nodes") : [];
  return names.map((name) => policy.names.get(name).witness.key);
}

async function receipt(file, context) {
  const reader = new Reader(file.bytes, "header");
  if (!same(reader.take(Math.min(RECEIPT.length, reader.left)), RECEIPT)) fail("header", "it is not a sillage-receipt/v1 file");
  reader.part = "receipt";
  const origin = reader.text(reader.u8());
  const keys = nodeKeys(context.policy, origin);
  const count = reader.u8();
  if (count < 1 || count > 2) fail("receipt", "it holds one receipt or two");
  const receipts = [];
  for (let i = 0; i < count; i++) receipts.push(await oneReceipt(reader, origin, keys, context));
  reader.end();
  if (receipts.some((it) => it.requestHash !== receipts[0].requestHash)) fail("receipt", "its receipts answer different requests");
  stands(receipts, context);
  return { file: file.name, kind: "receipt", origin, receipts };
}

/** One receipt: that a node of the policy signed it, over exactly what the actor was told. */
async function oneReceipt(reader, origin, keys, context) {
  const bad = (why) => fail("receipt", why);
  if (reader.u8() !== 1) bad("an unknown algorithm");
  const [keyId, index, timeMs, signature] = [reader.take(32), reader.u64(), reader.u64(), reader.take(64)];
  const [saltA, privateHash, length] = [reader.take(16), reader.take(32), reader.u32()];
  if (length > RECORD_BYTES_MAX) bad("an actor's part that is too long");
  const part = reader.take(length);
  const says = message("DecisionActorPart", part, "receipt");
  const { tag, request_hash: requestHash, permitted = [], told = [], obligations = [], decided_at_ms: from = 0, expires_at_ms: until = 0 } = says;
  if (says.version !== 1) bad("a decision of an unknown version");
  if (tag?.length !== 32 || requestHash?.length !== 32 || !says.actor) bad("it names no patient, no request or no actor");
  if (!permitted.every((id) => told.includes(id)) || !obligations.every((token) => OBLIGATIONS.includes(token)) || from > until) {
    bad("what it says contradicts itself");
  }
  if (from !== timeMs) bad("its time is not the decision's");
  const recordHash = H([5], H([0], saltA, part), privateHash);
  const name = utf8.encode(origin);
  const signed = join(utf8.encode("sillage/decision/v1\0"), [1], keyId, [name.length], name, be(index, 8), be(timeMs, 8), tag, recordHash);
  const key = keys.find((known) => same(H(utf8.encode("sillage/key/v1\0"), [1], known), keyId)) ?? bad("no node of the policy has signed it");
  if (!(await context.ed25519(key, signature, signed))) bad("its signature does not hold");
  return {
    index, tag: hex(tag), requestHash: hex(requestHash), recordHash: hex(recordHash), actor: says.actor, action: says.action ?? "",
    purpose: says.purpose ?? "", permitted, told, obligations, decidedAtMs: from, expiresAtMs: until,
  };
}

/** Whether all of them are valid now, or at the moment that was asked about: then to the millisecond. */
function stands(receipts, { atMs, nowS, lang }) {
  const now = atMs ?? nowS * 1000;
  const ahead = atMs === undefined ? AHEAD_S_MAX * 1000 : 0;
  const from = Math.max(...receipts.map((it) => it.decidedAtMs));
  const until = Math.min(...receipts.map((it) => it.expiresAtMs));
  if (from - now > ahead) fail("validity", WORDS[lang].notYet(from));
  if (until <= now) fail("validity", WORDS[lang].noMore(until));
}

// ---------------------------------------------------------------------------------------------------------------------
// Proof of one entry (c2sp.org/tlog-proof@v1, docs/formats.md §11), and a bare checkpoint

const PROOF = "c2sp.org/tlog-proof@v1\n";

async function proof(file, context) {
  if (file.bytes.length > PROOF_BYTES_MAX) fail("header", "it is too long");
  const text = octets(file.bytes);
  const cut = text.indexOf("\n\n");
  if (!text.startsWith(PROOF) || cut < 0) fail("header", "it is not a tlog-proof@v1 file");
  const lines = text.slice(PROOF.length, cut).split("\n");
  const given = lines[0].startsWith("extra ") ? lines.shift() : null;
  const held = given ? unbase64(given.slice(6)) : null;
  if (!held || held.length <= 32) fail("extra", "it does not hold the entry and a check");
  const extra = held.subarray(0, held.length - 32);
  const number = lines.shift() ?? "";
  const index = number.startsWith("index ") ? decimal(number.slice(6)) : null;
  if (index === null) fail("index", "it names no place in the log");
  const path = lines.map((hash) => unbase64(hash));
  if (path.length > 64 || !path.every((hash) => hash?.length === 32)) fail("inclusion", "a line that is not a hash");
  const note = await checkpoint(file.bytes.subarray(cut + 2), context);
  const it = entry(extra, "extra");
  if (it.index !== index) fail("index", "the entry says another place");
  const root = rootOfInclusion(leafHash(extra), index, note.size, path);
  if (!root || !same(root, note.root)) fail("inclusion", "this entry is not in this log at this place");
  const [before, after] = [PROOF.length, PROOF.length + given.length + 1];
  const rest = join(utf8.encode("sillage/tlog-proof/v1\0"), file.bytes.subarray(0, before), file.bytes.subarray(after));
  // All else holds, so it is in what C2SP has verifiers ignore: a signature line of a key that the policy doesn't know.
  if (!same(held.subarray(held.length - 32), sha256(rest))) fail("signatures", "a signature line was changed");
  const of = it.kind === undefined ? {} : { kind_of_entry: KINDS[it.kind], kindCode: it.kind };
  const record = it.type === 2 ? { tag: hex(it.tag), recordHash: hex(it.recordHash) } : {};
  return { ...common(file, "proof", note), entry: { index, timeMs: it.timeMs, type: TYPES[it.type], ...of, ...record } };
}

/** The files that this verifier takes, for whoever gives it something else. */
const TAKES = "it is none of the files that are verified here: .sillage-trace, .sillage-receipt, .tlog-proof, or a checkpoint (a signed note)";

async function bare(file, context) {
  if (!octets(file.bytes).includes("\n\n")) fail("checkpoint", TAKES);
  return common(file, "checkpoint", await checkpoint(file.bytes, context));
}

/** The kind of a file: by its name, or else by how it begins. */
function readerOf({ name, bytes }) {
  const start = octets(bytes.subarray(0, 64));
  if (name.endsWith(".sillage-trace") || start.startsWith("sillage-trace/")) return bundle;
  if (name.endsWith(".sillage-receipt") || start.startsWith("sillage-receipt/")) return receipt;
  if (name.endsWith(".tlog-proof") || start.startsWith("c2sp.org/tlog-proof")) return proof;
  return bytes.subarray(0, 4096).includes(0) ? bundle : bare;
}

// ---------------------------------------------------------------------------------------------------------------------
// Several files together: deltas and what they continue, pages of one trace, two views of one log

function together(reports, errors) {
  const bundles = reports.filter((r) => r.kind === "bundle").sort((x, y) => x.size - y.size || x.a - y.a);
  const wrong = (report, part, text) => {
    errors.push({ file: report.file, part, message: text });
    report.refused = true;
  };
  const roots = new Map();
  for (const report of reports.filter((r) => r.kind !== "receipt")) {
    const key = `${report.size} ${report.origin}`;
    const seen = roots.get(key) ?? report;
    roots.set(key, seen);
    if (seen.root !== report.root) wrong(report, "checkpoint", `${seen.file} holds another history of the same length: keep both as evidence`);
  }
  const shown = new Map(); // of one state of a trace, the ranges that the files show
  for (const report of bundles) {
    const state = ({ origin, tag, n, mth }) => `${origin} ${tag} ${n} ${mth}`;
    const ranges = shown.get(state(report)) ?? [];
    shown.set(state(report), ranges);
    ranges.push([report.a, report.b]);
    if (!report.since) continue;
    const { size, root, a, mth } = report.since;
    const bases = bundles.filter((o) => o !== report && o.origin === report.origin && o.tag === report.tag && o.size === size);
    const isSame = (o) => o.root === root && o.n === a && o.mth === mth && o.commit.index <= report.commit.index;
    const isBefore = (o) => report.entries.length === 0 || report.entries[0].index > o.commit.index;
    const base = bases.find((o) => isSame(o) && isBefore(o) && o.b === o.n);
    if (base) {
      report.since.linked = true;
      ranges.push(...(shown.get(state(base)) ?? []));
    } else if (bases.some((o) => !isSame(o) || !isBefore(o))) wrong(report, "since", `it does not continue ${bases[0].file}`);
  }
  for (const report of bundles) {
    const ranges = shown.get(`${report.origin} ${report.tag} ${report.n} ${report.mth}`).sort(([x], [y]) => x - y);
    const reached = ranges.reduce((end, [a, b]) => (a <= end ? Math.max(end, b) : end), 0);
    report.complete = reached === report.n;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// In plain words

const SECOND_MS_MAX = 8.64e15;

function day(ms) {
  if (ms > SECOND_MS_MAX) return `${ms} ms`;
  return new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}

/** Text for people: control characters of a record, or of a name, must not reach a terminal. */
const clean = (text) => String(text).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");

/** The words of tokens, in French and in English: those of docs/vectors/words.json, which the programs in Rust use too; a test compares them. */
const VOCABULARY = {
  actions: {
    delete: { fr: "supprimer", en: "delete" },
    download: { fr: "télécharger", en: "download" },
    export: { fr: "exporter", en: "export" },
    print: { fr: "imprimer", en: "print" },
    read: { fr: "consulter", en: "read" },
    search: { fr: "rechercher", en: "search" },
    update: { fr: "modifier", en: "change" },
    write: { fr: "ajouter", en: "add" },
  },
  bases: {
    breakglass: { fr: "par un accès d'urgence", en: "by break-glass" },
    care_team: { fr: "en tant que membre de l'équipe de soins", en: "as a member of the care team" },
    consent: { fr: "avec le consentement du patient", en: "with the patient's consent" },
    decision: { fr: "sur autorisation", en: "by an authorisation" },
    "emergency-mode": { fr: "selon les règles d'urgence de l'établissement", en: "by the establishment's emergency rules" },
    legal: { fr: "en vertu de la loi", en: "by law" },
    self: { fr: "en tant que patient", en: "as the patient" },
  },
  categories: {
    ADVANCE_DIRECTIVES: { fr: "directives anticipées", en: "advance directives" },
    ALLERGIES: { fr: "allergies", en: "allergies" },
    DocumentReference: { fr: "document", en: "document" },
    IMAGING: { fr: "imagerie", en: "imaging" },
    LAB: { fr: "biologie", en: "laboratory" },
    LETTER: { fr: "courrier", en: "letter" },
    PRESCRIPTION: { fr: "ordonnance", en: "prescription" },
    REPORT: { fr: "compte rendu", en: "report" },
    SUMMARY: { fr: "synthèse médicale", en: "summary" },
    VACCINATION: { fr: "vaccination", en: "vaccination" },
    WEIGHT: { fr: "poids", en: "weight" },
  },
  flags: {
    CLAIMED: { fr: "déclare", en: "says" },
    DEFERRED: { fr: "transmis après une panne de l'établissement", en: "handed in after an outage of the establishment" },
    LATE: { fr: "enregistré tardivement", en: "recorded late" },
    LEDGER: { fr: "écrit par le registre lui-même", en: "written by the ledger itself" },
  },
  kinds: {
    "access.delete": { fr: "suppression", en: "deletion" },
    "access.download": { fr: "téléchargement", en: "download" },
    "access.export": { fr: "export", en: "export" },
    "access.print": { fr: "impression", en: "print" },
    "access.read": { fr: "consultation", en: "read" },
    "access.search": { fr: "recherche", en: "search" },
    "access.update": { fr: "modification", en: "change" },
    "access.write": { fr: "ajout", en: "addition" },
    "attending.declared": { fr: "médecin traitant", en: "attending doctor" },
    "attending.ended": { fr: "fin de médecin traitant", en: "attending doctor ended" },
    "authority.rule": { fr: "règle des autorités", en: "rule of the authorities" },
    "breakglass.closed": { fr: "urgence close", en: "break-glass closed" },
    "breakglass.justified": { fr: "urgence justifiée", en: "break-glass justified" },
    "breakglass.opened": { fr: "accès d'urgence", en: "break-glass" },
    "breakglass.reviewed": { fr: "urgence contrôlée", en: "break-glass reviewed" },
    "careteam.joined": { fr: "équipe de soins", en: "care team joined" },
    "careteam.left": { fr: "départ de l'équipe", en: "care team left" },
    "catalogue.published": { fr: "catalogue publié", en: "catalogue published" },
    "consent.directive": { fr: "directive de consentement", en: "consent directive" },
    "consent.revoked": { fr: "consentement retiré", en: "consent withdrawn" },
    "contest.answered": { fr: "réponse à contestation", en: "contest answered" },
    "contest.closed": { fr: "contestation close", en: "contest closed" },
    "contest.opened": { fr: "contestation", en: "contest" },
    "decision.made": { fr: "décision d'accès", en: "access decision" },
    "device.registered": { fr: "appareil enregistré", en: "device registered" },
    "emergency.opposition": { fr: "opposition à l'urgence", en: "emergency opposition" },
    "emergency.opposition.lifted": { fr: "opposition levée", en: "opposition lifted" },
    "feed.opposed": { fr: "source refusée", en: "feed opposed" },
    "feed.opposition.lifted": { fr: "source acceptée", en: "feed accepted" },
    genesis: { fr: "genèse", en: "genesis" },
    "identity.corrected": { fr: "identité corrigée", en: "identity corrected" },
    "identity.linked": { fr: "identités rapprochées", en: "identities linked" },
    "index.commit": { fr: "index des patients", en: "patient index" },
    "issuer.published": { fr: "fournisseur d'identité publié", en: "issuer of logins published" },
    "item.embargoed": { fr: "annonce attendue", en: "held for announcement" },
    "item.masked": { fr: "document masqué", en: "document masked" },
    "item.released": { fr: "annonce faite", en: "released" },
    "item.unmasked": { fr: "document démasqué", en: "document unmasked" },
    "key.registered": { fr: "clé enregistrée", en: "key registered" },
    "key.revoked": { fr: "clé révoquée", en: "key revoked" },
    "key.rotated": { fr: "clé remplacée", en: "key rotated" },
    "log.closed": { fr: "registre fermé", en: "log closed" },
    "log.consulted": { fr: "lecture de la trace", en: "trace read" },
    "matrix.published": { fr: "matrice d'habilitation publiée", en: "matrix published" },
    "minor.secrecy.lifted": { fr: "secret levé", en: "secrecy lifted" },
    "minor.secrecy.set": { fr: "secret demandé", en: "secrecy asked for" },
    "movement.app_sync": { fr: "synchronisation", en: "app synchronisation" },
    "movement.research": { fr: "recherche scientifique", en: "research release" },
    "movement.snds": { fr: "SNDS", en: "SNDS" },
    "movement.third_party": { fr: "transmission à un tiers", en: "to a third party" },
    "node_set.changed": { fr: "nœuds changés", en: "nodes changed" },
    "notification.delivered": { fr: "notification", en: "notification" },
    "notification.failed": { fr: "notification non remise", en: "notification failed" },
    "notification.queued": { fr: "notification préparée", en: "notification queued" },
    "notification.read": { fr: "notification lue", en: "notification read" },
    "payload.erased": { fr: "contenu effacé", en: "content erased" },
    "policy.published": { fr: "politique publiée", en: "policy published" },
    "professional.blocked": { fr: "professionnel bloqué", en: "professional blocked" },
    "professional.unblocked": { fr: "professionnel débloqué", en: "professional unblocked" },
    "records.voided": { fr: "enregistrements annulés", en: "records voided" },
    "representation.ended": { fr: "fin de représentation", en: "representation ended" },
    "representation.registered": { fr: "représentant", en: "representative" },
    "role.changed": { fr: "rôle changé", en: "role changed" },
    "session.closed": { fr: "session fermée", en: "session closed" },
    "session.opened": { fr: "session ouverte", en: "session opened" },
    "source.heartbeat": { fr: "signe de vie d'une source", en: "heartbeat of a source" },
    "sources.listed": { fr: "liste des sources", en: "list of sources" },
    "space.closed": { fr: "espace clos", en: "space closed" },
    "space.opened": { fr: "espace ouvert", en: "space opened" },
    "space.opposed": { fr: "opposition à l'espace", en: "space opposed" },
    "system.event": { fr: "événement d'un système", en: "system event" },
    "vouching.changed": { fr: "services qui répondent : changement", en: "vouching changed" },
  },
  obligations: {
    JUSTIFY: { fr: "justifier l'accès", en: "justify the access" },
    NOTIFY_ATTENDING: { fr: "informer le médecin traitant", en: "tell the attending doctor" },
    NOTIFY_PATIENT: { fr: "informer le patient", en: "tell the patient" },
    REVIEW: { fr: "faire contrôler l'accès", en: "have the access reviewed" },
  },
  outcomes: {
    major_failure: { fr: "échec grave", en: "major failure" },
    minor_failure: { fr: "échec mineur", en: "minor failure" },
    serious_failure: { fr: "échec ou refus", en: "failed or refused" },
  },
  purposes: {
    BTG: { fr: "en urgence (bris de glace)", en: "in an emergency (break-glass)" },
    COC: { fr: "pour la coordination des soins", en: "for the coordination of care" },
    ETREAT: { fr: "pour des soins urgents", en: "for urgent care" },
    FAMRQT: { fr: "à la demande de la famille", en: "at the family's request" },
    HOPERAT: { fr: "pour le fonctionnement de l'établissement", en: "for the running of the establishment" },
    HPAYMT: { fr: "pour la facturation", en: "for payment" },
    HRESCH: { fr: "pour la recherche", en: "for research" },
    PATRQT: { fr: "à la demande du patient", en: "at the patient's request" },
    PUBHLTH: { fr: "pour la santé publique", en: "for public health" },
    TREAT: { fr: "pour des soins", en: "for care" },
  },
  reasons: {
    ATTENDING: { fr: "médecin traitant", en: "attending doctor" },
    BLOCKED: { fr: "professionnel bloqué par le patient", en: "blocked by the patient" },
    BREAK_GLASS: { fr: "accès d'urgence", en: "emergency access" },
    CARE_TEAM: { fr: "membre de l'équipe de soins", en: "member of the care team" },
    CONSENT_DENY: { fr: "interdit par une directive du patient", en: "denied by a directive of the patient" },
    CONSENT_GRANT: { fr: "autorisé par une directive du patient", en: "permitted by a directive of the patient" },
    DEPOSITOR: { fr: "auteur du dépôt", en: "who deposited it" },
    DEPOSIT_DEFAULT: { fr: "dépôt par un professionnel", en: "a professional's deposit" },
    EMBARGOED: { fr: "consultation d'annonce attendue", en: "waits to be told by a person" },
    EMERGENCY_OPPOSED: { fr: "opposition du patient à l'accès d'urgence", en: "the patient opposed emergency access" },
    FEED_OPPOSED: { fr: "source refusée par le patient", en: "source opposed by the patient" },
    INVALID_ACTOR: { fr: "acteur inconnu ou révoqué", en: "actor unknown or revoked" },
    LEDGER_UNREACHABLE: { fr: "registre hors d'atteinte", en: "ledger out of reach" },
    LEGAL_FEED: { fr: "source prévue par la loi", en: "source provided for by law" },
    MASKED: { fr: "document masqué", en: "masked document" },
    MATRIX: { fr: "profession non habilitée", en: "profession not entitled" },
    MINOR_SECRECY: { fr: "tenu secret des représentants", en: "kept from representatives" },
    NOT_CATALOGUED: { fr: "application hors catalogue", en: "app not in the catalogue" },
    NOT_OWNER: { fr: "déposé par quelqu'un d'autre", en: "deposited by somebody else" },
    NO_CONSENT: { fr: "aucune autorisation", en: "nothing permits it" },
    PURPOSE_BARRED: { fr: "finalité interdite par la loi", en: "purpose barred by law" },
    REPRESENTATIVE: { fr: "représentant du patient", en: "the patient's representative" },
    SELF: { fr: "données du patient lui-même", en: "the patient's own data" },
    SPACE_CLOSED: { fr: "espace de santé clos", en: "health space closed" },
    UNKNOWN_ITEM: { fr: "document inconnu chez ce patient", en: "no such document of this patient" },
  },
  roles: {
    IRCP: { fr: "destinataire", en: "recipient" },
    anaesthetist: { fr: "anesthésiste", en: "anaesthetist" },
    app: { fr: "application", en: "app" },
    application: { fr: "application", en: "app" },
    biologist: { fr: "biologiste médical", en: "medical biologist" },
    cardiologist: { fr: "cardiologue", en: "cardiologist" },
    dentist: { fr: "dentiste", en: "dentist" },
    dermatologist: { fr: "dermatologue", en: "dermatologist" },
    "emergency-physician": { fr: "médecin urgentiste", en: "emergency physician" },
    "fire-brigade-physician": { fr: "médecin des sapeurs-pompiers", en: "fire brigade physician" },
    "general-practitioner": { fr: "médecin généraliste", en: "general practitioner" },
    midwife: { fr: "sage-femme", en: "midwife" },
    nurse: { fr: "infirmier ou infirmière", en: "nurse" },
    "occupational-physician": { fr: "médecin du travail", en: "occupational physician" },
    patient: { fr: "patient", en: "patient" },
    pharmacist: { fr: "pharmacien ou pharmacienne", en: "pharmacist" },
    physician: { fr: "médecin", en: "physician" },
    physiotherapist: { fr: "kinésithérapeute", en: "physiotherapist" },
    psychiatrist: { fr: "psychiatre", en: "psychiatrist" },
    radiologist: { fr: "radiologue", en: "radiologist" },
    "samu-regulator": { fr: "régulation du Samu", en: "Samu dispatch" },
    secretary: { fr: "secrétariat médical", en: "medical secretary" },
    service: { fr: "service", en: "service" },
    surgeon: { fr: "chirurgien ou chirurgienne", en: "surgeon" },
  },
  unjustified: {
    BEYOND: { fr: "au-delà de ce que sa justification permet", en: "beyond what its justification permits" },
    EXPIRED: { fr: "après l'expiration de sa justification", en: "after its justification had expired" },
    NO_BASIS: { fr: "sans justification enregistrée", en: "without recorded justification" },
    OTHER_ACTOR: { fr: "avec la justification de quelqu'un d'autre", en: "with someone else's justification" },
    UNKNOWN_REFERENCE: { fr: "avec une justification introuvable au registre", en: "with a justification that is not on record" },
    UNPROVEN: { fr: "sans rien au registre qui l'établisse", en: "with nothing on record that supports it" },
  },
};
/** Tokens of the enums in a record, by their numbers. */
const BASES = ["none", "decision", "breakglass", "care_team", "consent", "self", "legal"];
const OUTCOMES = ["unspecified", "success", "minor_failure", "serious_failure", "major_failure"];

/** The word of a token, with the apostrophe of print; nothing, where the list has none. */
const said = (list, token, lang) => (Object.hasOwn(VOCABULARY[list], token) ? VOCABULARY[list][token][lang].replaceAll("'", "’") : undefined);

/** The word of a token; the token itself, where there is none. */
const word = (list, token, lang) => said(list, token, lang) ?? String(token);

const WORDS = {
  fr: {
    groups: { nodes: "nœuds", witnesses: "témoins", auditors: "auditeurs" },
    checkpoint: (r) => `Point de contrôle du registre ${r.origin} : ${r.size} entrées, signé par le registre.`,
    cosigned: (parts) => `Contresigné par ${parts.join(", ")}.`,
    of: (signed, of, name) => `${signed} ${name} sur ${of}`,
    asOf: (time) => `État du registre au ${time}, selon ceux qui l’ont contresigné.`,
    noTime: "Cette politique ne demande aucune contresignature : rien ne dit de quand date ce point de contrôle.",
    trace: (r) => `Trace du patient ${r.identity.ins} (OID ${r.identity.oid})${r.identity.compartment === "secret" ? ", partie tenue secrète des représentants" : ""}.`,
    testLog: "Ce registre est un registre de test.",
    whole: (n) => (n === 0 ? "Prouvé : rien n’a été inscrit pour ce patient." : `La trace est complète : ${n} entrée(s) sur ${n}.`),
    page: (a, b, n) => (a === b ? `Aucune des ${n} entrées n’est montrée ici.` : `Entrées ${a + 1} à ${b} sur ${n} : une partie de la trace.`),
    since: (s) => `Suite d’une trace de ${s.a} entrée(s), prise à ${s.size} entrées du registre. ${s.linked ? "Elle la continue exactement." : "L’ancien fichier n’est pas là : joignez-le pour vérifier le tout."}`,
    upTo: (c) => `Jusqu’à l’entrée ${c.index} du registre (${day(c.timeMs)}).`,
    older: "Le registre a grandi depuis : ce qui est venu ensuite n’est pas dans cette trace.",
    proven: "Ce qui est prouvé : les cosignataires nommés ci-dessus, tous ceux que la politique exige, ont vu une seule et même histoire. Si au moins un auditeur qui a contresigné est honnête, rien de ce qui a été inscrit pour ce patient jusque-là n’a été omis, déplacé, modifié ni montré autrement à d’autres.",
    alone: "Ce qui est prouvé : le registre a signé ceci, seul. Il pourrait montrer une autre histoire à d’autres.",
    noAuditor: "Aucun auditeur n’a contresigné : que la trace soit complète repose sur l’honnêteté des nœuds.",
    notProven: "Ce qui ne l’est pas : un accès que personne n’a inscrit. Le nom d’un service est celui que donne le registre ; sa clé, elle, a été vérifiée.",
    withheld: (n) => `Attention : ${n} contenu(s) ne sont pas montrés et aucun effacement n’est inscrit ici pour eux : effacés après cette date, dans une autre partie de la trace, ou retenus.`,
    erased: (e) => `contenu effacé le ${day(e.timeMs)} (entrée ${e.index}) : ${e.ground}`,
    voided: (act) => `ANNULÉ par l’acte de l’entrée ${act} : ne compte plus`,
    hidden: "contenu non montré",
    by: (author) => `signé par ${author}`,
    claimed: "déclare une justification que rien au registre n’établit",
    items: (n) => `${n} document(s)`,
    oneAccess: (part, places) => `un seul accès à ${part.items} documents, inscrit en ${part.parts} enregistrements : entrées ${places}`,
    partOfAccess: (part, places) => `partie d’un accès à ${part.items} documents, inscrit en ${part.parts} enregistrements, dont ici : ${places}`,
    range: (first, last) => `${first} à ${last}`,
    documents: (named) => `document${named.length > 1 ? "s" : ""} ${named.join(", ")}`,
    unnamed: "sans nom",
    otherPurpose: (code) => `pour le motif ${code}`,
    basisRef: (text, ref) => `${text} (${ref})`,
    lines: "Ce que dit la trace :",
    colon: " :",
    semicolon: " ;",
    attempted: (noun, how) => `${noun} : tentative sans succès (${how})`,
    asked: (doing, came) => `demande d’accès (${doing}) : ${came}`,
    came: { all: "accordée", some: "accordée en partie", none: "refusée" },
    parts: { granted: "accordé", refused: "refusé" },
    more: (n) => `${n} de plus`,
    may: (who, doing, ids) => `${who} peut ${doing} : ${ids}.`,
    mayNothing: (who, doing) => `${who} ne peut ${doing} aucun des documents demandés.`,
    decision: (r, origin) => `Décision n° ${r.index} du registre ${origin}, du ${day(r.decidedAtMs)}, valable jusqu’au ${day(r.expiresAtMs)}.`,
    toDo: (owed) => `À faire : ${owed}.`,
    receiptProven: "Prouvé : un nœud du registre a signé que cette décision y est inscrite. Non ouvert : les motifs, et tout document qui n’est pas nommé ici ; non prouvé : l’inclusion dans un point de contrôle.",
    noMore: (until) => `les signatures tiennent, mais le reçu n’est plus valable : il l’était jusqu’au ${day(until)}`,
    notYet: (from) => `les signatures tiennent, mais le reçu n’était pas encore valable à ce moment : la décision est du ${day(from)}`,
    notValid: (file, text) => `${file} : NON VALABLE : ${text}`,
    entryProven: (e) => `Prouvé : l’entrée ${e.index} (${e.type}, ${day(e.timeMs)}) est dans ce registre, à cette place.`,
    refused: (file, part, text) => `${file} : REFUSÉ (${part}) : ${text}`,
  },
  en: {
    groups: { nodes: "nodes", witnesses: "witnesses", auditors: "auditors" },
    checkpoint: (r) => `Checkpoint of the log ${r.origin}: ${r.size} entries, signed by the log.`,
    cosigned: (parts) => `Cosigned by ${parts.join(", ")}.`,
    of: (signed, of, name) => `${signed} of ${of} ${name}`,
    asOf: (time) => `State of the log as of ${time}, by those who cosigned it.`,
    noTime: "This policy asks for no cosignature: nothing says how old this checkpoint is.",
    trace: (r) => `Trace of the patient ${r.identity.ins} (OID ${r.identity.oid})${r.identity.compartment === "secret" ? ", the part kept from representatives" : ""}.`,
    testLog: "This log is a test log.",
    whole: (n) => (n === 0 ? "Proven: nothing was logged for this patient." : `The trace is complete: ${n} of ${n} entries.`),
    page: (a, b, n) => (a === b ? `None of the ${n} entries is shown here.` : `Entries ${a + 1} to ${b} of ${n}: a part of the trace.`),
    since: (s) => `Continues a trace of ${s.a} entries, taken at ${s.size} entries of the log. ${s.linked ? "It continues it exactly." : "The earlier file is not here: add it to check the whole."}`,
    upTo: (c) => `Up to entry ${c.index} of the log (${day(c.timeMs)}).`,
    older: "The log has grown since: what came afterwards is not in this trace.",
    proven: "What is proven: the cosigners named above, all that the policy asks for, saw one history. If at least one auditor that cosigned is honest, nothing logged for this patient up to there was omitted, reordered, altered or shown differently to others.",
    alone: "What is proven: the log signed this, alone. It could show another history to others.",
    noAuditor: "No auditor has cosigned: that the trace is complete rests on the honesty of the nodes.",
    notProven: "What is not: an access that no one logged. The name of a service is what the ledger says; its key is what was checked.",
    withheld: (n) => `Beware: ${n} content(s) are not shown, and no erasure is on record here for them: erased after this time, in another part of the trace, or withheld.`,
    erased: (e) => `content erased on ${day(e.timeMs)} (entry ${e.index}): ${e.ground}`,
    voided: (act) => `VOIDED by the act of entry ${act}: counts for nothing`,
    hidden: "content not shown",
    by: (author) => `signed by ${author}`,
    claimed: "says a justification that nothing on record supports",
    items: (n) => `${n} document(s)`,
    oneAccess: (part, places) => `one access to ${part.items} documents, on record in ${part.parts} records: entries ${places}`,
    partOfAccess: (part, places) => `part of an access to ${part.items} documents, on record in ${part.parts} records, of them here: ${places}`,
    range: (first, last) => `${first} to ${last}`,
    documents: (named) => `document${named.length > 1 ? "s" : ""} ${named.join(", ")}`,
    unnamed: "without a name",
    otherPurpose: (code) => `for the purpose ${code}`,
    basisRef: (text, ref) => `${text} (${ref})`,
    lines: "What the trace says:",
    colon: ":",
    semicolon: ";",
    attempted: (noun, how) => `${noun}: attempted without success (${how})`,
    asked: (doing, came) => `access asked for (${doing}): ${came}`,
    came: { all: "granted", some: "partly granted", none: "refused" },
    parts: { granted: "granted", refused: "refused" },
    more: (n) => `${n} more`,
    may: (who, doing, ids) => `${who} may ${doing}: ${ids}.`,
    mayNothing: (who, doing) => `${who} may ${doing} none of the documents that were asked for.`,
    decision: (r, origin) => `Decision no. ${r.index} of the log ${origin}, made on ${day(r.decidedAtMs)}, valid until ${day(r.expiresAtMs)}.`,
    toDo: (owed) => `To do: ${owed}.`,
    receiptProven: "Proven: a node of the log signed that this decision is on record. Not opened: the reasons, and any document that is not named here; not proven: inclusion under a checkpoint.",
    noMore: (until) => `the signatures hold, but the receipt is no longer valid: it was until ${day(until)}`,
    notYet: (from) => `the signatures hold, but the receipt was not valid yet at that moment: the decision is of ${day(from)}`,
    notValid: (file, text) => `${file}: NOT VALID: ${text}`,
    entryProven: (e) => `Proven: entry ${e.index} (${e.type}, ${day(e.timeMs)}) is in this log, at this place.`,
    refused: (file, part, text) => `${file}: REFUSED (${part}): ${text}`,
  },
};

const whoIs = (actor, lang) =>
  actor ? [actor.label ?? actor.id, actor.role && word("roles", actor.role, lang), actor.organisation].filter(Boolean).join(", ") : "";

/** The details of a record, which are a stranger's JSON. */
function detailsOf(record) {
  try {
    return JSON.parse(record?.details ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** Documents named before they are only counted. */
const NAMED_MAX = 6;

/** The request and its outcome: `outcomes` are documents, each with its reason. Nothing was read yet. */
function askedWords(action, outcomes, came, lang) {
  const words = WORDS[lang];
  const named = (permit) => {
    const some = outcomes.filter((o) => (o.permit ?? false) === permit);
    const texts = some.slice(0, NAMED_MAX).map((o) => (o.reason ? `${o.id} (${word("reasons", o.reason, lang)})` : o.id));
    if (some.length > NAMED_MAX) texts.push(words.more(some.length - NAMED_MAX));
    return texts.length > 0 ? `${words.colon} ${texts.join(", ")}` : "";
  };
  const asked = words.asked(word("actions", action, lang), words.came[came]);
  if (came !== "some") return asked + named(came === "all");
  return [asked, words.parts.granted + named(true), words.parts.refused + named(false)].join(`${words.semicolon} `);
}

/** The event, worded by its outcome: done, tried, or asked for. */
function whatWords(e, lang) {
  const words = WORDS[lang];
  const noun = word("kinds", KINDS[e.kindCode], lang);
  const { decision, outcome = 0, items = [] } = e.record ?? {};
  if (decision) {
    const outcomes = decision.outcomes ?? [];
    const permitted = outcomes.filter((o) => o.permit).length;
    return askedWords(decision.action, outcomes, permitted === 0 ? "none" : permitted === outcomes.length ? "all" : "some", lang);
  }
  const { authorisation, emergency_mode: locally } = detailsOf(e.record);
  if (authorisation === "permit" || authorisation === "deny") {
    const permit = authorisation === "permit";
    const reasons = Array.isArray(locally) ? locally : [];
    const reasonOf = (id) => reasons.find((r) => r?.id === id)?.reason;
    const outcomes = items.map(({ id }) => ({ id, permit, reason: reasonOf(id) }));
    return askedWords(KINDS[e.kindCode].replace(/^access\./, ""), outcomes, permit ? "all" : "none", lang);
  }
  const isDone = isAccess(e.kindCode) || isMovement(e.kindCode);
  const failure = said("outcomes", OUTCOMES[outcome], lang);
  return isDone && failure ? words.attempted(noun, failure) : noun;
}

/** The documents of a record, the first ones by name; nothing where the sentence names them already. */
function documentWords(record, lang) {
  const words = WORDS[lang];
  const { items = [], decision } = record ?? {};
  if (items.length === 0 || decision || detailsOf(record).authorisation) return "";
  const named = items.slice(0, NAMED_MAX).map(({ id, label, category }) => {
    const name = id || label || words.unnamed;
    return category ? `${name} (${word("categories", category, lang)})` : name;
  });
  if (items.length > NAMED_MAX) named.push(words.more(items.length - NAMED_MAX));
  return words.documents(named);
}

/** By what right: `basis` of a record, and whether it is only what its author says. */
function basisWords(basis, isClaimed, lang) {
  if (!basis?.kind) return "";
  const { kind, ref = "" } = basis;
  const isLocal = kind === BASIS_LEGAL && ref === "emergency-mode";
  const text = word("bases", isLocal ? ref : BASES[kind], lang);
  const right = ref && !isLocal ? WORDS[lang].basisRef(text, ref) : text;
  return isClaimed ? `${word("flags", "CLAIMED", lang)}${WORDS[lang].colon} ${right}` : right;
}

/** What a record says of the access that it is a part of (docs/fhir.md, "A large access"); null where it is all of it. */
function partOf(record) {
  const { of, n, parts, items } = detailsOf(record).part ?? {};
  return typeof of === "string" && [n, parts, items].every(Number.isSafeInteger) ? { of, n, parts, items } : null;
}

/**
 * The entries as they are shown: parts of one large access are one, where they say the same but for their items, were recorded at
 * the same time and stand next to each other in the log. What only claims to be a part stays a line of its own.
 */
function accesses(entries) {
  const shown = [];
  let known = null;
  for (const e of entries) {
    const part = e.state === "shown" ? partOf(e.record) : null;
    if (!part) {
      known = null;
      shown.push(e);
      continue;
    }
    const { items = [], original, details, ...bare } = e.record;
    const { part: _, ...others } = detailsOf(e.record);
    const common = JSON.stringify([
      bare, others, part.of, part.parts, part.items, e.timeMs, e.kindCode, e.flags, e.unjustifiedReason, e.author, e.voidedBy ?? null,
    ]);
    if (known?.common === common && part.n === known.last + 1 && part.n <= part.parts && e.index === known.access.places.at(-1) + 1) {
      known.access.record.items.push(...items);
      known.access.places.push(e.index);
      known.last = part.n;
    } else {
      const access = { ...e, record: { ...e.record, items: [...items] }, part, places: [e.index] };
      known = { access, common, last: part.n };
      shown.push(access);
    }
  }
  return shown;
}

/** That a line is a large access, and where all of it stands. */
function partWords({ part, places }, words) {
  if (!part) return "";
  const named = places.length > 1 ? words.range(places[0], places.at(-1)) : String(places[0]);
  return (places.length === part.parts ? words.oneAccess : words.partOfAccess)(part, named);
}

/** One line of a trace in its parts, each as text; a part that isn't known is empty. */
function eventOf(e, lang) {
  const words = WORDS[lang];
  const { actor, purpose, basis } = e.record ?? {};
  const isShown = e.state === "shown";
  const why = purpose ? (said("purposes", purpose, lang) ?? words.otherPurpose(purpose)) : "";
  const isClaimed = e.flags.includes("CLAIMED");
  const right = isShown ? basisWords(basis, isClaimed, lang) : "";
  const remarks = [
    !isShown && (e.erased ? words.erased(e.erased) : words.hidden), e.voidedBy !== null && e.voidedBy !== undefined && words.voided(e.voidedBy),
    e.unjustifiedReason && word("unjustified", e.unjustifiedReason, lang), ...["LATE", "DEFERRED"].filter((flag) => e.flags.includes(flag)).map((flag) => word("flags", flag, lang)),
    isClaimed && right === "" && words.claimed, partWords(e, words),
  ];
  const event = {
    index: e.index, when: day(e.record?.occurred_at_ms ?? e.timeMs), what: whatWords(e, lang), who: isShown ? whoIs(actor, lang) : "",
    documents: isShown ? documentWords(e.record, lang) : "", why: isShown ? why : "", basis: right,
    remarks: remarks.filter(Boolean), by: e.author ? words.by(e.author.name) : word("flags", "LEDGER", lang),
  };
  for (const [part, text] of Object.entries(event)) if (typeof text === "string") event[part] = clean(text);
  return { ...event, remarks: event.remarks.map(clean) };
}

function entryWords(e, lang) {
  const { index, when, what, who, documents, why, basis, remarks, by } = eventOf(e, lang);
  return `${index}  ${when}  ${[what, who, documents, why, basis, ...remarks, by].filter(Boolean).join(" · ")}`;
}

/** What a receipt says: whoever is shown it learns what was permitted, and of what was not, nothing. */
function receiptWords({ receipts, origin }, lang) {
  const words = WORDS[lang];
  const one = (r) => {
    const notes = [r.actor.role && word("roles", r.actor.role, lang), r.actor.organisation].filter(Boolean).join(", ");
    const who = (r.actor.label ?? r.actor.id ?? "") + (notes ? ` (${notes})` : "");
    const doing = word("actions", r.action, lang);
    const owed = r.obligations.map((token) => word("obligations", token, lang));
    return [
      r.permitted.length > 0 ? words.may(who, doing, r.permitted.join(", ")) : words.mayNothing(who, doing),
      words.decision(r, origin), ...(owed.length > 0 ? [words.toDo(owed.join(", "))] : []),
    ];
  };
  return [...receipts.flatMap(one), words.receiptProven];
}

/** What a file proves, as lines of text; the lines of the trace itself are apart (`eventOf`). */
function statements(r, lang) {
  const words = WORDS[lang];
  if (r.kind === "receipt") return receiptWords(r, lang).map(clean);
  const lines = [];
  if (r.kind === "proof") lines.push(words.entryProven(r.entry));
  if (r.kind === "bundle") {
    lines.push(words.trace(r), r.complete ? words.whole(r.n) : words.page(r.a, r.b, r.n), words.upTo(r.commit));
    if (!r.current) lines.push(words.older);
    if (r.testLog) lines.push(words.testLog);
    if (r.since) lines.push(words.since(r.since));
  }
  lines.push(words.checkpoint(r));
  const groups = r.groups.map((g) => words.of(g.signed, g.of, words.groups[g.name]));
  const names = r.cosigners.map((c) => c.name);
  if (groups.length > 0 || names.length > 0) lines.push(words.cosigned(groups.length > 0 ? groups : names));
  lines.push(r.asOfS === null ? words.noTime : words.asOf(day(r.asOfS * 1000)));
  if (r.kind === "bundle") {
    lines.push(r.asOfS === null ? words.alone : words.proven);
    if (!r.groups.some((g) => g.name === "auditors" && g.signed > 0)) lines.push(words.noAuditor);
    lines.push(words.notProven);
    const withheld = r.entries.filter((e) => e.state === "withheld").length;
    if (withheld > 0) lines.push(words.withheld(withheld));
  }
  return lines.map(clean);
}

// ---------------------------------------------------------------------------------------------------------------------
// The way in

/**
 * Checks files against a policy, without any network.
 *
 * `files`: `{ name, bytes: Uint8Array }` each; `policyText`: a c2sp.org/tlog-policy. `options`: `maxAgeS`, the oldest that
 * the quorum of cosignatures may be; `nowS`, the time to hold that, and the validity of receipts, against; `atMs`, a moment to ask
 * about instead; `lang`, "fr" or "en".
 *
 * Never throws. `ok` says that every file was proven, and at least one was there. `reports` has one object for each
 * file that was, with its lines of `text`: first the `statements` of what is proven, then the `events` of a trace, which are
 * also there in their parts (`eventOf`); `errors` one for each that was not, with the `part` that is wrong.
 */
export async function verify(files, policyText, options = {}) {
  const lang = options.lang === "en" ? "en" : "fr";
  const reports = [];
  const errors = [];
  const attempt = async (file, part, check) => {
    try {
      return await check();
    } catch (e) {
      // Whatever else goes wrong is a refusal too: of the whole file, as the part is then unknown.
      errors.push({ file, part: e instanceof Failure ? e.part : part, message: e instanceof Error ? e.message : String(e) });
      return null;
    }
  };
  const context = await attempt("", "policy", async () => {
    const policy = parsePolicy(policyText);
    await start();
    const { maxAgeS, atMs, slow = false } = options;
    const nowS = atMs === undefined ? (options.nowS ?? Date.now() / 1000) : atMs / 1000;
    return { policy, maxAgeS, nowS, atMs, lang, ed25519: (key, signature, text) => ed25519(key, signature, text, slow) };
  });
  for (const file of context ? files : []) {
    const report = await attempt(file.name, "file", () => {
      if (file.bytes.length === 0 || file.bytes.length > FILE_BYTES_MAX) fail("file", "it is empty, or too long to be one of ours");
      return readerOf(file)(file, context);
    });
    if (report) reports.push(report);
  }
  together(reports, errors);
  const proven = reports.filter((r) => !r.refused).map((r) => {
    const [said, entries] = [statements(r, lang), accesses(r.entries ?? [])];
    const lines = entries.length > 0 ? [WORDS[lang].lines, ...entries.map((e) => entryWords(e, lang))] : [];
    return { ...r, statements: said, events: entries.map((e) => eventOf(e, lang)), text: [...said, ...lines] };
  });
  return { ok: errors.length === 0 && proven.length > 0, reports: proven, errors };
}

/** The parts that tests check one by one. */
export const internals = {
  sha256, start, ed25519, ed25519Slow, vrf, elligator, hashToField, encodePoint, timesEight, decodePoint, hex, unhex, unbase64,
  rootOfInclusion, rootOfRange, isConsistent, node, leafHash, deviceHalf, deviceCommitment, deviceMark, batchLeaf, message, entry, parsePolicy, checkpoint, batchMessage, SECTIONS, H,
  Failure, COFACTORED, KINDS, VOCABULARY, WORDS, entryWords, accesses,
};

const USAGE = [
  "usage: node verify.js --policy FILE [--max-age 300|90s|5m|24h] [--at 2026-03-02T09:00:00Z] [--lang fr|en] [--json] FILE...",
  "FILE: .sillage-trace, .sillage-receipt, .tlog-proof, or a checkpoint",
].join("\n");

/** The command line; its exit status. */
async function main(args) {
  const { readFile } = await import("node:fs/promises");
  const options = { lang: /^fr/.test(process.env.LC_ALL || process.env.LANG || "") ? "fr" : "en" };
  const files = [];
  let policy;
  let json = false;
  const usage = (why) => {
    console.error(`${why}\n${USAGE}`);
    return 2;
  };
  for (let i = 0; i < args.length; i++) {
    const value = () => args[++i] ?? "";
    if (args[i] === "--json") json = true;
    else if (args[i] === "--policy") policy = value();
    else if (args[i] === "--lang") options.lang = value();
    else if (args[i] === "--max-age") {
      const [, number, unit] = /^([0-9]{1,9})([smhd]?)$/.exec(value()) ?? [];
      if (number === undefined) return usage("--max-age takes a time such as 90s or 5m");
      options.maxAgeS = Number(number) * { "": 1, s: 1, m: 60, h: 3600, d: 86400 }[unit];
    } else if (args[i] === "--at") {
      const time = value();
      options.atMs = Date.parse(time);
      if (!/T.*(Z|[+-]\d\d:\d\d)$/.test(time) || !Number.isSafeInteger(options.atMs)) return usage("--at takes a time such as 2026-03-02T09:00:00Z");
    } else if (args[i].startsWith("--")) return usage(`what is ${args[i]}?`);
    else files.push(args[i]);
  }
  if (!policy) return usage("without a policy nothing can be proven: it says whose signatures count");
  if (files.length === 0) return usage("no file to verify");
  let read;
  try {
    read = await Promise.all(files.map(async (name) => ({ name, bytes: new Uint8Array(await readFile(name)) })));
    policy = new Uint8Array(await readFile(policy));
  } catch (e) {
    return usage(e.message);
  }
  const result = await verify(read, policy, options);
  if (json) {
    console.log(JSON.stringify(result, (_, v) => (v instanceof Uint8Array ? hex(v) : v)));
    return result.ok ? 0 : 1;
  }
  for (const report of result.reports) console.log([`${clean(report.file)}: OK`, ...report.text].join("\n  "));
  const words = WORDS[options.lang === "en" ? "en" : "fr"];
  for (const { file, part, message: text } of result.errors) {
    console.error(clean(part === "validity" ? words.notValid(file, text) : words.refused(file || "-", part, text)));
  }
  return result.ok ? 0 : 1;
}

if (globalThis.process?.versions?.node && process.argv[1]) {
  const [{ pathToFileURL }, { realpathSync }] = await Promise.all([import("node:url"), import("node:fs")]);
  let self = "";
  try {
    self = pathToFileURL(realpathSync(process.argv[1])).href;
  } catch {
    // Run from a text, not from a file: then not by us.
  }
  if (self === import.meta.url) process.exitCode = await main(process.argv.slice(2));
}
