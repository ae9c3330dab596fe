// The same checks in a browser, and the page that patients see. Skipped where there is no Chromium.
//
//   node --test gateway/portal/browser.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { chromium, inBrowser } from "./browser.mjs";

const skip = chromium() === null ? "no Chromium here" : false;
const vectors = { "bundle.json": readFileSync(new URL("../../docs/vectors/bundle.json", import.meta.url)) };

test("a browser gives the same verdicts as Node, with its own Ed25519 and without", { skip }, async () => {
  const got = await inBrowser(
    `const { internals, verify } = await import("./verify.js");
    const { native } = await internals.start();
    const { bundles, policy, tampered } = await (await fetch("/bundle.json")).json();
    const bytes = Object.fromEntries(bundles.map((b) => [b.name, internals.unbase64(b.bytes)]));
    const verdict = ({ ok, errors }) => (ok ? "proven" : errors[0].part);
    const ask = async (name, bytes, slow) => verdict(await verify([{ name: name + ".sillage-trace", bytes }], policy, { slow }));
    const whole = {};
    for (const { name } of bundles) whole[name] = [await ask(name, bytes[name], false), await ask(name, bytes[name], true)];
    const parts = [];
    for (const { bundle, offset, xor, reseal, section } of tampered) {
      if (reseal) continue;
      const changed = Uint8Array.from(bytes[bundle]);
      changed[offset] ^= xor;
      parts.push([await ask(bundle, changed, false), section === null ? "header" : internals.SECTIONS[section - 1]]);
    }
    await answer({ native, whole, parts });`,
    vectors,
  );
  assert.equal(got.failed, undefined);
  assert.equal(typeof got.native, "boolean");
  for (const [name, verdicts] of Object.entries(got.whole)) assert.deepEqual(verdicts, ["proven", "proven"], name);
  assert.ok(got.parts.length > 50);
  for (const [part, expected] of got.parts) assert.equal(part, expected);
});

test("the page says to a patient what is proven, in French and in English, and what is not", { skip }, async () => {
  const got = await inBrowser(
    `const { bundles, policy } = await (await fetch("/bundle.json")).json();
    const bytes = Uint8Array.from(atob(bundles.find((b) => b.name === "whole").bytes), (c) => c.charCodeAt(0));
    const frame = document.createElement("iframe");
    frame.src = "index.html";
    document.body.append(frame);
    await new Promise((done) => (frame.onload = done));
    const page = frame.contentDocument;
    const give = (id, name, content) => {
      const files = new DataTransfer();
      files.items.add(new File([content], name));
      page.getElementById(id).files = files.files;
      page.getElementById(id).dispatchEvent(new Event("change"));
    };
    const until = async (test) => {
      while (!test(page.getElementById("result").innerText)) await new Promise((done) => setTimeout(done, 20));
      return page.getElementById("result").innerText;
    };
    const says = {};
    give("files", "a.sillage-trace", bytes);
    says.without = await until((t) => t !== "");
    give("policy", "policy.txt", policy);
    says.french = await until((t) => t.includes("complète"));
    page.getElementById("language").click();
    says.english = await until((t) => t.includes("complete"));
    bytes[1000] ^= 1;
    give("files", "b.sillage-trace", bytes);
    says.refused = await until((t) => t.includes("b.sillage-trace"));
    says.heading = page.querySelector("h1").innerText;
    says.title = page.title;
    says.detail = page.querySelector("details p").textContent;
    bytes[1000] ^= 1;
    give("files", "c.sillage-trace", bytes);
    await until((t) => t.includes("c.sillage-trace"));
    says.events = [...page.querySelectorAll("ol.events > li")].map((one) => one.innerText);
    says.statements = page.querySelector("article ul").innerText;
    frame.style.width = "320px";
    frame.style.border = "0";
    await new Promise((done) => setTimeout(done, 100));
    says.widths = [page.documentElement.scrollWidth, page.documentElement.clientWidth];
    await answer(says);`,
    vectors,
  );
  assert.equal(got.failed, undefined);
  assert.match(got.without, /Il manque la politique/);
  assert.match(got.french, /a\.sillage-trace : prouvé[^]*La trace est complète : 6[^]*Contresigné par 2 nœuds sur 3/);
  assert.match(got.english, /a\.sillage-trace: proven[^]*The trace is complete: 6 of 6/);
  assert.match(got.refused, /b\.sillage-trace: REFUSED[^]*“genesis”[^]*keep it as evidence/);
  assert.match(got.detail, /^genesis: /);
  assert.equal(got.title, "Sillage: verify a trace");
  assert.doesNotMatch(got.french, /Choose|proven|\bWho\b/, "one language at a time");
  assert.equal(got.events.length, 6);
  assert.ok(got.events.some((text) => /read[^]*Who[^]*entry [0-9]+ of the log/.test(text)), got.events[0]);
  assert.doesNotMatch(got.statements, /Documents/, "proof statements stand apart");
  assert.ok(got.widths[0] <= got.widths[1], `it fits 320 px: ${got.widths}`);
  assert.equal(got.heading, "Verify a trace");
});
