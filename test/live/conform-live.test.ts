// Random programs on this kernel and on the model, which must show the same.
import { spawnSync } from "node:child_process";
import { release } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, test } from "vitest";
import { nearestProfile } from "../../src/model/index.ts";
import { LIVE_TIMEOUT_MS, needsMemoryCgroup, needsZram, untilSwapIsFree } from "../support/live.ts";
import { lacking } from "../support/requirement.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIMEOUT = { timeout: LIVE_TIMEOUT_MS };
const PROGRAMS = 100;

beforeEach((context) => {
  needsZram(context);
  needsMemoryCgroup(context);
  const followed = nearestProfile(release()).replace("linux-", "");
  if (!release().startsWith(`${followed}.`))
    lacking(context, `needs a release that the model follows: ${release()}`);
});

async function conform(args: readonly string[]) {
  await untilSwapIsFree();
  return spawnSync(process.execPath, [MAIN, "conform", "--live", ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
}

test(`${PROGRAMS} programs, step by step: the model shows what the kernel shows`, TIMEOUT, async () => {
  const { status, stdout, stderr } = await conform(["--seeds", String(PROGRAMS), "--seed", "100000"]);
  expect(stderr).toBe("");
  expect(stdout).toMatch(
    new RegExp(`^${PROGRAMS} of ${PROGRAMS} traces agree \\((\\d+) of \\1 steps\\)\\n$`, "m"),
  );
  expect(status).toBe(0);
});

test(
  "a model of another kernel differs: where, how it is seen again, and the shortest program",
  TIMEOUT,
  async () => {
    const other = release().startsWith("6.1.") ? "linux-6.18" : "linux-6.1";
    const { status, stdout } = await conform(["--seeds", "3", "--seed", "5", "--profile", other, "--json"]);
    expect(status).toBe(1);
    const { traces, divergences } = JSON.parse(stdout);
    expect(traces).toBe(3);
    expect(divergences.map(({ trace }: { trace: string }) => trace)).toEqual(["seed-5", "seed-6", "seed-7"]);
    const [{ replay, program, unrepeatable, shortest, step, field }] = divergences;
    expect(replay).toBe(`ptemark conform --live --seeds 1 --seed 5 --profile ${other}`);
    expect(unrepeatable).toBe(false);
    expect(shortest.length).toBeLessThanOrEqual(program.length);

    const again = await conform(replay.split(" ").slice(3));
    expect(again.status).toBe(1);
    expect(again.stdout).toContain(`seed-5 differs at step ${step}: ${program[step - 1]}\n  ${field}: `);
    expect(again.stdout).toContain(`  the shortest program that does:\n    ${shortest.join("\n    ")}\n`);
    expect(again.stdout).toContain(
      `  to see it again: ${replay}\n  the whole program:\n    ${program.join("\n    ")}\n`,
    );
  },
);
