/**
 * A program under a memory limit, as a test's target. However the test ends, the program ends and its files
 * are gone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { MemoryCgroup } from "../../src/linux/cgroup.ts";
import { quoted } from "../../src/linux/guard.ts";

/** Who a program runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

export class Confined implements Disposable {
  /** Temporary, the program's to write to. */
  readonly folder: string;
  readonly cgroup: MemoryCgroup;
  readonly #user: User | undefined;
  readonly #procs: string;
  #program: ChildProcess | undefined;
  #output = "";

  /** `endSignal` is what ends the program in order; after some seconds SIGKILL does. */
  constructor(options: { name: string; endSignal: string; user?: User }) {
    this.#user = options.user;
    this.cgroup = MemoryCgroup.create(`ptemark-test-${options.name}`);
    this.#procs = join(this.cgroup.path, "cgroup.procs");
    this.folder = mkdtempSync(join(tmpdir(), `ptemark-${options.name}-`));
    const { guard } = this.cgroup;
    guard.add(`rm -rf ${quoted(this.folder)}`);
    guard.add(endAll(quoted(this.#procs), options.endSignal));
    if (this.#user !== undefined) chownSync(this.folder, this.#user.uid, this.#user.gid);
  }

  get pid(): number {
    return this.#program?.pid ?? 0;
  }

  /** What the program has printed. */
  get output(): string {
    return this.#output;
  }

  /** All processes of the program that run now. */
  pids(): number[] {
    return readFileSync(this.#procs, "utf8").trim().split("\n").filter(Boolean).map(Number);
  }

  /** Starts the program: all its memory, from the first page on, is charged to the cgroup. */
  start(command: string, args: readonly string[]): void {
    const program = spawn("/bin/sh", ["-c", 'read go; exec "$0" "$@" < /dev/null', command, ...args], {
      cwd: this.folder,
      detached: true, // no terminal's signals
      stdio: ["pipe", "pipe", "pipe"],
      ...this.#user,
    });
    this.#program = program;
    for (const stream of [program.stdout, program.stderr]) {
      stream.on("data", (chunk) => {
        this.#output += chunk;
      });
    }
    this.cgroup.add(this.pid);
    program.stdin.end("go\n");
  }

  /** Polls. Throws with the program's output if it ends first. */
  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await isSo())) {
      if (this.#program?.exitCode !== null || this.#program.signalCode !== null) {
        throw new Error(`the program ended before: ${what}\n${this.#output}`);
      }
      await sleep(20);
    }
  }

  /** Stops all its processes, so that pages are at rest. */
  pause(): void {
    for (const pid of this.pids()) process.kill(pid, "SIGSTOP");
  }

  resume(): void {
    for (const pid of this.pids()) process.kill(pid, "SIGCONT");
  }

  [Symbol.dispose](): void {
    this.cgroup[Symbol.dispose]();
  }
}

/** A command for a guard: ends what runs in a cgroup. Only what was started in it is there. */
function endAll(procs: string, endSignal: string): string {
  const each = (signal: string): string => `while read -r pid; do kill -${signal} $pid; done < ${procs}`;
  const wait = `n=0; while [ -n "$(cat ${procs})" ] && [ $n -lt 250 ]; do sleep 0.02; n=$((n+1)); done`;
  const askFirst = `read -r pid < ${procs} && kill -${endSignal} $pid`;
  return `{ ${each("CONT")}; ${askFirst}; ${wait}; ${each("KILL")}; ${wait}; } 2>/dev/null`;
}
