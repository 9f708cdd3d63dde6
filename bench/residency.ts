/** Finding out where the pages of shared memory are: markers, the object asked, both; and what a change costs. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MADV, PAGE_IS_PRESENT, PAGE_IS_SWAPPED, PAGE_SIZE, PM_HI_GUARD_REGION } from "../src/abi/index.ts";
import { mixHash } from "../src/lab/hash.ts";
import { Arming } from "../src/lab/live/arming.ts";
import { fillPages } from "../src/lab/page-content.ts";
import { Random } from "../src/lab/random.ts";
import { type Contender, interleave, median, ratioOf } from "../src/lab/statistics.ts";
import { PagemapScanner, ZramSwap } from "../src/linux/index.ts";
import { SharedMemory } from "../src/linux/shared-memory.ts";
import {
  ExactDetector,
  LinuxTarget,
  type Mapping,
  MarkerDetector,
  PageCacheDetector,
  STATE_MASK,
} from "../src/residency/index.ts";
import { classify, entryTable } from "../src/residency/page-table-look.ts";
import { compileCLoop } from "./support/c-loop.ts";
import { benchOptions, mebibytes, Report, ratioText } from "./support/report.ts";

const options = benchOptions();
const sizePages = options.quick ? 8192 : 2 ** 18;
const rounds = options.rounds ?? (options.quick ? 3 : 21);
const report = new Report("residency", options);
const { seed } = options;

/** The bench is bundled one folder below the root. */
const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/** Pages of a read of pagemap, as the detectors do it. */
const CHUNK_PAGES = 65_536;
/** Loops over entries in one timing: a single one is over too soon. */
const DECODE_REPEATS = 8;
const CHANGES = [1, 100, 10_000].filter((pages) => pages < sizePages / 8);
/** Longer than detectors want counters to be at rest before they rely on them. */
const REST_MS = 1200;

/** Which pages are swapped out: three quarters, in runs of one page to some hundred. */
function layOut(): Uint8Array {
  const random = new Random(seed);
  const swapped = new Uint8Array(sizePages);
  for (let at = 0; at < sizePages; ) {
    const present = 1 + random.below(64);
    const out = 3 * present;
    swapped.fill(1, at + present, at + present + out);
    at += present + out;
  }
  return swapped;
}

function pageOut(memory: SharedMemory, swapped: Uint8Array): void {
  for (let at = 0; at < sizePages; ) {
    const first = swapped.indexOf(1, at);
    if (first < 0) return;
    const next = swapped.indexOf(0, first);
    at = next < 0 ? sizePages : next;
    memory.pageOut(first, at - first);
  }
}

/** A hash of where each page is, not of flags. */
function hashStates(states: Uint8Array): number {
  let hash = 0;
  for (let i = 0; i < states.length; i++) hash = mixHash(hash, states[i] & STATE_MASK);
  return hash;
}

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, REST_MS));
}

/** A set-up: the memory, a mapping of this process, and who looks at it. */
interface SetUp {
  readonly memory: SharedMemory;
  readonly swapped: Uint8Array;
  readonly target: LinuxTarget;
  readonly mapping: Mapping;
}

async function detectors({ target, mapping }: SetUp): Promise<void> {
  const marker = new MarkerDetector(target);
  const pageCache = new PageCacheDetector(target);
  const exact = new ExactDetector(target);
  await rest();
  exact.scan(mapping);
  const firstPage = mapping.start / PAGE_SIZE;
  const chunk = new Uint32Array(CHUNK_PAGES * 2);
  const scanner = new PagemapScanner();
  let states: Uint8Array = new Uint8Array(0);
  const check = (): number => hashStates(states);
  const contenders: Contender[] = [
    {
      name: "bare read of pagemap",
      run: () => {
        for (let at = 0; at < sizePages; at += CHUNK_PAGES) {
          const words = chunk.subarray(0, Math.min(CHUNK_PAGES, sizePages - at) * 2);
          if (target.readPagemap(firstPage + at, words) * 2 !== words.length)
            throw new Error("pagemap ended");
        }
      },
    },
    {
      name: "PAGEMAP_SCAN, runs of all pages",
      run: () => {
        const { start, end } = mapping;
        scanner.scan(
          target.pagemap,
          { start, end, returned: PAGE_IS_PRESENT | PAGE_IS_SWAPPED },
          () => undefined,
        );
      },
    },
    {
      name: "marker",
      run: () => {
        ({ states } = marker.scan(mapping));
      },
      check,
    },
    {
      name: "page-cache",
      run: () => {
        ({ states } = pageCache.scan(mapping));
      },
      check,
    },
    {
      name: "exact, again and at rest",
      run: () => {
        ({ states } = exact.scan(mapping));
      },
      check,
    },
  ];
  const series = await interleave(contenders, { rounds, unitsPerRun: sizePages, onRound: report.progress });
  report.series(
    `${mebibytes(sizePages * PAGE_SIZE)} of shared memory, three quarters swapped`,
    "page",
    series,
  );
  const [bare, , markers, asked, again] = series;
  if (new Set([markers, asked, again].map(({ hash }) => hash)).size > 1) {
    throw new Error("the detectors differ");
  }
  const overBare = ratioOf(markers, bare, seed);
  const faster = ratioOf(asked, again, seed);
  report.table(
    "How many times as long (95 % confidence)",
    ["", "ratio", "wanted"],
    [
      ["marker / bare read", ratioText(overBare), "<= 1.5"],
      ["page-cache / exact, again and at rest", ratioText(faster), ">= 8"],
      ["exact, again and at rest / bare read", ratioText(ratioOf(again, bare, seed)), ""],
    ],
  );
  report.target(`marker scan / bare read: ${ratioText(overBare)}, wanted <= 1.5`, overBare.ratio <= 1.5);
  report.target(`page-cache / exact at rest: ${ratioText(faster)}, wanted >= 8`, faster.ratio >= 8);
}

/** Pages that change before a scan: half of them are read back in, half paged out. */
function changeContender(
  { memory, swapped, mapping }: SetUp,
  { pages, exact, pageCache }: { pages: number; exact: ExactDetector; pageCache: PageCacheDetector },
): Contender {
  const random = new Random(seed + pages);
  const choose = (wanted: 0 | 1, count: number): Set<number> => {
    const chosen = new Set<number>();
    while (chosen.size < count) {
      const page = random.below(sizePages);
      if (swapped[page] === wanted) chosen.add(page);
    }
    return chosen;
  };
  const touch = (chosen: Iterable<number>): void => {
    for (const page of chosen) memory.madvise(page, 1, MADV.POPULATE_READ);
  };
  const pageOutEach = (chosen: Iterable<number>): void => {
    for (const page of chosen) memory.pageOut(page, 1);
  };
  const comeIn = choose(1, Math.ceil(pages / 2));
  const goOut = choose(0, Math.floor(pages / 2));
  let states: Uint8Array = new Uint8Array(0);
  return {
    name: `exact, ${pages.toLocaleString("en")} ${pages === 1 ? "page" : "pages"} changed`,
    prepare: () => {
      exact.scan(mapping);
      touch(comeIn);
      pageOutEach(goOut);
    },
    run: () => {
      ({ states } = exact.scan(mapping));
    },
    check: () => {
      const hash = hashStates(states);
      if (hash !== hashStates(pageCache.scan(mapping).states)) throw new Error("exact and page-cache differ");
      touch(goOut);
      pageOutEach(comeIn);
      return hash;
    },
  };
}

async function changes(setUp: SetUp): Promise<void> {
  const { target, mapping } = setUp;
  const pageCache = new PageCacheDetector(target);
  const exact = new ExactDetector(target);
  await rest();
  exact.scan(mapping);
  const atRest: Contender = {
    name: "exact, nothing changed",
    prepare: () => void exact.scan(mapping),
    run: () => void exact.scan(mapping),
  };
  const contenders = [
    atRest,
    ...CHANGES.map((pages) => changeContender(setUp, { pages, exact, pageCache })),
    { name: "page-cache", run: () => void pageCache.scan(mapping) },
  ];
  const series = await interleave(contenders, { rounds, unitsPerRun: 1000, onRound: report.progress });
  // Nanoseconds a thousandth of a scan are microseconds a scan.
  report.series("A scan after a change, half of the pages read back in, half paged out", "scan/1000", series);
  const still = median(series[0].nsPerUnit);
  report.table(
    "What a change adds to a scan",
    ["", "microseconds", "microseconds a page"],
    CHANGES.map((pages, i) => {
      const added = median(series[i + 1].nsPerUnit) - still;
      return [`${pages} changed`, added.toFixed(0), (added / pages).toFixed(2)];
    }),
  );
}

/** Entries to states: in TypeScript, and in C by the same rules. */
async function decoding({ target, mapping }: SetUp): Promise<void> {
  const { markerFlags, markerType } = target.entries;
  if (markerType === undefined) {
    report.note("decoding is not measured: swap types are not shown (needs CAP_SYS_ADMIN)");
    return;
  }
  const loop = compileCLoop({ markerFlags, guardFlag: PM_HI_GUARD_REGION, markerType });
  if (loop === undefined) {
    report.note("decoding is not measured: needs a C compiler (cc)");
    return;
  }
  const table = entryTable(target.entries, mapping);
  const firstPage = mapping.start / PAGE_SIZE;
  const entries = new Uint32Array(sizePages * 2);
  target.readPagemap(firstPage, entries);
  const chunk = new Uint32Array(Math.min(CHUNK_PAGES, sizePages) * 2);
  const states = new Uint8Array(sizePages);
  const check = (): number => hashStates(states);
  const repeat = (once: () => void): void => {
    for (let i = 0; i < DECODE_REPEATS; i++) once();
  };
  const contenders: Contender[] = [
    {
      name: "decode, TypeScript",
      run: () => repeat(() => classify(table, entries, sizePages, states, 0)),
      check,
    },
    { name: "decode, C", run: () => repeat(() => loop.classify(entries, sizePages, states)), check },
    {
      name: "read and decode, TypeScript",
      run: () => {
        repeat(() => {
          for (let at = 0; at < sizePages; at += CHUNK_PAGES) {
            classify(table, chunk, target.readPagemap(firstPage + at, chunk), states, at);
          }
        });
      },
      check,
    },
    {
      name: "read and decode, C",
      run: () => repeat(() => loop.look(target.pagemap.fd, firstPage, chunk, states)),
      check,
    },
  ];
  const series = await interleave(contenders, {
    rounds: 2 * rounds + 1,
    warmUpRounds: 5,
    unitsPerRun: sizePages * DECODE_REPEATS,
    onRound: report.progress,
  });
  report.series("Decoding pagemap", "entry", series);
  const pure = ratioOf(series[0], series[1], seed);
  const whole = ratioOf(series[2], series[3], seed);
  report.table(
    "How many times as long (95 % confidence)",
    ["", "ratio", "wanted"],
    [
      ["decode: TypeScript / C", ratioText(pure), "<= 1.2"],
      ["read and decode: TypeScript / C", ratioText(whole), "<= 1.2"],
    ],
  );
  report.target(`decode alone: TypeScript / C: ${ratioText(pure)}, wanted <= 1.2`, pure.ratio <= 1.2);
  report.target(`read and decode: TypeScript / C: ${ratioText(whole)}, wanted <= 1.2`, whole.ratio <= 1.2);
}

/** The command from start to end, on a process with a handful of mappings. */
async function command(): Promise<void> {
  if (!existsSync(MAIN)) {
    report.note("the command is not measured: needs npm run build");
    return;
  }
  const small = spawn("sleep", ["1000"], { stdio: "ignore" });
  const node = (args: readonly string[]): void => {
    const { status } = spawnSync(process.execPath, args, { stdio: "ignore" });
    if (status === null || status > 1) throw new Error(`node ${args.join(" ")} ended with ${status}`);
  };
  try {
    const contenders: Contender[] = [
      { name: "node, doing nothing", run: () => node(["-e", "0"]) },
      { name: "ptemark scan", run: () => node([MAIN, "scan", String(small.pid)]) },
    ];
    const series = await interleave(contenders, { rounds, unitsPerRun: 1e6, onRound: report.progress });
    // Nanoseconds a millionth are milliseconds.
    report.series("From start to end, milliseconds", "command/1,000,000", series);
    const milliseconds = median(series[1].nsPerUnit);
    report.target(
      `ptemark scan of a small process: ${milliseconds.toFixed(0)} ms, wanted < 250`,
      milliseconds < 250,
    );
  } finally {
    small.kill();
  }
}

async function measure(): Promise<void> {
  using _zram = await ZramSwap.create({ sizeBytes: 2 * sizePages * PAGE_SIZE, waitMs: 600_000 });
  using memory = new SharedMemory(sizePages, "ptemark-bench");
  using arming = new Arming(memory);
  using target = LinuxTarget.open(process.pid);
  fillPages(memory.words, { kind: "incompressible", seed });
  arming.arm();
  const swapped = layOut();
  pageOut(memory, swapped);
  const mapping = target.mappings().find(({ start }) => start === memory.address);
  if (mapping === undefined || mapping.end - mapping.start !== sizePages * PAGE_SIZE) {
    throw new Error("the memory is not one mapping");
  }
  const setUp = { memory, swapped, target, mapping };
  await detectors(setUp);
  await decoding(setUp); // before changes scatter what is three quarters swapped
  await changes(setUp);
}

const needs = ZramSwap.obstacle();
if (needs === undefined) await measure();
else report.note(`only the command is measured: needs ${needs}`);
await command();
report.print();
