import process from "node:process";
import { SingleBar } from "cli-progress";

/** Work that takes less time is shown no bar. */
const DELAY_MS = 1000;

/** A progress bar on stderr, where that is a terminal and the work takes a while. */
export class Progress {
  readonly #total: number;
  readonly #startMs = performance.now();
  readonly #wanted = process.stderr.isTTY === true;
  #bar: SingleBar | undefined;

  constructor(total: number) {
    this.#total = total;
  }

  update(done: number, label: string): void {
    if (!this.#wanted || performance.now() - this.#startMs < DELAY_MS) return;
    if (!this.#bar) {
      this.#bar = new SingleBar({
        format: "{bar} {percentage}% {label}",
        clearOnComplete: true,
        hideCursor: true,
      });
      this.#bar.start(this.#total, done, { label });
    }
    this.#bar.update(done, { label });
  }

  stop(): void {
    this.#bar?.stop();
  }
}

/** What is being done now, on stderr, where that is a terminal: for work whose end can't be told. */
export class StatusLine {
  readonly #wanted = process.stderr.isTTY === true;

  readonly show = (text: string): void => {
    if (this.#wanted) process.stderr.write(`\r\x1b[K${text}`);
  };

  stop(): void {
    this.show("");
  }
}
