// `ptemark explore` and `ptemark series` as people meet them: the built program, run as a process.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined };

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-explore-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function ptemark(args: readonly string[], input = "") {
  return spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: "utf8", input, env });
}

/** What a search printed as JSON. */
function explored(...args: string[]): string {
  const { status, stdout, stderr } = ptemark(["explore", "--json", ...args]);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

/** Large enough to be interrupted, and small enough to be ended. */
const LONG = ["--sharers", "2", "--depth", "9"];

describe("explore", () => {
  test("says what it expects, what it searched, and how to replay what it found", () => {
    const { status, stdout, stderr } = ptemark(["explore", "--depth", "4"]);
    expect(status).toBe(0);
    expect(stderr).toMatch(/expected: [\d,]+ states, \d+ MiB\n[\d,]+ transitions a second, by \d+ threads/);
    expect(stdout).toContain(
      "rfc, zram, 2 processes, 2 pages, programs of up to 4 of 13 kinds of operations",
    );
    expect(stdout).toMatch(/all of the scope was searched: [\d,]+ states, [\d,]+ transitions, 4 deep/);
    expect(stdout).toContain("no byte is lost, no invariant broken, no access fails or hangs");
    const [, args] =
      /ptemark (explore --depth 4 --replay [\d.]+ --program) \| ptemark run/.exec(stdout) ?? [];
    const program = ptemark((args as string).split(" ")).stdout;
    const run = ptemark(["run", "-"], program);
    expect(run.status).toBe(0);
    expect(run.stdout).toMatch(/PAGEOUT|reclaim/);
  });

  test("prints the same with any number of threads, byte for byte", () => {
    const one = explored("--workers", "1");
    expect(explored("--workers", "2")).toBe(one);
    expect(explored("--workers", "5")).toBe(one);
  });

  test("finds with shards what it finds without", () => {
    const files = [1, 2].map((number) => {
      writeFileSync(join(folder, `${number}.json`), explored("--depth", "5", "--shard", `${number}/2`));
      return `${number}.json`;
    });
    const whole = JSON.parse(explored("--depth", "5"));
    const merged = JSON.parse(explored("--merge", ...files));
    const told = (result: { findings: { seen?: number }[] }) =>
      result.findings.map(({ seen, ...finding }) => finding);
    expect(told(merged)).toEqual(told(whole));
    expect(ptemark(["explore", "--merge", files[0]]).stderr).toContain("of 2 shards, 2 not given");
    expect(ptemark(["explore", "--merge", files[0], files[0]]).stderr).toContain("shard 1 is given twice");
  });

  test("shows each state of a replay", () => {
    const { moves } = JSON.parse(explored("--depth", "4")).findings.find(
      (finding: { class: string }) => finding.class === "forked",
    );
    const { stdout } = ptemark(["explore", "--depth", "4", "--replay", moves.join(".")]);
    expect(stdout.split("\n").slice(-4, -1)).toEqual([
      "fork A B",
      "    page 0 in swap: A marker, B none; page 1 a hole: A none, B none",
      expect.stringContaining("    forked: PM_SWAP clear, page swapped: fork had not copied"),
    ]);
    expect(ptemark(["explore", "--replay", `${moves[0]}.999`]).stderr).toContain(
      "move 2 (999) can't be made here",
    );
  });

  test("walks at random, the same from the same seed", () => {
    const walk = (seed: string): string => ptemark(["explore", "--random", "20", "--seed", seed]).stdout;
    expect(walk("5")).toBe(walk("5"));
    expect(walk("5")).not.toBe(walk("6"));
    expect(walk("5")).toMatch(/20 random walks from seed 5, \d+ moves\n {2}\w/);
  });

  test("stops on Ctrl-C with what it has, keeps it, and goes on from there to the same end", async () => {
    const child = spawn(process.execPath, [MAIN, "explore", "--json", ...LONG, "--checkpoint", "kept"], {
      cwd: folder,
      env,
    });
    let stdout = "";
    child.stdout.on("data", (data) => {
      stdout += data;
    });
    // It cannot end before the signal: it waits for its own threads to start.
    while (!existsSync("/proc") || threadsOf(child.pid as number) < 12)
      await new Promise((done) => setTimeout(done, 2));
    child.kill("SIGINT");
    const [status] = await once(child, "close");
    const stopped = JSON.parse(stdout);
    if (stopped.end === "stopped") {
      expect(status).toBe(1);
      const { status: resumed, stdout: rest } = ptemark(["explore", "--json", "--resume", "kept"]);
      expect(resumed).toBe(0);
      expect(rest).toBe(explored(...LONG));
    } else expect(stopped.end).toBe("complete"); // a very fast machine
  }, 60_000);

  test.each<[string[], string]>([
    [["--shard", "3/2"], "It must be I/N with I from 1 to N"],
    [["--shard", "0/2"], "It must be I/N with I from 1 to N"],
    [["--workers", "0"], "It must be 1 to 256"],
    [["--processes", "7"], "scope: processes 7 must be an integer from 1 to 4"],
    [["--ops", "read,fly"], 'scope: unknown op "fly"'],
    [["--memory", "0"], "scope too large for memory: 8,042 states, 1 MiB are expected, and"],
    [["--resume", "nowhere"], "nowhere"],
    [["--merge", "nowhere"], "nowhere: no such file"],
    [["--config", "PTE_MARKER"], "It must be NAME=VALUE"],
    [["--config", "NO_SUCH=true"], 'unknown switch "NO_SUCH"'],
    [["--replay", "1,2"], "numbers with dots between them"],
    [["--program", "--stages", "--replay", "0.24.25"], "no program of operations can show"],
  ])("refuses %j", (args, message) => {
    const { status, stderr } = ptemark(["explore", ...args]);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });

  test("refuses checkpoints that are of another version, cut short, or none", () => {
    writeFileSync(join(folder, "text"), "hello\nworld\n");
    expect(ptemark(["explore", "--resume", "text"]).stderr).toContain(
      'text: not a checkpoint of "ptemark explore"',
    );
    if (!existsSync(join(folder, "kept"))) return;
    const kept = readFileSync(join(folder, "kept"));
    const end = kept.indexOf(10);
    const header = JSON.parse(kept.subarray(0, end).toString());
    const old = Buffer.concat([
      Buffer.from(JSON.stringify({ ...header, ptemark: "0.0.1" })),
      kept.subarray(end),
    ]);
    writeFileSync(join(folder, "old"), old);
    expect(ptemark(["explore", "--resume", "old"]).stderr).toContain("old: a checkpoint of ptemark 0.0.1");
    writeFileSync(join(folder, "cut"), kept.subarray(0, kept.length - 9));
    expect(ptemark(["explore", "--resume", "cut"]).stderr).toContain("cut: cut short");
    expect(ptemark(["explore", "--resume", "kept", "--depth", "3"]).stderr).toContain("the scope is in kept");
  });
});

describe("series", () => {
  test("tells of each patch what is without it, in all three forms", () => {
    const text = ptemark(["series"]);
    expect(text.status).toBe(0);
    expect(text.stdout).toMatch(/1\+2\+3\+4 +works +all rows right/);
    expect(text.stdout).toMatch(/1\+3\+4 +breaks +never ends +endless-fault/);
    expect(text.stdout).toMatch(/1\+2\+4 +breaks +SIGBUS +bad-pte/);
    expect(text.stdout).toContain("without 2, the series breaks\n  endless-fault: The access faults");
    const markdown = ptemark(["series", "--markdown"]).stdout;
    expect(markdown).toContain("| 1+3+4 | breaks | never ends | endless-fault |");
    const { subsets } = JSON.parse(ptemark(["series", "--json"]).stdout);
    expect(subsets.length).toBe(10);
  }, 120_000);
});

function threadsOf(pid: number): number {
  const [, threads] = /^Threads:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(threads);
}
