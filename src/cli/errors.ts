import process from "node:process";
import { CommanderError } from "commander";
import { LinuxError } from "../linux/linux-error.ts";
import { ConfigError } from "../model/index.ts";
import { ScriptError } from "../script/index.ts";

/** A command that was given what it cannot use: the message names it and the mend. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** Exit codes, besides 0. */
export const EXIT = { DIVERGES: 1, BAD_INPUT: 2, NOT_POSSIBLE: 3, BUG: 70 } as const;

/** Tells on stderr what ended the program, and sets the exit code. */
export function reportFailure(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.BAD_INPUT; // help, or an error it has told already
    return;
  }
  const exitCode = exitCodeOf(error);
  process.exitCode = exitCode;
  const debugging = process.env.PTEMARK_DEBUG === "1";
  const message = error instanceof Error ? error.message : String(error);
  const hint = exitCode !== EXIT.BUG ? "" : "\nThis is a bug in ptemark; PTEMARK_DEBUG=1 shows where.";
  process.stderr.write(
    debugging && error instanceof Error ? `${error.stack}\n` : `ptemark: ${message}${hint}\n`,
  );
}

function exitCodeOf(error: unknown): number {
  if ([InputError, ScriptError, ConfigError].some((known) => error instanceof known)) return EXIT.BAD_INPUT;
  return error instanceof LinuxError ? EXIT.NOT_POSSIBLE : EXIT.BUG; // not permitted, or not supported
}
