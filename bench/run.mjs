// Runs one bench, or all: `npm run bench -- NAME [--quick] [--json] [--check] [--rounds N] [--seed N]`.
// Bundled on the fly (esbuild), so that a bench may import the sources as they stand; packages stay outside.
// @ts-check
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const benchDirectory = fileURLToPath(new URL(".", import.meta.url));
const out = fileURLToPath(new URL("../dist.bench", import.meta.url));
const names = readdirSync(benchDirectory)
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
  .map((file) => file.slice(0, -".ts".length))
  .sort();

/** @type {import("node:child_process").ChildProcess | undefined} */
let running;
let stopped = false;

/** @param {string} name @param {string[]} options */
function run(name, options) {
  const child = spawn(process.execPath, ["--expose-gc", join(out, `${name}.js`), ...options], {
    stdio: "inherit",
  });
  running = child;
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : 1));
    child.once("error", () => resolve(1));
  });
}

const [wanted, ...options] = process.argv.slice(2);
if (wanted === undefined || !(wanted === "all" || names.includes(wanted))) {
  console.error(
    `usage: npm run bench -- ${names.join("|")}|all [--quick] [--json] [--check] [--rounds N] [--seed N]`,
  );
  process.exit(2);
}

const chosen = wanted === "all" ? names : [wanted];
await build({
  entryPoints: chosen.map((name) => join(benchDirectory, `${name}.ts`)),
  outdir: out,
  entryNames: "[name]",
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  logLevel: "warning",
});

// Pass signals on, and wait for the bench to put the machine back.
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.on(signal, () => {
    stopped = true;
    running?.kill(signal);
  });
}
let status = 0;
for (const name of chosen) {
  if (stopped) break;
  status = Math.max(status, await run(name, options));
  if (wanted === "all") console.log("");
}
process.exit(status);
