// The browser of the portal's tests sees what it is there to see: each check is held against a page that breaks it.
//
//   node --test browser.test.mjs

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { executable, visit } from "./browser.mjs";

const skip = executable() === null ? "no Chromium here" : false;
const POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const page = (title, body) =>
  `<!doctype html><html lang="fr"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
   <title>${title}</title><link rel="stylesheet" href="/style.css"></head><body><main><h1>${title}</h1>${body}</main></body></html>`;
const PAGES = {
  "/": page("Accueil", `<p><a class="button" href="/form">Commencer</a></p>`),
  "/form": page(
    "Formulaire",
    `<form action="/done"><p><label for="name">Nom</label> <input id="name" name="name"></p>
     <p><label for="day">Dernier jour</label> <input id="day" name="day" type="date"></p>
     <fieldset><legend>Durée</legend><label><input type="radio" name="for" value="m"> Un mois</label>
     <label><input type="radio" name="for" value="y"> Un an</label></fieldset>
     <p><label><input type="checkbox" name="sure"> J’ai lu</label></p><p><button>Confirmer</button></p></form>`,
  ),
  "/unlabelled": page("Faux", `<p><input name="x"></p>`),
  "/wide": page("Large", `<p class="wide">x</p>`),
  "/small": page("Petit", `<p><a class="small" href="/">x</a></p>`),
  "/scripted": page("Script", `<script>document.title = "changed"</script>`),
};
const STYLE = `body { font: 1rem/1.5 sans-serif } .button, button { display: inline-block; padding: .6rem 1rem; min-height: 24px }
  label { display: inline-block; min-height: 24px } input { min-height: 24px; min-width: 24px } .wide { width: 900px } .small { display: block; width: 10px; height: 10px; overflow: hidden }`;

let server;
let base;

before(async () => {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const isStyle = pathname === "/style.css";
    const body = isStyle ? STYLE : pathname === "/done" ? page("Fait", `<p>${request.url.replace(/[<&]/g, "")}</p>`) : PAGES[pathname];
    const headers = { "content-type": isStyle ? "text/css" : "text/html; charset=utf-8", "content-security-policy": POLICY };
    response.writeHead(body ? 200 : pathname === "/favicon.ico" ? 204 : 404, headers);
    response.end(body ?? "");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

async function fillsIn(settings) {
  await visit(settings, async (patient) => {
    await patient.open(`${base}/`);
    await patient.choose("Commencer");
    await patient.fill("Nom", "Zoe");
    await patient.fill("Dernier jour", "2026-12-05");
    await patient.tick("Un an");
    await patient.tick("J’ai lu");
    await patient.choose("Confirmer");
    await patient.reads("name=Zoe&day=2026-12-05&for=y&sure=on".replaceAll("&", ""));
  });
}

test("a form is filled in by mouse, by keyboard alone, without JavaScript, and both", { skip }, async () => {
  await fillsIn({});
  await fillsIn({ keyboard: true, width: 320 });
  await fillsIn({ scripts: false });
  await fillsIn({ scripts: false, keyboard: true });
});

test("under a strict policy axe runs, and finds a field without a label", { skip }, async () => {
  await visit({}, async (patient) => {
    await patient.open(`${base}/form`);
    await patient.accessible();
    await patient.operable();
    await patient.alone(base);
    await patient.open(`${base}/unlabelled`);
    await assert.rejects(() => patient.accessible(), /label/);
  });
});

test("a page that is too wide, a target that is too small and a script that the policy forbids are found", { skip }, async () => {
  await visit({ width: 320 }, async (patient) => {
    await patient.open(`${base}/form`);
    await patient.fits();
    await patient.open(`${base}/wide`);
    await assert.rejects(() => patient.fits(), /wider/);
    await patient.open(`${base}/small`);
    await assert.rejects(() => patient.operable(), /24 px/);
    await patient.open(`${base}/scripted`);
    await assert.rejects(() => patient.alone(base), /errors in the browser/);
    assert.equal(await patient.page.title(), "Script");
  });
});

test("what can't be reached by Tab is said", { skip }, async () => {
  await visit({ keyboard: true }, async (patient) => {
    await patient.open(`${base}/`);
    await assert.rejects(() => patient.reach(patient.page.locator("h1")), /doesn't reach/);
  });
});
