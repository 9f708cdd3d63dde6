import process from "node:process";
import { CommanderError } from "commander";
import { WorkloadError } from "../lab/workload.ts";
// By their files: these are loaded for every command, and their rooms are not.
import { LinuxError } from "../linux/linux-error.ts";
import { ConfigError } from "../model/config.ts";
import { ScriptError } from "../script/script-error.ts";

/** A command that was given what it cannot use: the message names it and the mend. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/**
 * Exit codes, besides 0: what was asked to be found was found (a divergence), or only a part could be told;
 * the input can't be used; it is not permitted, or this kernel can't; a bug of ours.
 */
export const EXIT = { FOUND: 1, BAD_INPUT: 2, NOT_POSSIBLE: 3, BUG: 70 } as const;

/** Tells on stderr what ended the program, and sets the exit code. */
export function reportFailure(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.BAD_INPUT; // help, or an error it has told already
    return;
  }
  process.exitCode = exitCodeOf(error);
  tell(error);
}

/** Tells an error on stderr. */
export function tell(error: unknown): void {
  const debugging = process.env.PTEMARK_DEBUG === "1";
  const message = error instanceof Error ? error.message : String(error);
  const hint =
    exitCodeOf(error) === EXIT.BUG ? "\nThis is a bug in ptemark; PTEMARK_DEBUG=1 shows where." : "";
  process.stderr.write(
    debugging && error instanceof Error ? `${error.stack}\n` : `ptemark: ${message}${hint}\n`,
  );
}

export function exitCodeOf(error: unknown): number {
  if ([InputError, ScriptError, ConfigError, WorkloadError].some((known) => error instanceof known))
    return EXIT.BAD_INPUT;
  if (!(error instanceof LinuxError)) return EXIT.BUG;
  // No such process: the pid is an input that can't be used.
  return error.code === "ESRCH" ? EXIT.BAD_INPUT : EXIT.NOT_POSSIBLE;
}
