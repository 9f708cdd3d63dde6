/** `ptemark watch` in a terminal (a pseudo terminal of script(1)), and where there is none. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, type TestContext, test } from "vitest";
import { readSmaps } from "../../src/linux/index.ts";
import { MAIN, ptemark } from "../support/cli.ts";
import { Holder } from "../support/holder.ts";
import { needs, needsRoot } from "../support/live.ts";
import { TargetFolder } from "../support/target.mjs";

const ENTER = "\x1b[?1049h";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";

let folder: TargetFolder;
let program = "";
let problem: string | undefined;

beforeAll(() => {
  folder = new TargetFolder();
  const built = folder.compile("holder");
  if ("program" in built) program = built.program;
  else problem = built.problem;
  if (spawnSync("script", ["--version"]).error) problem = "script (Debian: bsdutils)";
});

afterAll(() => folder[Symbol.dispose]());

/** A process with 64 pages of shared memory, half of them written. */
async function holder(context: TestContext): Promise<Holder> {
  needs(context, problem);
  const started = await Holder.start(program, 64);
  onTestFinished(() => started[Symbol.asyncDispose]());
  await started.tell("w", 0, 32);
  return started;
}

/** The command, in a terminal of 100 columns and 24 rows. */
class Watching {
  readonly #child: ChildProcessWithoutNullStreams;
  output = "";

  constructor(args: readonly string[]) {
    const command = `stty cols 100 rows 24; echo pid $$; exec ${process.execPath} ${MAIN} watch ${args.join(" ")}`;
    const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, TERM: "xterm" };
    this.#child = spawn("script", ["-qefc", command, "/dev/null"], { env });
    this.#child.stdout.on("data", (text) => {
      this.output += text;
    });
    onTestFinished(() => endOf(this.#child));
  }

  /** Waits until this has been shown. */
  async shown(text: string | RegExp): Promise<void> {
    while (!(typeof text === "string" ? this.output.includes(text) : text.test(this.output))) {
      if (this.#child.exitCode !== null)
        throw new Error(`it ended, and showed: ${JSON.stringify(this.output)}`);
      await sleep(10);
    }
  }

  press(keys: string): void {
    this.#child.stdin.write(keys);
  }

  signal(name: NodeJS.Signals): void {
    process.kill(Number(/pid (\d+)/.exec(this.output)?.[1]), name);
  }

  async exitCode(): Promise<number | null> {
    if (this.#child.exitCode === null) await once(this.#child, "close");
    return this.#child.exitCode;
  }
}

/** script(1) hangs up the terminal when it ends, which ends what runs in it. */
function endOf(child: ChildProcess): void {
  child.kill("SIGTERM");
}

/** The terminal is as it was before. */
function expectRestored({ output }: Watching): void {
  expect(output.split(ENTER)).toHaveLength(2);
  expect(output.split(LEAVE)).toHaveLength(2);
  expect(output.indexOf(LEAVE)).toBeGreaterThan(output.indexOf(ENTER));
}

describe("watch in a terminal", { timeout: 60_000 }, () => {
  test("shows the mappings and the pages, takes keys, and q quits", async (context) => {
    const target = await holder(context);
    const watching = new Watching([String(target.pid), "--interval", "0.1"]);
    await watching.shown(/▸ +256K +128K .* shmem +memfd:holder/);
    await watching.shown(/P{32}\.{32}/);
    await target.tell("w", 32, 8);
    await watching.shown(/▸ +256K +160K /);
    await watching.shown(/P{40}\.{24}/);
    watching.press("?");
    await watching.shown("never written");
    watching.press("j");
    await watching.shown(/▸ .*file/);
    watching.press(" ");
    await watching.shown("paused");
    watching.press("q");
    expect(await watching.exitCode()).toBe(0);
    expectRestored(watching);
  });

  test("the terminal is restored when a signal ends it", async (context) => {
    const target = await holder(context);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      const watching = new Watching([String(target.pid)]);
      await watching.shown("memfd:holder");
      watching.signal(signal);
      expect(await watching.exitCode()).toBe(0);
      expectRestored(watching);
    }
  });

  test("and when the process ends, which is told", async (context) => {
    const target = await holder(context);
    const watching = new Watching([String(target.pid), "--interval", "0.1"]);
    await watching.shown("memfd:holder");
    await target[Symbol.asyncDispose]();
    expect(await watching.exitCode()).toBe(0);
    expectRestored(watching);
    expect(watching.output.split(LEAVE)[1]).toBe(
      `process ${target.pid} (holder) has ended, or runs another program\r\n`,
    );
  });

  test("attached, it tells what is written, and leaves no trace", async (context) => {
    needsRoot(context);
    const target = await holder(context);
    const isRegistered = () => readSmaps(target.pid).some(({ vmFlags }) => vmFlags.has("uw"));
    const watching = new Watching([String(target.pid), "--interval", "0.1", "--attach"]);
    await watching.shown("What it costs the process");
    await watching.shown("exact, attached");
    await watching.shown("written 0 B/s");
    expect(isRegistered()).toBe(true);
    await target.tell("w", 0, 32);
    await watching.shown(/written \d\S* [KM]iB\/s/);
    watching.press("\x03"); // Ctrl-C
    expect(await watching.exitCode()).toBe(0);
    expectRestored(watching);
    expect(isRegistered()).toBe(false);
    expect(await target.tell("c")).toBe(0);
  });
});

describe("watch without a terminal", () => {
  test("prints once", async (context) => {
    const { pid } = await holder(context);
    const { status, stdout, stderr } = ptemark(["watch", String(pid), "--mapping", "memfd:holder"]);
    expect([status, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(new RegExp(`^${pid} holder  \\d\\d:\\d\\d:\\d\\d  every 2 s  exact `));
    expect(lines[1]).toBe("in swap 0 B (0 %)   in memory 128 KiB");
    expect(stdout).toMatch(/^[0-9a-f]{12} {2}P{32}\.{32}$/m);
    expect(stdout).not.toContain("\x1b");
  });

  test("refuses what makes no sense", async (context) => {
    const { pid } = await holder(context);
    const refused = (args: readonly string[]) => {
      const { status, stdout, stderr } = ptemark(["watch", ...args]);
      expect([status, stdout]).toEqual([2, ""]);
      return stderr;
    };
    expect(refused([String(pid), "--attach"])).toContain("--attach is for watching in a terminal");
    expect(refused([String(pid), "--mapping", "none such"])).toContain("no mapping of process");
    expect(refused([String(pid), "--interval", "-1"])).toContain("--interval -1: give seconds");
    expect(refused(["no-such-program"])).toContain('there is no process "no-such-program"');
  });
});
