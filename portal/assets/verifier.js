// The page that verifies: it fetches bundle and policy, or reads chosen files, and runs verify.js on this device. Nothing is sent.
// Texts stand in the page (src/words/take.rs); this script only chooses among them. Reports are written as text, never as markup.

import { verify } from "./verify.js";

const at = (id) => document.getElementById(id);
const text = (name) => at(`texte-${name}`).textContent;
const lang = document.documentElement.lang === "en" ? "en" : "fr";
const root = at("verifier");
const verdict = at("verdict");
let round = 0;

/** The most that is read of a file: verify.js has the same bound. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;

function element(name, content, ...children) {
  const made = document.createElement(name);
  made.textContent = content;
  made.append(...children);
  return made;
}

/** One sentence, and below it what it takes to believe it. */
function show(kind, sentence, ...more) {
  const head = element("p", sentence);
  head.className = "verdict";
  const box = element("div", "", head, ...more);
  box.className = `notice ${kind}`;
  verdict.replaceChildren(box);
}

function list(lines) {
  const made = element("ul", "", ...lines.map((line) => element("li", line)));
  made.className = "sentences";
  return made;
}

function details(head, inside) {
  return element("details", "", element("summary", head), inside);
}

/** One refusal: which part of which file doesn't hold, in the page's language; what exactly is in English. */
function refusal({ file, part, message }) {
  const name = at(`texte-partie-${part.replaceAll(" ", "-")}`)?.textContent ?? part;
  const exact = element("p", message);
  exact.lang = "en";
  exact.className = "remark";
  return element("li", [file, name].filter(Boolean).join(", "), exact);
}

async function fingerprintOf(policy) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", policy));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function fetched(path) {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Shows the outcome of one check. A round that ends after a newer one began shows nothing. */
async function check(load) {
  const mine = ++round;
  show("", text("working"));
  let given;
  try {
    given = await load();
  } catch {
    if (mine === round) show("is-warning", text("away"));
    return;
  }
  if (given === null) return show("is-warning", text("no-file"));
  const { reports, errors } = await verify(given.files, given.policy, { lang });
  const fingerprint = await fingerprintOf(given.policy);
  if (mine !== round) return;
  const policy = element("p", `${text("policy")} `, element("code", fingerprint));
  if (errors.length > 0 || reports.length === 0) {
    const wrong = element("ul", "", ...errors.map(refusal));
    wrong.className = "sentences";
    const detail = details(text("wrong-part"), wrong);
    detail.open = true;
    show("is-alarm", text("wrong"), detail, policy);
  } else {
    const whole = reports.every((report) => report.kind === "bundle" && report.complete);
    show(
      "is-good", text(whole ? "whole" : "part"), element("p", text("limit")),
      details(text("statements"), list(reports.flatMap((report) => report.statements))), policy,
    );
  }
  verdict.focus();
}

async function bytesOf(file) {
  if (file.size > FILE_BYTES_MAX) throw new Error("too long");
  return { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
}

at("lancer")?.addEventListener("click", () => check(async () => {
  // The open trace and the secret one: the verdict is about both.
  const paths = root.dataset.bundle.split(" ");
  const [policy, ...bundles] = await Promise.all([fetched(root.dataset.policy), ...paths.map(fetched)]);
  return { files: bundles.map((bytes, at) => ({ name: paths[at].split("/").pop(), bytes })), policy };
}));

at("lancer-fichier").addEventListener("click", () => check(async () => {
  const [file] = at("fichier").files;
  if (!file) return null;
  const [own] = at("politique").files;
  const policy = own ? (await bytesOf(own)).bytes : await fetched(root.dataset.policy);
  return { files: [await bytesOf(file)], policy };
}));
