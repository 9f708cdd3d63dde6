/** Runs bench/spin/shmem.pml: Promela to C by SPIN, C to a search by cc. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What is missing for it; undefined if nothing is. */
export function lackingForSpin(): string | undefined {
  for (const program of ["spin", "cc"])
    try {
      execFileSync(program, [program === "spin" ? "-V" : "--version"], { stdio: "ignore" });
    } catch {
      return `${program} is not installed`;
    }
  return undefined;
}

/** A search, compiled: dispose of it when done. */
export class Pan implements Disposable {
  readonly #folder: string;

  constructor(model: string, pages: number) {
    this.#folder = mkdtempSync(join(tmpdir(), "ptemark-spin-"));
    const options = { cwd: this.#folder, stdio: "ignore" } as const;
    try {
      execFileSync("spin", ["-a", `-DPAGES=${pages}`, model], options);
      execFileSync("cc", ["-O2", "-DSAFETY", "-DNOFAIR", "-w", "-o", "pan", "pan.c"], options);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Searches all. Throws if SPIN found anything wrong, or did not say what it searched. */
  run(): { readonly states: number; readonly transitions: number } {
    const text = execFileSync(join(this.#folder, "pan"), ["-m10000000", "-n"], {
      cwd: this.#folder,
      encoding: "utf8",
    });
    const numberOf = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);
    const states = numberOf(/^\s*(\d+) states, stored$/m);
    const transitions = numberOf(/^\s*(\d+) transitions \(/m);
    if (!(states > 0 && transitions > 0) || numberOf(/errors: (\d+)/) !== 0) throw new Error(`SPIN: ${text}`);
    return { states, transitions };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
