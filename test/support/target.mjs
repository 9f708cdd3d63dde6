// Programs in C for live tests: compiled once into a folder of their own, started, watched through a shared
// page.
// @ts-check
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("targets", import.meta.url));

/** The modes of targets/selfcheck.c. */
export const SELFCHECK_MODES = /** @type {const} */ ([
  "read",
  "poll",
  "epoll",
  "futex",
  "futex-until",
  "nanosleep",
  "clock-nanosleep",
  "sse",
  "compute",
  "memory",
  "shared-memory",
  "kernel-writes",
  "stack",
  "coroutines",
  "threads",
  "signals",
  "signals-altstack",
  "signals-read",
  "sigsuspend",
  "fork",
]);

/** How long a target may take for its next round before it counts as stuck: the machine may be busy. */
const PATIENCE_MS = 20_000;

/** A folder with compiled programs, for as long as it is wanted. */
export class TargetFolder {
  #sources;

  /** @param {string} [sources] where the programs' sources are */
  constructor(sources = SOURCES) {
    this.#sources = sources;
    this.path = mkdtempSync(join(tmpdir(), "ptemark-target-"));
    chmodSync(this.path, 0o755); // other users run them too
  }

  /**
   * Compiles targets/NAME.c; returns the program, or what the compiler said.
   * @param {string} name
   * @param {readonly string[]} [flags]
   * @returns {{ program: string } | { problem: string }}
   */
  compile(name, flags = ["-O2", "-pthread", "-lm"]) {
    const program = join(this.path, name);
    const source = join(this.#sources, `${name}.c`);
    const built = spawnSync("cc", ["-o", program, source, ...flags], { encoding: "utf8" });
    if (built.error) return { problem: `needs a C compiler (cc): ${built.error.message}` };
    return built.status === 0 ? { program } : { problem: `cc ${name}.c: ${built.stderr}` };
  }

  [Symbol.dispose]() {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A running program of targets/selfcheck.c. */
export class SelfCheckingTarget {
  /** @type {import("node:child_process").ChildProcess} */
  #child;
  #sharedFd;
  #shared = new BigUint64Array(2);
  #said = "";

  /**
   * @param {string} program
   * @param {string} mode
   * @param {{ uid?: number }} [as] whose process it is to be
   */
  constructor(program, mode, { uid } = {}) {
    this.mode = mode;
    const shared = `${program}.${mode}.${process.pid}.shared`;
    writeFileSync(shared, new Uint8Array(4096));
    chmodSync(shared, 0o666);
    this.#sharedFd = openSync(shared, "r");
    const options = uid === undefined ? {} : { uid, gid: uid };
    this.#child = spawn(program, [mode, shared], { stdio: ["ignore", "ignore", "pipe"], ...options });
    this.#child.stderr?.on("data", (/** @type {Buffer} */ text) => {
      this.#said += text;
    });
  }

  get pid() {
    if (this.#child.pid === undefined) throw new Error(`${this.mode}: not started`);
    return this.#child.pid;
  }

  #read() {
    readSync(this.#sharedFd, this.#shared, 0, 16, 0);
    return this.#shared;
  }

  /** Rounds done. */
  get rounds() {
    return Number(this.#read()[0]);
  }

  /** How often a call returned EINTR that may. */
  get interruptions() {
    return Number(this.#read()[1]);
  }

  /** What is wrong with it by now; undefined if nothing. */
  get trouble() {
    const { exitCode, signalCode } = this.#child;
    if (this.#said !== "") return this.#said.trim();
    if (exitCode !== null || signalCode !== null)
      return `${this.mode} ended: ${signalCode ?? `exit code ${exitCode}`}`;
    return undefined;
  }

  /** Its userfaultfds. */
  get userfaultfds() {
    return readdirSync(`/proc/${this.pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${this.pid}/fd/${fd}`) === "anon_inode:[userfaultfd]";
      } catch {
        return false; // closed meanwhile
      }
    }).length;
  }

  /** Waits for some more rounds; throws if something is wrong with the target. */
  async progress(rounds = 2) {
    const wanted = this.rounds + rounds;
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const { trouble } = this;
      if (trouble !== undefined) throw new Error(trouble);
      if (this.rounds >= wanted) return;
      if (performance.now() > deadline) throw new Error(`${this.mode} is stuck: ${this.#whereabouts()}`);
      await sleep(1);
    }
  }

  #whereabouts() {
    const read = (/** @type {string} */ file) => readFileSync(`/proc/${this.pid}/${file}`, "utf8").trim();
    const status = /^State:.*$|^TracerPid:.*$|^Sig.*$/gm;
    return [...read("status").matchAll(status), read("syscall")].join("; ");
  }

  /** Ends it, and throws if something was wrong with it. */
  async stop() {
    const { trouble } = this;
    const ended = new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve(undefined);
      else this.#child.once("close", resolve);
    });
    this.#child.kill("SIGKILL");
    await ended;
    closeSync(this.#sharedFd);
    if (trouble !== undefined) throw new Error(trouble);
  }
}

/**
 * Starts a program of targets/unfit.c, or another one that prints a pid when it is ready.
 * @param {string} program
 * @param {string} mode
 */
export async function startUnfit(program, mode) {
  const child = spawn(program, mode === "" ? [] : [mode], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit").then(([code]) => `${mode} ended with exit code ${code}`);
  const said = once(/** @type {import("node:stream").Readable} */ (child.stdout), "data").then(String);
  const first = await Promise.race([said, ended]);
  const pid = Number.parseInt(first, 10);
  if (Number.isNaN(pid)) throw new Error(first);
  return {
    pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
