/** `ptemark attach`: what it prints is what happened, and it leaves nothing in the process however it ends. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { PAGE_SIZE, PM_HI_UFFD_WP } from "../../src/abi/index.ts";
import { drainLruBatches, PagemapFile, readSmaps } from "../../src/linux/index.ts";
import { MAIN, ptemark } from "../support/cli.ts";
import { type Holder, setUpHolders } from "../support/holder.ts";
import { LIVE_TIMEOUT_MS } from "../support/live.ts";

const PAGES = 64;
const PAGEOUT_TRIES = 100;

const holders = setUpHolders();

/** A process with PAGES pages of shared memory, all of them written. */
async function holder(): Promise<Holder> {
  const started = await holders.start(PAGES);
  await started.tell("w");
  return started;
}

function smapsOf({ pid, address }: Holder) {
  const entry = readSmaps(pid).find(({ start }) => start === address);
  if (entry === undefined) throw new Error("the memory is not in smaps");
  return entry;
}

/** Pages out until all of the range is in swap: the kernel may leave some, the first time. */
async function pageOut(target: Holder, first: number, pages: number): Promise<void> {
  const wanted = smapsOf(target).fields.Swap + pages * PAGE_SIZE;
  for (let i = 0; i < PAGEOUT_TRIES && smapsOf(target).fields.Swap < wanted; i++) {
    drainLruBatches();
    await target.tell("o", first, pages);
  }
  expect(smapsOf(target).fields.Swap).toBe(wanted);
}

/** What an attachment would leave behind. */
function expectNoTrace(target: Holder): void {
  expect(smapsOf(target).vmFlags).not.toContain("uw");
  using pagemap = PagemapFile.open(target.pid);
  const words = new Uint32Array(PAGES * 2);
  expect(pagemap.read(target.address / PAGE_SIZE, words)).toBe(PAGES);
  for (let page = 0; page < PAGES; page++) expect(words[page * 2 + 1] & PM_HI_UFFD_WP).toBe(0);
}

interface AttachEvent {
  readonly event: string;
  readonly swappedOut: number;
  readonly swappedIn: number;
  readonly written: number;
  readonly healed: number;
  readonly [field: string]: unknown;
}

/** A running `ptemark attach --json`. */
class AttachCommand {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #events: AsyncIterator<string>;
  readonly sums = { swappedOut: 0, swappedIn: 0, written: 0, healed: 0 };
  stderr = "";

  constructor(target: Holder) {
    const args = [MAIN, "attach", String(target.pid), "--interval", "0.1", "--json"];
    this.#child = spawn(process.execPath, args);
    this.#child.stderr.on("data", (text) => {
      this.stderr += text;
    });
    this.#events = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    onTestFinished(() => {
      this.#child.kill("SIGKILL");
    });
  }

  /** The next event; passes are summed up. */
  async next(): Promise<AttachEvent> {
    const { value, done } = await this.#events.next();
    if (done) throw new Error(`it ended: ${this.stderr}`);
    const event = JSON.parse(value) as AttachEvent;
    if (event.event === "pass") {
      for (const name of Object.keys(this.sums) as (keyof typeof this.sums)[]) this.sums[name] += event[name];
    }
    return event;
  }

  /** Events until one of them makes it so: it is how a test that waits in vain ends, by its timeout. */
  async until(isSo: (event: AttachEvent) => boolean): Promise<AttachEvent> {
    for (;;) {
      const event = await this.next();
      if (isSo(event)) return event;
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async exit(): Promise<number | NodeJS.Signals | null> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) await once(this.#child, "exit");
    return this.#child.exitCode ?? this.#child.signalCode;
  }
}

describe("attach", { timeout: LIVE_TIMEOUT_MS }, () => {
  test("tells what went to swap, came back, and was written; Ctrl-C leaves nothing", async () => {
    const target = await holder();
    const command = new AttachCommand(target);
    const attached = await command.next();
    expect(attached).toMatchObject({
      event: "attached",
      pid: target.pid,
      armed: PAGES,
      inSwap: 0,
      skipped: [],
    });
    expect(smapsOf(target).vmFlags).toContain("uw");
    expect(command.stderr).toContain("What it costs the process");

    await pageOut(target, 0, 40);
    expect(await command.until(() => command.sums.swappedOut === 40)).toMatchObject({ inSwap: 40 });
    await target.tell("r", 0, 10);
    await target.tell("w", 20, 5);
    await target.tell("w", 50, 4);
    await command.until(() => command.sums.swappedIn === 15 && command.sums.written === 9);
    expect(command.sums).toEqual({ swappedOut: 40, swappedIn: 15, written: 9, healed: 0 });

    command.kill("SIGINT");
    expect(await command.until(({ event }) => event !== "pass")).toMatchObject({
      event: "detached",
      ...command.sums,
    });
    expect(await command.exit()).toBe(0);
    expectNoTrace(target);
    expect(await target.tell("c")).toBe(0);
  });

  test("killed, it leaves nothing either, and the data is right", async () => {
    const target = await holder();
    const command = new AttachCommand(target);
    await command.next();
    await pageOut(target, 0, 40);
    await command.until(() => command.sums.swappedOut === 40);
    command.kill("SIGKILL");
    expect(await command.exit()).toBe("SIGKILL");
    expectNoTrace(target);
    expect(await target.tell("c")).toBe(0);
  });

  test("takes in mappings that come, and tells of those that go", async () => {
    const target = await holder();
    const command = new AttachCommand(target);
    await command.next();
    const start = `0x${(await target.tell("m")).toString(16)}`;
    const isIn = (list: unknown) => (list as { start: string }[]).some((mapping) => mapping.start === start);
    await command.until(({ appeared }) => isIn(appeared));
    await target.tell("u");
    await command.until(({ vanished }) => isIn(vanished));
    command.kill("SIGTERM");
    expect(await command.exit()).toBe(0);
  });

  test("ends with the process", async () => {
    const target = await holder();
    const command = new AttachCommand(target);
    await command.next();
    await target[Symbol.asyncDispose]();
    await command.until(({ event }) => event === "ended");
    expect(await command.exit()).toBe(0);
  });

  test("prints a line a pass for people, and what it was in the end", async () => {
    const target = await holder();
    const { status, stdout, stderr } = ptemark([
      ...["attach", String(target.pid), "--interval", "0.1", "--count", "2"],
    ]);
    const [header, ...lines] = stdout.trimEnd().split("\n");
    expect(header).toMatch(/^ +time +out +in +written +armed +doubtful +stale +in swap +ms$/);
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^\d\d:\d\d:\d\d( +0){7} +[\d.]+$/);
    expect(stderr).toContain(
      `attaching to process ${target.pid} (holder): 1 mapping of shared memory, 256 KiB`,
    );
    expect(stderr).toMatch(/attached: thread \d+ was stopped for [\d.]+ ms; armed 256 KiB/);
    expect(stderr).toContain("detached: nothing is left in the process");
    expect(status).toBe(0);
    expectNoTrace(target);
  });
});

describe("attach refuses", () => {
  test("what is not permitted, and says what is missing", async () => {
    const { pid } = await holder();
    const nobody = ["setpriv", "--reuid", "65534", "--clear-groups"];
    const { status, stdout, stderr } = ptemark(["attach", String(pid)], { wrapper: nobody });
    expect([status, stdout]).toEqual([3, ""]);
    expect(stderr).toMatch(/CAP_SYS_PTRACE/);
  });

  test("a process without shared memory, and a pattern that matches none", async () => {
    const { pid } = await holder();
    const child = spawn("/bin/sleep", ["600"]);
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    await once(child, "spawn");
    expect(ptemark(["attach", String(child.pid)])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/has no shared memory to attach to\n$/),
    });
    expect(ptemark(["attach", String(pid), "--mapping", "no such"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("none of the 1 mappings of shared memory"),
    });
  });

  test("options that make no sense", () => {
    for (const option of [
      ["--interval", "0"],
      ["--interval", "soon"],
      ["--count", "0"],
      ["--mapping", "("],
    ]) {
      expect(ptemark(["attach", "1", ...option])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(option[0]),
      });
    }
  });
});
