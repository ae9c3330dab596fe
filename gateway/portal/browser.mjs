// A browser to test and measure in: files of this folder over loopback, one page opened by a headless Chromium, and what
// that page answers.

import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8" };
const PATIENCE_MS = 120_000;

/** Where a Chromium is; null where there is none. */
export function chromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => folders.map((f) => join(f, name)));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }) ?? null;
}

/** The files by path: those given, and those of this folder. */
function answer(given, path) {
  const name = path.slice(1);
  if (name in given) return given[name];
  return /^[a-z.]+$/.test(name) && extname(name) in TYPES ? readFileSync(join(HERE, name)) : null;
}

/**
 * Runs `script`, the text of a module, in a page of its own, and gives what it passes to `answer(value)`. The files of
 * this folder are there, and those `given` (name to content), and nothing of any network.
 */
export async function inBrowser(script, given = {}) {
  const files = {
    ...given,
    "run.html": '<!doctype html><meta charset="utf-8" /><script type="module" src="run.js"></script>',
    "run.js": `const answer = (value) => fetch("/answer", { method: "POST", body: JSON.stringify(value) });
      try { await (async () => {\n${script}\n})(); } catch (e) { await answer({ failed: String(e.stack ?? e) }); }`,
  };
  const profile = mkdtempSync(join(tmpdir(), "sillage-browser-"));
  let child;
  const server = createServer();
  try {
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    return await new Promise((done, failed) => {
      server.on("request", (request, response) => {
        const { pathname } = new URL(request.url, "http://localhost");
        if (request.method === "POST") {
          const body = [];
          request.on("data", (part) => body.push(part)).on("end", () => {
            response.end();
            done(JSON.parse(Buffer.concat(body).toString()));
          });
          return;
        }
        const content = answer(files, pathname);
        response.writeHead(content === null ? 404 : 200, { "content-type": TYPES[extname(pathname)] ?? "application/octet-stream" });
        response.end(content ?? "");
      });
      const page = `http://127.0.0.1:${server.address().port}/run.html`;
      const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", `--user-data-dir=${profile}`, page];
      // A group of its own: a browser is many processes, and all of them end with it.
      child = spawn(chromium(), flags, { detached: true, stdio: "ignore" });
      child.on("error", failed).on("exit", (code) => failed(new Error(`the browser ended with ${code}`)));
      setTimeout(() => failed(new Error("the browser gave no answer")), PATIENCE_MS).unref();
    });
  } finally {
    const ended = child?.pid && child.exitCode === null ? new Promise((done) => child.on("exit", done)) : null;
    if (ended) process.kill(-child.pid, "SIGKILL");
    await ended;
    server.closeAllConnections?.();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
