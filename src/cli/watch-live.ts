/** `watch` at work: looks at the process, takes keys, paints. Loaded when there is a process to watch. */

import process from "node:process";
import { emitKeypressEvents, type Key } from "node:readline";
import { noSuchProcess } from "../linux/procfs.ts";
import { announceAttach } from "./attach-plan.ts";
import { EndSignals } from "./end-signals.ts";
import { InputError } from "./errors.ts";
import { printable } from "./scan-words.ts";
import { Screen } from "./screen.ts";
import { looked, pressed, type WatchState } from "./watch-state.ts";
import { snapshotLines, viewLines } from "./watch-view.ts";
import { Watcher, type WatcherOptions } from "./watcher.ts";

/** Of what is no terminal. */
const COLUMNS_DEFAULT = 120;

/** Prints how it is now. */
export async function showOnce(pid: number, options: WatcherOptions, initial: WatchState): Promise<void> {
  using watcher = openWatcher(pid, options);
  const look = watcher.look();
  if (look === undefined) throw noSuchProcess(pid, "watch");
  const lines = snapshotLines(looked(initial, look), process.stdout.columns ?? COLUMNS_DEFAULT);
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** Shows the process until someone has had enough, or it ends. The terminal is as before in any case. */
export async function showLive(pid: number, options: WatcherOptions, initial: WatchState): Promise<void> {
  using watcher = openWatcher(pid, options);
  const end = await live(watcher, initial);
  if (end === "process ended")
    process.stdout.write(`process ${pid} (${printable(watcher.name)}) has ended, or runs another program\n`);
}

function openWatcher(pid: number, options: WatcherOptions): Watcher {
  if (options.attaches) announceAttach(pid, options.isWanted);
  const watcher = Watcher.open(pid, options);
  if (watcher.hasMappings()) return watcher;
  watcher[Symbol.dispose]();
  throw new InputError(`no mapping of process ${pid} (${printable(watcher.name)}) matches --mapping`);
}

async function live(watcher: Watcher, initial: WatchState): Promise<"quit" | "process ended"> {
  using screen = new Screen(process.stdout);
  using keyboard = new Keyboard();
  using signals = new EndSignals();
  return await new Promise((resolve, reject) => {
    let state = initial;
    let timer: NodeJS.Timeout | undefined;
    const paint = () => screen.paint(viewLines(state, screen));
    const end = (how: "quit" | "process ended" | Error) => {
      clearTimeout(timer);
      process.stdout.off("resize", resized);
      process.off("SIGCONT", resumed);
      if (how instanceof Error) reject(how);
      else resolve(how);
    };
    /** What throws in a callback ends the view, and is told when the terminal is as before. */
    const guarded = (step: () => void) => {
      try {
        step();
      } catch (error) {
        end(error as Error);
      }
    };
    const quit = () => end("quit");
    const look = () =>
      guarded(() => {
        const found = watcher.look();
        if (found === undefined) return end("process ended");
        state = looked(state, found);
        paint();
        schedule();
      });
    /** The pause is between looks: a look that takes long leaves the machine alone as long as one that doesn't. */
    const schedule = () => {
      clearTimeout(timer);
      if (!state.isPaused) timer = setTimeout(look, state.intervalS * 1000);
    };
    const resized = () =>
      guarded(() => {
        screen.forget();
        paint();
      });
    const resumed = () =>
      guarded(() => {
        keyboard.listen();
        screen.enter();
        paint();
        schedule();
      });
    const suspend = () => {
      clearTimeout(timer);
      keyboard.release();
      screen.leave();
      process.kill(process.pid, "SIGSTOP");
    };
    keyboard.onKey = (key) =>
      guarded(() => {
        if (key === "ctrl-z") return suspend();
        const next = pressed(state, key);
        if (next === "quit") return quit();
        const isRescheduled = next.isPaused !== state.isPaused || next.intervalS !== state.intervalS;
        state = next;
        paint();
        if (isRescheduled) schedule();
      });
    signals.signal.addEventListener("abort", quit);
    process.on("SIGCONT", resumed);
    process.stdout.on("resize", resized);
    screen.enter();
    keyboard.listen();
    guarded(paint);
    timer = setTimeout(look);
  });
}

/** Keys, one by one as they are pressed. Where standard input is no terminal, there are none. */
class Keyboard implements Disposable {
  onKey: (key: string) => void = () => undefined;
  readonly #listener = (text: string | undefined, key: Key) => this.onKey(nameOf(text, key));

  constructor() {
    if (!process.stdin.isTTY) return;
    emitKeypressEvents(process.stdin);
    process.stdin.on("keypress", this.#listener);
    process.stdin.resume();
  }

  /** Every key is ours. */
  listen(): void {
    if (process.stdin.isTTY) process.stdin.setRawMode(true);
  }

  /** The terminal handles keys again; that we still read keeps the process from ending for want of work. */
  release(): void {
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
  }

  [Symbol.dispose](): void {
    process.stdin.off("keypress", this.#listener);
    this.release();
    process.stdin.pause();
  }
}

function nameOf(text: string | undefined, { name, ctrl }: Key): string {
  if (name === undefined) return text ?? "";
  return ctrl ? `ctrl-${name}` : name;
}
