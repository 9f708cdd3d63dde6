/**
 * Undoes what this process has set up on the machine (swap devices, cgroups, files), also if it is killed.
 * The guard is a shell that reads commands from a pipe and does nothing, until the pipe ends; then it runs
 * them, the last one first. The pipe ends when the guard is disposed of, and however this process ends, since
 * nobody else has its other end.
 */

import { spawn } from "node:child_process";
import { closeSync, readSync, writeSync } from "node:fs";
import { pipe } from "./libc.ts";
import { LinuxError } from "./linux-error.ts";

// Signals of the terminal and of a session's end reach children too: they are for us to answer, not for the guard.
const SCRIPT = `trap '' HUP INT QUIT TERM PIPE
undo=
while IFS= read -r command; do undo="$command
$undo"; done
eval "$undo"`;

export class Guard implements Disposable {
  readonly #commandsFd: number;
  readonly #messagesFd: number;
  #open = true;

  private constructor(commandsFd: number, messagesFd: number) {
    this.#commandsFd = commandsFd;
    this.#messagesFd = messagesFd;
  }

  /** @param heldFd a descriptor that the guard keeps open until all is undone (a lock) */
  static start(heldFd?: number): Guard {
    const commands = pipe();
    const messages = pipe();
    try {
      const shell = spawn("/bin/sh", ["-c", SCRIPT], {
        detached: true, // a session of its own: no terminal's signals, and it outlives us
        cwd: "/",
        stdio: [
          commands.readFd,
          messages.writeFd,
          messages.writeFd,
          ...(heldFd === undefined ? [] : [heldFd]),
        ],
      });
      shell.on("error", () => {}); // told by the missing pid, below
      shell.unref();
      if (shell.pid === undefined) throw new LinuxError({ call: "spawn /bin/sh", needs: "a shell" });
    } catch (error) {
      closeSync(commands.writeFd);
      closeSync(messages.readFd);
      throw error;
    } finally {
      closeSync(commands.readFd);
      closeSync(messages.writeFd);
    }
    return new Guard(commands.writeFd, messages.readFd);
  }

  /**
   * Adds a shell command, to be run before all that were added earlier. Add it before doing what it undoes:
   * it must do no harm, and say nothing, if there is nothing to undo. What it prints is an error.
   */
  add(command: string): void {
    writeSync(this.#commandsFd, `${command.replaceAll("\n", " ")}\n`);
  }

  /** Undoes all, and waits for it. Throws a {@link LinuxError} with what could not be undone. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#commandsFd);
    const said = readToEnd(this.#messagesFd);
    closeSync(this.#messagesFd);
    if (said !== "") throw new LinuxError({ call: "undoing what was set up", needs: said });
  }
}

function readToEnd(fd: number): string {
  const chunk = Buffer.alloc(4096);
  let text = "";
  for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk))
    text += chunk.toString("utf8", 0, got);
  return text.trim();
}

/** A word of a shell command that stands for itself. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A shell command that repeats another for up to two seconds, until it succeeds; only its last words are kept. */
export function retried(command: string): string {
  const giveUp = 'if [ $n -ge 100 ]; then echo "$said"; break; fi';
  return `n=0; until said=$({ ${command}; } 2>&1); do n=$((n+1)); ${giveUp}; sleep 0.02; done`;
}
