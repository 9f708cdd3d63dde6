// Compiles src to dist, beside the old dist until it is whole: a failed build leaves the last good one in place.
// @ts-check
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const fresh = join(root, `dist.${process.pid}`);
const tsc = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));

try {
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);

  const main = join(fresh, "cli", "main.js");
  if (existsSync(main)) chmodSync(main, 0o755);
  rmSync(dist, { recursive: true, force: true });
  renameSync(fresh, dist);
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
