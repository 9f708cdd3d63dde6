// A running process, not ours to drive, that holds shared memory: test/support/targets/holder.c.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { afterAll, beforeAll, beforeEach, onTestFinished, type TestContext } from "vitest";
import { ZramSwap } from "../../src/linux/index.ts";
import { LIVE_TIMEOUT_MS, needs, needsZram } from "./live.ts";
import { TargetFolder } from "./target.mjs";

/** What it can be told to do with its pages (see holder.c). */
export type HolderOp = "w" | "r" | "o" | "z" | "m" | "u" | "c";

export class Holder {
  readonly pages: number;
  /** Where the memory is; bytes. */
  address = 0;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;

  private constructor(program: string, pages: number, flags: readonly string[]) {
    this.pages = pages;
    this.#child = spawn(program, [String(pages), ...flags]);
    this.#lines = createInterface(this.#child.stdout);
  }

  static async start(program: string, pages: number, flags: readonly "huge"[] = []): Promise<Holder> {
    const holder = new Holder(program, pages, flags);
    holder.address = await holder.#answer();
    return holder;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Does it, and returns its answer. */
  async tell(op: HolderOp, first = 0, pages = this.pages): Promise<number> {
    this.#child.stdin.write(`${op} ${first} ${pages}\n`);
    return await this.#answer();
  }

  async #answer(): Promise<number> {
    const [line] = (await once(this.#lines, "line")) as [string];
    return Number.parseInt(line, 16);
  }

  /** It ends when there is nothing more to read. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
  }
}

/** What the tests of a file share: the program, and swap on zram while they run. */
export interface Holders {
  /** undefined where there can be none: the tests are skipped. */
  readonly zram: ZramSwap | undefined;
  /** Starts one, which ends with the test. */
  start(pages: number, flags?: readonly "huge"[]): Promise<Holder>;
}

/** Sets up, before and after all tests of the file that calls it, what holders take. */
export function setUpHolders(): Holders {
  let folder: TargetFolder;
  let program = "";
  let problem: string | undefined;
  let zram: ZramSwap | undefined;

  beforeAll(async () => {
    folder = new TargetFolder();
    const built = folder.compile("holder");
    if ("program" in built) program = built.program;
    else problem = built.problem;
    if (ZramSwap.obstacle() === undefined)
      zram = await ZramSwap.create({ sizeBytes: 64 << 20, waitMs: LIVE_TIMEOUT_MS });
  }, LIVE_TIMEOUT_MS);

  afterAll(() => {
    zram?.[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  beforeEach((context) => {
    needsZram(context as TestContext);
    needs(context as TestContext, problem);
  });

  return {
    get zram() {
      return zram;
    },
    async start(pages, flags = []) {
      const started = await Holder.start(program, pages, flags);
      onTestFinished(() => started[Symbol.asyncDispose]());
      return started;
    },
  };
}
