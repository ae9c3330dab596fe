// The page for patients: files in, a report out, all on this device. What is checked, and how, is verify.js.

import { verify } from "./verify.js";

const at = (id) => document.getElementById(id);
const WORDS = {
  fr: {
    other: "English", proven: "prouvé", refused: "REFUSÉ", notValid: "NON VALABLE", working: "Vérification en cours…", policy: "politique",
    needPolicy: "Il manque la politique : sans elle, rien ne peut être prouvé.", needFiles: "Il manque un fichier à vérifier.",
    title: "Sillage : vérifier une trace", none: "aucun fichier", colon: " : ",
    statements: "Ce qui est prouvé", events: "Ce que dit la trace", noEvents: "Aucun événement.",
    who: "Qui", documents: "Documents", why: "Pourquoi", basis: "De quel droit", remarks: "Remarques", by: "Inscrit",
    entry: (e) => `entrée ${e.index} du registre, ${e.by}`,
    detail: "Détail technique, pour qui peut vous aider (en anglais)",
    wrong: {
      policy: "La politique ne peut pas être lue : demandez-en une copie entière à quelqu’un en qui vous avez confiance.",
      file: "Le fichier est vide, trop long, ou d’une autre sorte que ceux que cette page vérifie.",
      validity: "Les signatures tiennent, mais le reçu n’est pas valable à ce moment.",
    },
    wrongPart: (part) => `La partie « ${part} » du fichier ne tient pas : il a été modifié, coupé, ou vient d’un autre registre. Ne vous y fiez pas, et gardez-le comme preuve.`,
    parts: {
      header: "en-tête", checkpoint: "point de contrôle", genesis: "genèse", "index commit": "index des patients", identity: "identité",
      bucket: "place dans l’index", range: "étendue", authors: "services", batches: "lots signés", entries: "entrées", since: "suite",
      receipt: "reçu", extra: "preuve", proof: "preuve",
    },
  },
  en: {
    other: "Français", proven: "proven", refused: "REFUSED", notValid: "NOT VALID", working: "Verifying…", policy: "policy",
    needPolicy: "The policy is missing: without one, nothing can be proven.", needFiles: "A file to verify is missing.",
    title: "Sillage: verify a trace", none: "no file", colon: ": ",
    statements: "What is proven", events: "What the trace says", noEvents: "No event.",
    who: "Who", documents: "Documents", why: "Why", basis: "By what right", remarks: "Remarks", by: "Recorded",
    entry: (e) => `entry ${e.index} of the log, ${e.by}`,
    detail: "Technical detail, for whoever can help you",
    wrong: {
      policy: "The policy can't be read: ask someone you trust for a whole copy of it.",
      file: "The file is empty, too long, or of another sort than this page verifies.",
      validity: "The signatures hold, but the receipt isn’t valid at this moment.",
    },
    wrongPart: (part) => `The part “${part}” of the file doesn’t hold: it was altered, cut, or is of another log. Don’t rely on it, and keep it as evidence.`,
    parts: {},
  },
};

const given = { policy: null, files: [] };
let round = 0;

const lang = () => (document.documentElement.lang === "en" ? "en" : "fr");

/** An element with text in it; never markup from a file. */
function element(name, text, ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

async function bytesOf(file) {
  return { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
}

function article(kind, file, verdict, ...children) {
  const words = WORDS[lang()];
  const made = element("article", "", element("h2", `${file || words.policy}${words.colon}${words[verdict]}`), ...children);
  made.className = kind;
  return made;
}

const list = (lines) => element("ul", "", ...lines.map((line) => element("li", line)));

/** One event of a trace: what happened and when, then its parts by name. */
function eventItem(event) {
  const words = WORDS[lang()];
  const parts = ["who", "documents", "why", "basis"].filter((part) => event[part] !== "").map((part) => [words[part], event[part]]);
  if (event.remarks.length > 0) parts.push([words.remarks, event.remarks.join(" · ")]);
  parts.push([words.by, words.entry(event)]);
  const table = element("dl", "", ...parts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  return element("li", "", element("h4", event.what), element("p", event.when), table);
}

/** What is proven, and apart from it what the trace says. */
function proven(report) {
  const words = WORDS[lang()];
  const children = [element("h3", words.statements), list(report.statements)];
  if (report.kind === "bundle") {
    const events = element("ol", "", ...report.events.map(eventItem));
    events.className = "events";
    children.push(element("h3", words.events), report.events.length > 0 ? events : element("p", words.noEvents));
  }
  return article("proven", report.file, "proven", ...children);
}

/** What doesn't hold, in the page's language; what exactly, which is in English, only for who asks. */
function refused({ file, part, message }) {
  const words = WORDS[lang()];
  const said = words.wrong[part] ?? words.wrongPart(words.parts[part] ?? part);
  const text = element("p", `${part}: ${message}`);
  text.translate = false;
  const detail = element("details", "", element("summary", words.detail), text);
  // A receipt whose signatures hold, and which is worth nothing any more, isn't a forged one.
  return article("refused", file, part === "validity" ? "notValid" : "refused", element("p", said), detail);
}

/** The title, and the names of the files that were chosen, in the page's language. */
function showNames() {
  const words = WORDS[lang()];
  document.title = words.title;
  at("policy-chosen").textContent = given.policy?.name ?? words.none;
  at("files-chosen").textContent = given.files.length > 0 ? given.files.map((file) => file.name).join(", ") : words.none;
}

/** Checks what is there and shows the outcome; an older round that ends later shows nothing. */
async function show() {
  const mine = ++round;
  const words = WORDS[lang()];
  showNames();
  const result = at("result");
  if (!given.policy && given.files.length === 0) return result.replaceChildren();
  if (!given.policy || given.files.length === 0) {
    return result.replaceChildren(element("p", given.policy ? words.needFiles : words.needPolicy));
  }
  result.replaceChildren(element("p", words.working));
  const { reports, errors } = await verify(given.files, given.policy.bytes, { lang: lang() });
  if (mine !== round) return;
  result.replaceChildren(
    ...errors.map(refused),
    ...reports.map(proven),
  );
  result.focus();
}

/** A policy is a short text with a quorum line; everything else is to be verified. */
function isPolicy({ bytes }) {
  return bytes.length < 1_000_000 && /^[ \t]*quorum[ \t]/m.test(new TextDecoder().decode(bytes));
}

at("policy").addEventListener("change", async ({ target }) => {
  given.policy = target.files[0] ? await bytesOf(target.files[0]) : null;
  await show();
});

at("files").addEventListener("change", async ({ target }) => {
  given.files = await Promise.all([...target.files].map(bytesOf));
  await show();
});

at("language").addEventListener("click", async () => {
  document.documentElement.lang = lang() === "fr" ? "en" : "fr";
  at("language").textContent = WORDS[lang()].other;
  at("language").lang = lang() === "fr" ? "en" : "fr";
  await show();
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
  });
}

document.addEventListener("drop", async ({ dataTransfer }) => {
  const dropped = await Promise.all([...dataTransfer.files].map(bytesOf));
  given.policy = dropped.find(isPolicy) ?? given.policy;
  const others = dropped.filter((file) => !isPolicy(file));
  if (others.length > 0) given.files = others;
  await show();
});

showNames();
