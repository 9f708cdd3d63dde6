import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a program is run: for example by setpriv, with less privilege. */
export interface RunOptions {
  readonly wrapper?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs the built command line without colours. */
export function ptemark(args: readonly string[], { wrapper = [], env = {} }: RunOptions = {}): Outcome {
  const [program, ...rest] = [...wrapper, process.execPath, MAIN, ...args];
  return spawnSync(program, rest, {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...env },
    maxBuffer: 64 * 2 ** 20,
  });
}
