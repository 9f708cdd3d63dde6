/** Sequential swap-in of shared memory, a fault a page: the model, this machine's kernel, and a plain copy. */

import { ModelShmem } from "../src/lab/model-shmem.ts";
import { type ContentKind, checkPages, fillPages, PAGE_BYTES } from "../src/lab/page-content.ts";
import { type Contender, interleave, ratioOf, type Series } from "../src/lab/statistics.ts";
import { SharedMemory, touchEveryPage } from "../src/linux/shared-memory.ts";
import { ZramSwap } from "../src/linux/zram.ts";
import { benchOptions, mebibytes, Report, ratioText } from "./support/report.ts";

const options = benchOptions();
const sizePages = options.quick ? 2048 : 2 ** 18;
const rounds = options.rounds ?? (options.quick ? 3 : 9);
const overheadRounds = options.rounds ?? (options.quick ? 5 : 31);
const report = new Report("swap-in", options);
const { seed } = options;

/** One page at a time, as a fault brings pages in. */
function copyPages(to: Uint8Array, from: Uint8Array): void {
  for (let at = 0; at < from.length; at += PAGE_BYTES) to.set(from.subarray(at, at + PAGE_BYTES), at);
}

function floorContender(): Contender {
  const from = new Uint8Array(sizePages * PAGE_BYTES);
  const to = new Uint8Array(sizePages * PAGE_BYTES);
  fillPages(new Uint32Array(from.buffer), { kind: "incompressible", seed });
  return {
    name: "floor: Uint8Array.set",
    prepare: () => void to.fill(0),
    run: () => copyPages(to, from),
    check: () => checkPages(new Uint32Array(to.buffer), { kind: "incompressible", seed, what: "floor" }),
  };
}

function kernelContender(kind: ContentKind): Contender & { close(): void } {
  const memory = new SharedMemory(sizePages, "ptemark-bench");
  fillPages(memory.words, { kind, seed });
  const name = `kernel, zram, ${kind}`;
  let majorFaults = 0;
  return {
    name,
    prepare: () => {
      memory.pageOut();
      if (memory.residentPages() > 0) throw new Error(`${name}: pages stay in memory`);
      majorFaults = process.resourceUsage().majorPageFault;
    },
    run: () => void touchEveryPage(memory.words),
    check: () => {
      const faults = process.resourceUsage().majorPageFault - majorFaults;
      if (faults < sizePages) throw new Error(`${name}: ${faults} major faults for ${sizePages} pages`);
      return checkPages(memory.words, { kind, seed, what: name });
    },
    close: () => memory[Symbol.dispose](),
  };
}

function modelContender(name: string, model: ModelShmem): Contender {
  let readsBefore = 0;
  return {
    name,
    prepare: () => {
      model.pageOutAll();
      readsBefore = model.kernel.work.swapReads;
    },
    run: () => model.touchAll(),
    check: () => {
      const reads = model.kernel.work.swapReads - readsBefore;
      if (reads !== sizePages) throw new Error(`${name}: ${reads} swap reads for ${sizePages} pages`);
      return model.check({ kind: "incompressible", seed, what: name });
    },
  };
}

function filledModel(swap: "memory" | "file", pageoutMarkers: boolean): ModelShmem {
  const model = new ModelShmem({ sizePages, swap, config: { PTE_MARKER_PAGEOUT: pageoutMarkers } });
  model.fill({ kind: "incompressible", seed });
  return model;
}

/** Everything against everything, with the issue of who is how much faster. */
async function compare(): Promise<void> {
  const closing: { close(): void | Promise<void> }[] = [];
  let zram: ZramSwap | undefined;
  try {
    const contenders: Contender[] = [];
    const noKernel = ZramSwap.obstacle();
    if (noKernel === undefined) {
      zram = await ZramSwap.create({ sizeBytes: 2 * sizePages * PAGE_BYTES + 2 ** 26 });
      for (const kind of ["incompressible", "compressible"] as const) {
        const contender = kernelContender(kind);
        closing.push(contender);
        contenders.push(contender);
      }
    } else report.note(`the kernel is not measured: needs ${noKernel}`);
    contenders.push(floorContender());
    const memory = filledModel("memory", true);
    const file = filledModel("file", true);
    closing.push(memory, file);
    contenders.push(
      modelContender("model, swap in memory", memory),
      modelContender("model, swap in a file", file),
    );
    if (file.swapFileNote !== undefined) report.note(file.swapFileNote);

    const series = await interleave(contenders, { rounds, unitsPerRun: sizePages, onRound: report.progress });
    const title = `Swap-in of ${mebibytes(sizePages * PAGE_BYTES)}, sequential, every byte checked`;
    report.series(title, "page", series);
    if (zram !== undefined)
      report.note(`zram compresses with ${zram.algorithm}, and stores incompressible pages raw`);
    compareSeries(series, noKernel === undefined);
  } finally {
    for (const one of closing) await one.close();
    zram?.[Symbol.dispose]();
  }
}

function compareSeries(series: readonly Series[], withKernel: boolean): void {
  const named = (name: string): Series => {
    const found = series.find((one) => one.name.startsWith(name));
    if (found === undefined) throw new Error(`no series ${name}`);
    return found;
  };
  const rows: string[][] = [];
  const compareTwo = (
    what: string,
    over: Series,
    under: Series,
    aim: string,
    met?: (ratio: number) => boolean,
  ): void => {
    const ratio = ratioOf(over, under, seed);
    rows.push([what, ratioText(ratio), aim]);
    report.data(what, ratio);
    if (met !== undefined) report.target(`${what}: ${ratioText(ratio)}, wanted ${aim}`, met(ratio.ratio));
  };
  const [floor, memory, file] = [
    named("floor"),
    named("model, swap in memory"),
    named("model, swap in a file"),
  ];
  if (withKernel) {
    const raw = named("kernel, zram, incompressible");
    const compressed = named("kernel, zram, compressible");
    compareTwo("kernel / model in memory", raw, memory, ">= 5, aim 10", (ratio) => ratio >= 5);
    compareTwo("kernel / model in a file", raw, file, ">= 2, aim 4", (ratio) => ratio >= 2);
    compareTwo("kernel, compressible / model in memory", compressed, memory, "");
    compareTwo("kernel, compressible / model in a file", compressed, file, "");
    compareTwo("kernel / floor", raw, floor, "");
  }
  compareTwo("model in memory / floor", memory, floor, "<= 2.5", (ratio) => ratio <= 2.5);
  compareTwo("model in a file / floor", file, floor, "");
  report.table("How many times as long (95 % confidence)", ["", "ratio", "wanted"], rows);
}

/** What PTE_MARKER_PAGEOUT costs: by the clock, and by the work done. */
async function overhead(): Promise<void> {
  const models = { on: filledModel("memory", true), off: filledModel("memory", false) };
  const out = (model: ModelShmem): boolean => model.freeSlots() < sizePages;
  const contenders: Contender[] = (["on", "off"] as const).flatMap((state) => {
    const model = models[state];
    return [
      { name: `page-out, ${state}`, prepare: () => model.touchAll(), run: () => model.pageOutAll() },
      {
        name: `swap-in, ${state}`,
        prepare: () => {
          if (!out(model)) model.pageOutAll();
        },
        run: () => model.touchAll(),
      },
    ];
  });
  const series = await interleave(contenders, {
    rounds: overheadRounds,
    warmUpRounds: 2,
    unitsPerRun: sizePages,
    onRound: report.progress,
  });
  report.series("Model, swap in memory, PTE_MARKER_PAGEOUT on and off", "page", series);
  const [outOn, inOn, outOff, inOff] = series;
  const rows = [
    ["page-out", ratioText(ratioOf(outOn, outOff, seed))],
    ["swap-in", ratioText(ratioOf(inOn, inOff, seed))],
  ];
  report.table("PTE_MARKER_PAGEOUT on / off (95 % confidence)", ["", "ratio"], rows);
  report.data("overhead", { pageOut: ratioOf(outOn, outOff, seed), swapIn: ratioOf(inOn, inOff, seed) });

  for (const model of [models.on, models.off]) model.touchAll();
  const counts = [
    models.on.countWork(() => models.on.pageOutAll()),
    models.off.countWork(() => models.off.pageOutAll()),
    models.on.countWork(() => models.on.touchAll()),
    models.off.countWork(() => models.off.touchAll()),
  ];
  const counters = Object.keys(counts[0]).filter((name) => counts.some((count) => count[name] > 0));
  const perPage = (count: number): string => {
    const value = count / sizePages;
    return Number.isInteger(value) ? String(value) : value.toFixed(4);
  };
  report.table(
    "Work a page, by the counters",
    ["", "page-out, on", "page-out, off", "swap-in, on", "swap-in, off"],
    counters.map((name) => [name, ...counts.map((count) => perPage(count[name]))]),
  );
  report.data("work", counts);
  const hashes = [models.on, models.off].map((model) =>
    model.check({ kind: "incompressible", seed, what: "model after the overhead rounds" }),
  );
  for (const hash of hashes) report.hash(hash);
}

await compare();
globalThis.gc?.();
await overhead();
report.print();
