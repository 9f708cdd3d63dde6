import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type BuildResult, build } from "esbuild";
import { chromium } from "playwright-core";
import { describe, expect, test } from "vitest";
import { EXPECTED_ROWS, functionalTest } from "./support/functional-in-browser.ts";
import { lacking } from "./support/requirement.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CHROMIUM = process.env.CHROME_PATH ?? "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Bundles as a web application would, from the built package; Node's modules are left as imports, to be seen. */
async function bundleForBrowser(entry: string) {
  return await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    external: ["node:*"],
    outdir: "bundle",
    logLevel: "silent",
    tsconfigRaw: {}, // resolve "ptemark/model" by package.json, as a consumer does
  });
}

/** What the bundle still imports when all is bundled. */
function leftoverImports({ metafile }: BuildResult<{ metafile: true }>): string[] {
  return Object.values(metafile.outputs).flatMap((output) => output.imports.map((i) => i.path));
}

async function serve(script: string): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const isScript = request.url === "/functional.js";
    response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" });
    response.end(isScript ? script : "<!doctype html><title>ptemark</title>");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

async function runInChromium(script: string): Promise<unknown> {
  const { server, url } = await serve(script);
  try {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
    try {
      const page = await browser.newPage();
      await page.goto(url);
      // A string, so that no transform of the test runner touches the import.
      return await page.evaluate(`import("/functional.js").then((module) => module.functionalTest())`);
    } finally {
      await browser.close();
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

describe("the model in a browser", () => {
  test("bundles without any Node module", async () => {
    const result = await bundleForBrowser("dist/model/index.js");
    expect(leftoverImports(result)).toEqual([]);

    const [{ contents }] = result.outputFiles;
    expect(contents.length).toBeGreaterThan(0);
    const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
    const sizes = `${kilobytes(contents.length)} minified, ${kilobytes(gzipSync(contents).length)} with gzip`;
    process.stdout.write(`model bundle: ${sizes}\n`);
  });

  test("passes the RFC's functional test in Node", () => {
    expect(functionalTest()).toEqual(EXPECTED_ROWS);
  });

  test("passes the RFC's functional test in Chromium", { timeout: 60_000 }, async (context) => {
    if (!existsSync(CHROMIUM)) lacking(context, `no Chromium at ${CHROMIUM} (set CHROME_PATH)`);
    const bundle = await bundleForBrowser("test/support/functional-in-browser.ts");
    expect(leftoverImports(bundle)).toEqual([]);
    expect(await runInChromium(bundle.outputFiles[0].text)).toEqual(EXPECTED_ROWS);
  });
});
