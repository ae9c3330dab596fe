// The page for patients: files in, a report out, all on this device. What is checked, and how, is verify.js.

import { verify } from "./verify.js";

const at = (id) => document.getElementById(id);
const WORDS = {
  fr: {
    other: "English", proven: "prouvé", refused: "REFUSÉ", notValid: "NON VALABLE", working: "Vérification en cours…", part: "partie", policy: "politique",
    needPolicy: "Il manque la politique : sans elle, rien ne peut être prouvé.", needFiles: "Il manque un fichier à vérifier.",
  },
  en: {
    other: "Français", proven: "proven", refused: "REFUSED", notValid: "NOT VALID", working: "Verifying…", part: "part", policy: "policy",
    needPolicy: "The policy is missing: without one, nothing can be proven.", needFiles: "A file to verify is missing.",
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

function article(kind, file, lines, verdict = kind) {
  const words = WORDS[lang()];
  const title = element("h2", `${file || words.policy} : ${words[verdict]}`);
  const made = element("article", "", title, element("ul", "", ...lines.map((line) => element("li", line))));
  made.className = kind;
  return made;
}

/** Checks what is there and shows the outcome; an older round that ends later shows nothing. */
async function show() {
  const mine = ++round;
  const words = WORDS[lang()];
  const result = at("result");
  if (!given.policy && given.files.length === 0) return result.replaceChildren();
  if (!given.policy || given.files.length === 0) {
    return result.replaceChildren(element("p", given.policy ? words.needFiles : words.needPolicy));
  }
  result.replaceChildren(element("p", words.working));
  const { reports, errors } = await verify(given.files, given.policy.bytes, { lang: lang() });
  if (mine !== round) return;
  result.replaceChildren(
    ...errors.map((e) => {
      const isOver = e.part === "validity"; // a receipt whose signatures hold, and which is worth nothing any more
      return article("refused", e.file, isOver ? [e.message] : [`${words.part} : ${e.part}`, e.message], isOver ? "notValid" : "refused");
    }),
    ...reports.map((r) => article("proven", r.file, r.text)),
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
