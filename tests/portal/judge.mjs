// Judges every page of the portal in every state, as files: what tools can see of accessibility (docs/accessibility.md).
//
//   cargo run -p sillage-portal --example pages -- DIRECTORY
//   node tests/portal/judge.mjs DIRECTORY
//
// Each page in both languages: axe, width and targets at 1,280 px and, in dark colours, at 320 px (as at 400 % zoom of 1,280 px), all
// <details> open; then with letters twice as large, with the spacing of WCAG 1.4.12, and by keyboard alone. Every finding is one
// line; the exit status is 1 where there is any.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { visit } from "./browser.mjs";

const [, , folder] = process.argv;
if (!folder) {
  console.error("usage: node judge.mjs DIRECTORY");
  process.exit(2);
}
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
const LANGUAGES = { fr: "fr-FR", en: "en-GB" };
const LETTERS = "html { font-size: 200% !important }";
const SPACING =
  "* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important } p { margin-block-end: 2em !important }";
/** Text far longer than a record may carry: nobody walks through it by keyboard. */
const NOT_WALKED = ["trace-hostile"];

const findings = [];
const find = (where, what) => {
  findings.push(`${where}: ${what}`);
  console.log(findings.at(-1));
};

function serve() {
  const server = createServer((asked, answer) => {
    const path = normalize(new URL(asked.url, "http://localhost").pathname);
    const file = join(folder, extname(path) ? path : `${path}.html`);
    if (!existsSync(file)) return answer.writeHead(404).end();
    answer.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(readFileSync(file));
  });
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
}

const server = await serve();
const base = `http://127.0.0.1:${server.address().port}`;
const pagesOf = (lang) => readdirSync(join(folder, lang)).map((name) => name.replace(/\.html$/, "")).sort();
const unfold = (page) => page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));

/** Runs a check over all pages of both languages, in one browser a language. */
async function all(name, settings, check) {
  let count = 0;
  for (const [lang, language] of Object.entries(LANGUAGES)) {
    await visit({ ...settings, language }, async (patient) => {
      for (const page of pagesOf(lang)) {
        const where = `${lang}/${page} (${name})`;
        await patient.open(`${base}/${lang}/${page}`);
        await check(patient, where, page).catch((error) => find(where, error.message.split("\n---")[0]));
        count += 1;
      }
    });
  }
  console.log(`${name}: ${count} pages`);
}

async function looked(patient, where) {
  await unfold(patient.page);
  await patient.accessible(where);
  await patient.fits(where);
  await patient.operable(where);
}

/** Fails where text that is larger, or set wider, makes the page scroll sideways or is cut. */
const stretched = (style) => async (patient, where) => {
  await unfold(patient.page);
  await patient.page.addStyleTag({ content: style });
  await patient.fits(where);
  const cut = await patient.page.evaluate(() => {
    const isCut = (one) => getComputedStyle(one).overflowX === "hidden" && one.scrollWidth > one.clientWidth + 1;
    // A head of a table, and words for screen readers, are out of sight on purpose.
    const isSeen = (one) => one.clientWidth > 1 && !["INPUT", "SELECT", "TEXTAREA"].includes(one.tagName);
    return [...document.querySelectorAll("body *")].filter((one) => isSeen(one) && isCut(one)).map((one) => one.outerHTML.slice(0, 120));
  });
  for (const one of cut) find(where, `cut: ${one}`);
};

/** Each control, once; of dots, the one that is chosen, or the first. */
const controls = () => {
  const seen = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== "hidden";
  const folded = (one) => one.tagName !== "SUMMARY" && one.closest("details:not([open])");
  const known = new Set();
  const reached = (one) => {
    if (one.type !== "radio") return true;
    const chosen = [...document.getElementsByName(one.name)].find((other) => other.checked);
    if (chosen) return one === chosen;
    const isFirst = !known.has(one.name);
    known.add(one.name);
    return isFirst;
  };
  const all = document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary");
  return [...all].filter((one) => seen(one) && !folded(one) && reached(one)).length;
};

/** The control that has the focus: where it is, and whether one sees it. */
const focused = () => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const box = one.getBoundingClientRect();
  const ring = (of) => of && getComputedStyle(of).outlineStyle !== "none" && parseFloat(getComputedStyle(of).outlineWidth) >= 2;
  const [x, y] = [Math.max(box.left, 0) + Math.min(box.width / 2, 20), box.top + Math.min(box.height / 2, 12)];
  const top = document.elementFromPoint(x, y);
  return {
    at: [...document.querySelectorAll("*")].indexOf(one),
    html: one.outerHTML.slice(0, 120),
    isDate: one.type === "date",
    hasRing: Boolean(ring(one) || ring(one.closest(".card"))),
    isInView: box.bottom > 0 && box.top < innerHeight,
    isCovered: Boolean(top && top !== one && !one.contains(top) && !top.contains(one)),
  };
};

async function walked(patient, where, name) {
  if (NOT_WALKED.includes(name)) return;
  const { page } = patient;
  const expected = await page.evaluate(controls);
  const stops = [];
  for (let presses = 0; presses < 4 * expected + 10; presses += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(focused);
    if (!stop || stop.at === stops[0]?.at) break;
    stops.push(stop);
  }
  for (const [n, stop] of stops.entries()) {
    if (!stop.hasRing) find(where, `the focus can't be seen: ${stop.html}`);
    if (!stop.isInView) find(where, `the focus is out of view: ${stop.html}`);
    if (stop.isCovered) find(where, `the focus is covered: ${stop.html}`);
    if (n > 0 && stop.at < stops[n - 1].at) find(where, `the focus goes back: ${stop.html}`);
  }
  const reached = new Set(stops.map((stop) => stop.at)).size;
  if (reached < expected) find(where, `the keyboard reaches ${reached} of ${expected} controls`);
}

await all("1,280 px", { width: 1280 }, looked);
await all("320 px, dark", { width: 320, dark: true }, looked);
await all("sideways", { width: 568, height: 320 }, async (patient, where) => patient.fits(where));
await all("letters twice as large", { width: 1280 }, stretched(LETTERS));
await all("spacing", { width: 320 }, stretched(SPACING));
await all("keyboard", { width: 1280, height: 600 }, walked);
await all("keyboard, 320 px", { width: 320, height: 600 }, walked);
server.close();
console.log(`${findings.length} findings`);
process.exitCode = findings.length > 0 ? 1 : 0;
