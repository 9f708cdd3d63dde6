// The RFC's functional test on this kernel, by the command.
import { spawnSync } from "node:child_process";
import { release } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { UFFD_FEATURE_WP_ASYNC } from "../../src/abi/index.ts";
import { Userfaultfd } from "../../src/linux/userfaultfd.ts";
import { LIVE_TIMEOUT_MS, needsMemoryCgroup, needsZram, untilSwapIsFree } from "../support/live.ts";
import { lacking } from "../support/requirement.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

function functional(args: readonly string[] = []) {
  return spawnSync(process.execPath, [MAIN, "functional", "--backend", "linux", ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
}

test("functional --backend linux: what pagemap shows, with markers, and what is exact", {
  timeout: LIVE_TIMEOUT_MS,
}, async (context) => {
  needsZram(context);
  needsMemoryCgroup(context);
  if ((Userfaultfd.offeredFeatures() & UFFD_FEATURE_WP_ASYNC) === 0) {
    lacking(context, "needs asynchronous write-protection (Linux 6.7)");
  }
  await untilSwapIsFree();
  const { status, stdout, stderr } = functional(["--json"]);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  interface Row {
    readonly step: string;
    readonly present: number;
    readonly swap: number;
  }
  const { results } = JSON.parse(stdout) as { results: { view: string; kernel: string; rows: Row[] }[] };
  expect(
    results.map(({ view, kernel, rows }) => [view, kernel, rows.map(({ swap }) => swap).join("")]),
  ).toEqual([
    ["pagemap", release(), "000000"],
    ["marker", release(), "010111"],
    ["exact", release(), "010010"],
  ]);
  for (const { rows } of results) expect(rows.map(({ present }) => present).join("")).toBe("101000");
  expect(results[0].rows.map(({ step }) => step).join(" ")).toBe(
    "FAULT1 PAGEOUT FAULT2 REMOVE PAGEOUT REMOVE",
  );

  await untilSwapIsFree();
  const text = functional().stdout;
  expect(text).toContain("       REMOVE (expect swap==0): present bit 0, swap bit 1\n");
  expect(text).toMatch(/exact detector.*\n(.*\n){6}PASS: the swap bit is right in every row\n$/);
});
