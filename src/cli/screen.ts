/**
 * A terminal's alternate screen, painted line by line; what was on the screen before comes back at the end.
 * Source: ECMA-48, and xterm's private modes 7, 25 and 1049, which today's terminals have.
 */

import process from "node:process";
import type { WriteStream } from "node:tty";

const CSI = "\x1b[";
/** Alternate screen, no cursor, and what is too long for a line is cut off by the terminal. */
const ENTER = `${CSI}?1049h${CSI}?25l${CSI}?7l`;
const LEAVE = `${CSI}?7h${CSI}?25h${CSI}?1049l`;

/** Of a terminal that does not tell its size. */
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;

export class Screen implements Disposable {
  readonly #output: WriteStream;
  /** What each line shows; empty while nothing of ours is on the screen. */
  #shown: readonly string[] = [];
  #isEntered = false;
  readonly #leaveAtExit = () => this.leave();

  constructor(output: WriteStream) {
    this.#output = output;
    process.on("exit", this.#leaveAtExit);
  }

  get columns(): number {
    return this.#output.columns || COLUMNS_DEFAULT;
  }

  get rows(): number {
    return this.#output.rows || ROWS_DEFAULT;
  }

  enter(): void {
    if (this.#isEntered) return;
    this.#isEntered = true;
    this.#shown = [];
    this.#output.write(ENTER);
  }

  /** What was on the screen before is back. */
  leave(): void {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    this.#output.write(LEAVE);
  }

  /** The terminal has another size, or something else has written to it: nothing is taken for shown any more. */
  forget(): void {
    this.#shown = [];
  }

  /** Shows these lines, from the top; only those that have changed are written. */
  paint(lines: readonly string[]): void {
    this.#output.write(changes(this.#shown, lines));
    this.#shown = [...lines];
  }

  [Symbol.dispose](): void {
    this.leave();
    process.off("exit", this.#leaveAtExit);
  }
}

/** What to write so that `lines` are shown where `shown` were. Nothing shown: the screen may hold anything. */
export function changes(shown: readonly string[], lines: readonly string[]): string {
  let text = shown.length === 0 ? `${CSI}2J` : "";
  for (let row = 0; row < Math.max(shown.length, lines.length); row++) {
    const line = lines[row] ?? "";
    if (line !== (shown[row] ?? "")) text += `${CSI}${row + 1};1H${CSI}K${line}${CSI}0m`;
  }
  return text;
}
