// What watch shows and how keys change it, on a process of the model.
import { describe, expect, test, vi } from "vitest";
import { Kernel, MemorySwapDevice, type Process } from "../model/index.ts";
import type { Detector } from "../residency/detector.ts";
import { ModelTarget } from "../residency/model-target.ts";
import { createDetector, scanTarget, type TargetScan } from "../residency/scan.ts";
import { initialState, looked, pressed, rowsOf, selectedRow, type WatchState } from "./watch-state.ts";
import { snapshotLines, viewLines } from "./watch-view.ts";

// Letters instead of colours, whatever the terminal; before picocolors looks.
vi.hoisted(() => {
  process.env.NO_COLOR = "1";
});

const PAGE = 4096;

/** 64 pages of shared memory, half of them written, and 80 private ones. */
class Watched {
  readonly process: Process;
  readonly #shared: number;
  readonly #target: ModelTarget;
  readonly #detector: Detector;

  constructor() {
    const kernel = new Kernel({ swap: [new MemorySwapDevice({ slots: 1024 })] });
    this.process = kernel.createProcess();
    this.process.mmap({ lengthBytes: 80 * PAGE, write: true });
    const object = kernel.memfdCreate({ sizePages: 64 });
    this.#shared = this.process.mmap({ lengthBytes: 64 * PAGE, object, shared: true, write: true });
    this.touch(32);
    this.#target = new ModelTarget(kernel, this.process);
    this.#detector = createDetector("exact", this.#target);
  }

  /** Writes the first pages of the shared memory. */
  touch(pages: number): void {
    for (let page = 0; page < pages; page++) this.process.storeU64(this.#shared + page * PAGE, 1n);
  }

  pageOut(pages: number): void {
    this.process.madvise(this.#shared, pages * PAGE, "PAGEOUT");
  }

  remove(pages: number): void {
    this.process.madvise(this.#shared, pages * PAGE, "REMOVE");
  }

  /** `second` is when. */
  scan(second: number): TargetScan {
    const time = new Date(Date.UTC(2030, 0, 1, 12, 0, second));
    return { ...scanTarget(this.#target, this.#detector), time };
  }

  /** A state after a look. */
  look(state: WatchState, second: number, written?: number): WatchState {
    return looked(state, { scan: this.scan(second), tookMs: 1, written });
  }
}

const SIZE = { columns: 80, rows: 24 };

describe("rates", () => {
  test("are of pages that went to swap and came back; what was removed did neither", () => {
    const watched = new Watched();
    let state = watched.look(initialState(2), 0);
    watched.pageOut(20);
    state = watched.look(state, 1);
    expect(state.rates).toMatchObject({ swappedOut: 20, swappedIn: 0 });
    watched.touch(5);
    watched.pageOut(1);
    state = watched.look(state, 2);
    expect(state.rates).toMatchObject({ swappedOut: 0, swappedIn: 4 });
    watched.remove(10);
    expect(watched.look(state, 3).rates).toMatchObject({ swappedOut: 0, swappedIn: 0 });
  });

  test("do not count what was in a mapping when it came", () => {
    const watched = new Watched();
    watched.pageOut(20);
    const scan = watched.scan(0);
    const state = looked(initialState(2), { scan: { ...scan, mappings: [] }, tookMs: 1, written: undefined });
    expect(watched.look(state, 1).rates).toMatchObject({ swappedOut: 0, swappedIn: 0 });
  });
});

describe("the state", () => {
  test("rates are by the second, and need two looks", () => {
    const watched = new Watched();
    const first = watched.look(initialState(2), 0);
    expect(first.rates).toBeUndefined();
    watched.pageOut(20);
    const second = watched.look(first, 4);
    expect(second.rates).toEqual({ swappedOut: 5, swappedIn: 0, written: undefined });
    watched.touch(6);
    expect(watched.look(second, 7, 9).rates).toEqual({ swappedOut: 0, swappedIn: 2, written: 3 });
  });

  test("the history is what was in swap at each look", () => {
    const watched = new Watched();
    let state = watched.look(initialState(2), 0);
    watched.pageOut(20);
    state = watched.look(state, 1);
    watched.touch(6);
    expect(watched.look(state, 2).history).toEqual([0, 20, 14]);
  });

  test("shared memory comes first, then the largest; keys select, and stop at the ends", () => {
    const watched = new Watched();
    const state = watched.look(initialState(2), 0);
    const kinds = rowsOf(state).map(({ mapping }) => mapping.kind);
    expect(kinds).toEqual(["shmem", "anon"]);
    const selectedBy = (keys: readonly string[]) => {
      const after = keys.reduce<WatchState>((now, key) => pressed(now, key) as WatchState, state);
      return selectedRow(after, rowsOf(after));
    };
    expect(selectedBy([])).toBe(0);
    expect(selectedBy(["j"])).toBe(1);
    expect(selectedBy(["down", "down", "down"])).toBe(1);
    expect(selectedBy(["j", "k", "up"])).toBe(0);
  });

  test("the interval goes by steps, and stays within them", () => {
    const intervalAfter = (keys: string) =>
      [...keys].reduce<WatchState>((now, key) => pressed(now, key) as WatchState, initialState(2)).intervalS;
    expect(["+", "-", "-------------", "++++++++++", "x"].map(intervalAfter)).toEqual([5, 1, 0.1, 60, 2]);
  });

  test("q, escape and ctrl-c quit", () => {
    expect(["q", "escape", "ctrl-c", "a"].map((key) => pressed(initialState(2), key) === "quit")).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});

describe("the view", () => {
  test("before the first look", () => {
    expect(viewLines(initialState(2), SIZE)).toEqual(["looking ..."]);
  });

  test("fills the screen, and its lines are no longer than the screen is wide", () => {
    const watched = new Watched();
    let state = watched.look(initialState(2), 0);
    watched.pageOut(20);
    state = { ...watched.look(state, 1), showsLegend: true };
    for (const size of [SIZE, { columns: 200, rows: 60 }, { columns: 80, rows: 16 }]) {
      const lines = viewLines(state, size);
      expect(lines).toHaveLength(size.rows);
      const table = lines.slice(0, -1).filter((line) => !line.includes("mixed"));
      expect(table.filter((line) => line.length > size.columns)).toEqual([]);
      expect(lines.at(-1)).toMatch(/^q quit/);
    }
  });

  test("tells what is in swap, the mappings, and the pages of the selected one", () => {
    const watched = new Watched();
    let state = watched.look(initialState(2), 0);
    watched.pageOut(16);
    state = watched.look(state, 2);
    const text = viewLines(state, SIZE).join("\n");
    expect(text).toContain("in swap 64.0 KiB (50 %)   in memory 64.0 KiB   out 32.0 KiB/s   in 0 B/s");
    expect(text).toMatch(/▸ +256K +64\.0K +- +- +64\.0K +128K {2}P{3}S{2}\.{5} object/);
    expect(text).toMatch(/ {2} +320K +- +- +- +- +320K {2}\.{10} \(no name\)/);
    expect(text).toContain(`, a cell is a page   P present  S swapped  . hole`);
    expect(text).toMatch(/[0-9a-f]{12} {2}S{16}P{16}\.{32}\n/);

    const other = viewLines(pressed(state, "j") as WatchState, SIZE).join("\n");
    expect(other).toMatch(/▸ +320K/);
    expect(other).toMatch(/[0-9a-f]{12} {2}\.{66}\n[0-9a-f]{12} {2}\.{14}\n/);
  });

  test("names are shown without what would steer the terminal", () => {
    const state = new Watched().look(initialState(2), 0);
    const { look } = state;
    const scan = look?.scan as TargetScan;
    const mappings = scan.mappings.map((one) => ({
      ...one,
      mapping: { ...one.mapping, name: "a\x1b[2Jb\nc" },
    }));
    const hostile = looked(initialState(2), {
      scan: { ...scan, name: "\x1b]0;x\x07", mappings },
      tookMs: 1,
      written: undefined,
    });
    const text = viewLines(hostile, SIZE).join("");
    expect(text).toContain("a?[2Jb?c");
    expect(text.match(/\p{Cc}/gu)).toBeNull();
  });

  test("as a snapshot it has all mappings, and no keys", () => {
    const lines = snapshotLines(new Watched().look(initialState(2), 0), 80);
    expect(lines.join("\n")).not.toContain("quit");
    expect(lines.filter((line) => /\b(256K|320K)\b/.test(line))).toHaveLength(2);
  });
});
