// Debian's Chromium, driven by Playwright, for the tests of the portal's pages: as a patient uses them. Small screens, keyboard alone, and
// without JavaScript are settings of a visit; accessibility is checked by axe-core on any page.
//
//   import { visit } from "./browser.mjs";
//   await visit({ width: 320 }, async (patient) => {
//     await patient.open("http://127.0.0.1:8080/");
//     await patient.choose("Se connecter");       // a link or a button by its name; by Tab and Enter where `keyboard` is set
//     await patient.accessible("home");           // fails with what axe found
//   });

import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const AXE_TEXTS = { fr: JSON.parse(readFileSync(require.resolve("axe-core/locales/fr.json"), "utf8")) };
/** The rules of axe that are WCAG 2.2 AA or RGAA, and its best practices for landmarks and headings. */
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "RGAAv4", "best-practice"];
const PATIENCE_MS = 20_000;
/** Presses of Tab until a page is said to have no way to what is looked for. */
const TABS_MAX = 250;
/** The least size of a target, in CSS pixels (WCAG 2.2, 2.5.8). */
const TARGET_PX = 24;

/** Where a Chromium is; null where there is none. */
export function executable() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }) ?? null;
}

/**
 * One visit of one person, in a browser of its own: `run(patient)`. Settings: `width` and `height` in CSS pixels, `scripts` (JavaScript,
 * true), `keyboard` (no mouse, false), `dark`, `language` ("fr-FR"), `shots` (a folder for screenshots).
 */
export async function visit(settings, run) {
  const { width = 1280, height = 900, scripts = true, keyboard = false, dark = false, language = "fr-FR", shots = null } = settings;
  const browser = await chromium.launch({ executablePath: executable(), args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  try {
    const context = await browser.newContext({
      viewport: { width, height },
      javaScriptEnabled: scripts,
      locale: language,
      timezoneId: "Europe/Paris",
      colorScheme: dark ? "dark" : "light",
      reducedMotion: "reduce",
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const patient = new Patient(page, { scripts, keyboard, shots, language });
    try {
      return await run(patient);
    } catch (error) {
      // What was on the screen says more than a stack: the words of the page, which hold test data alone.
      const words = await page.locator("body").innerText({ timeout: 2_000 }).catch(() => "no page");
      error.message += `\n--- ${page.url()}\n${words.slice(0, 3_000)}\n---`;
      throw error;
    }
  } finally {
    await browser.close();
  }
}

/** Somebody at the browser. */
export class Patient {
  constructor(page, { scripts, keyboard, shots, language }) {
    Object.assign(this, { page, scripts, keyboard, shots, language });
    this.requests = [];
    this.refused = [];
    page.on("request", (request) => this.requests.push(request.url()));
    // A page that breaks its own Content-Security-Policy says so here, and nowhere else.
    page.on("console", (message) => message.type() === "error" && this.refused.push(message.text()));
    page.on("pageerror", (error) => this.refused.push(String(error)));
  }

  /** Goes to an address, as a person types it. */
  async open(url) {
    return this.page.goto(url, { waitUntil: "load" });
  }

  /** The words of the page, as they can be read. */
  async words() {
    return this.page.locator("body").innerText();
  }

  /** Waits until the page says this, a text or a regular expression, and gives what matched. Fails where it never does. */
  async reads(text) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      // A page that is being left has no body for a moment.
      const words = (await this.words().catch(() => "")).replace(/[\s\u00a0\u202f]+/g, " ");
      const found = text instanceof RegExp ? words.match(text) : words.includes(text) && [text];
      if (found) return found;
      assert.ok(Date.now() < deadline, `the page doesn't say "${text}", but: ${words.slice(0, 600)}`);
      await this.page.waitForTimeout(50);
    }
  }

  /** The link, button or summary with this name. */
  control(name, within = this.page) {
    const role = (role) => within.getByRole(role, { name, exact: typeof name === "string" });
    return role("link").or(role("button")).or(within.locator("summary").filter({ hasText: name })).first();
  }

  /** Uses the link or button with this name, and waits for where it leads. */
  async choose(name, within = this.page) {
    await this.use(this.control(name, within));
  }

  /** Uses a control: by the mouse, or by Tab and Enter. */
  async use(control) {
    if (!this.keyboard) {
      await control.scrollIntoViewIfNeeded();
      await control.click();
    } else {
      await this.reach(control);
      await this.page.keyboard.press("Enter");
    }
    await this.page.waitForLoadState("load");
  }

  /** The field, box or choice with this label. */
  labelled(label, within = this.page) {
    return within.getByLabel(label, { exact: typeof label === "string" }).first();
  }

  /** Fills in the field with this label; a day is written `2026-12-31`. */
  async fill(label, text, within = this.page) {
    const field = this.labelled(label, within);
    if (!this.keyboard) await field.fill(text);
    else if ((await field.getAttribute("type")) === "date") {
      await this.reach(field);
      const [year, month, day] = text.split("-");
      // The order of its parts is the browser's, not the page's.
      for (const digits of [day + month + year, month + day + year, year + month + day]) {
        for (let part = 0; part < 3; part += 1) await this.page.keyboard.press("ArrowLeft");
        await this.page.keyboard.type(digits);
        if ((await field.inputValue()) === text) return;
      }
      assert.fail(`the keyboard can't write ${text} into "${label}"`);
    } else {
      await this.reach(field);
      await this.page.keyboard.press("ControlOrMeta+a");
      await this.page.keyboard.type(text);
    }
  }

  /** Ticks the box, or takes the choice, with this label. */
  async tick(label, within = this.page) {
    const box = this.labelled(label, within);
    if (!this.keyboard) {
      await box.check();
      return;
    }
    await this.reach(box);
    if (!(await box.isChecked())) await this.page.keyboard.press("Space");
    assert.ok(await box.isChecked(), `the space bar doesn't tick "${label}"`);
  }

  /** Moves the focus to a control by Tab alone; a choice among several is reached by arrows. Fails where the keyboard doesn't get there. */
  async reach(control) {
    await control.waitFor({ state: "attached" });
    const isThere = async () => (await this.page.locator(":focus").and(control).count()) > 0;
    const name = (await control.getAttribute("type")) === "radio" ? await control.getAttribute("name") : null;
    for (let tab = 0; tab < TABS_MAX; tab += 1) {
      if (await isThere()) return;
      if (name !== null && (await this.page.locator(`input[type="radio"][name="${name}"]:focus`).count()) > 0) {
        const choices = await this.page.locator(`input[type="radio"][name="${name}"]`).count();
        for (let arrow = 0; arrow < choices && !(await isThere()); arrow += 1) await this.page.keyboard.press("ArrowDown");
        if (await isThere()) return;
      }
      await this.page.keyboard.press("Tab");
    }
    assert.fail(`the keyboard doesn't reach ${control}`);
  }

  /** Fails with what axe finds on this page. JavaScript has to be on. */
  async accessible(where = this.page.url()) {
    assert.ok(this.scripts, "axe runs in the page");
    const texts = this.language.startsWith("fr") ? AXE_TEXTS.fr : null;
    // The debugger runs it, so neither a policy without `eval` nor Trusted Types holds it back.
    await this.page.evaluate(AXE);
    const found = await this.page.evaluate(
      async ([texts, tags]) => {
        if (texts) window.axe.configure({ locale: texts });
        const { violations } = await window.axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
        return violations.map(({ id, help, nodes }) => `${id}: ${help}\n    ${nodes.map((node) => node.html.slice(0, 200)).join("\n    ")}`);
      },
      [texts, TAGS],
    );
    assert.deepEqual(found, [], `${where} isn't accessible:\n  ${found.join("\n  ")}`);
  }

  /** Fails where the page is wider than the screen: somebody would have to scroll both ways (WCAG 1.4.10). */
  async fits(where = this.page.url()) {
    assert.ok(this.scripts, "measured in the page");
    const wide = await this.page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth <= width) return [];
      const beyond = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > width + 1);
      return beyond.slice(0, 5).map((one) => one.outerHTML.slice(0, 160));
    });
    assert.deepEqual(wide, [], `${where} is wider than the screen`);
  }

  /** Fails where a control outside of a sentence is smaller than 24 px, or where its focus can't be seen. */
  async operable(where = this.page.url()) {
    assert.ok(this.scripts, "measured in the page");
    const small = await this.page.evaluate((least) => {
      const seen = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== "hidden";
      const inSentence = (one) => getComputedStyle(one).display === "inline" && one.parentElement.textContent.trim() !== one.textContent.trim();
      const off = (box) => box.right <= 0 || box.bottom <= 0;
      return [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
        .filter((one) => seen(one) && !inSentence(one))
        .filter((one) => {
          const label = one.labels?.[0] ?? one;
          const box = one.getBoundingClientRect();
          const of = label.getBoundingClientRect();
          return !off(box) && Math.min(Math.max(box.width, of.width), Math.max(box.height, of.height)) < least;
        })
        .map((one) => one.outerHTML.slice(0, 160));
    }, TARGET_PX);
    assert.deepEqual(small, [], `${where} has targets below ${TARGET_PX} px`);
  }

  /** Takes a picture of the whole page into the folder of this visit; nothing where there is none. */
  async shot(name) {
    if (this.shots === null) return;
    mkdirSync(this.shots, { recursive: true });
    await this.page.screenshot({ path: join(this.shots, `${name}.png`), fullPage: true, animations: "disabled" });
  }

  /** Fails where the page asked anybody else for something, or broke its own policy. */
  async alone(origin) {
    const others = this.requests.filter((url) => !url.startsWith(origin) && !url.startsWith("data:"));
    assert.deepEqual(others, [], "third parties");
    assert.deepEqual(this.refused, [], "errors in the browser");
  }
}
