/** Reading pagemap for present pages: the model, this machine's /proc/self/pagemap, and a plain copy of the result. */
import { closeSync, openSync, readSync } from "node:fs";
import { mixHash } from "../src/lab/hash.ts";
import { ModelShmem } from "../src/lab/model-shmem.ts";
import { PAGE_BYTES } from "../src/lab/page-content.ts";
import { type Contender, interleave, ratioOf } from "../src/lab/statistics.ts";
import { SharedMemory, touchEveryPage } from "../src/linux/shared-memory.ts";
import { benchOptions, mebibytes, Report, ratioText } from "./support/report.ts";

const options = benchOptions();
const sizePages = options.quick ? 4096 : 2 ** 18;
const rounds = options.rounds ?? (options.quick ? 5 : 51);
const report = new Report("pagemap", options);
const { seed } = options;

const ENTRY_BYTES = 8;
const PAGES_PER_TABLE = 512;
/** Bit 63 of an entry, in its upper half: the page is present. */
const PRESENT_UPPER = 0x80000000;
/** Every bit of the upper half that says something; the frame number ends at bit 54. */
const FLAGS_UPPER = 0xff800000;

function entryBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(sizePages * ENTRY_BYTES).fill(1);
}

/** Throws unless all entries say present; a hash of the flags (frame numbers are anyone's guess). */
function checkPresent(what: string, buffer: Buffer): number {
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset, sizePages * 2);
  let hash = 0;
  for (let page = 0; page < sizePages; page++) {
    const upper = words[page * 2 + 1];
    if ((upper & PRESENT_UPPER) === 0) throw new Error(`${what}: page ${page} is not present`);
    hash = mixHash(hash, upper & FLAGS_UPPER);
  }
  return hash;
}

function kernelContender(): Contender & { close(): void } {
  const memory = new SharedMemory(sizePages, "ptemark-bench");
  memory.words.fill(seed);
  touchEveryPage(memory.words);
  const fd = openSync("/proc/self/pagemap", "r");
  const at = (memory.address / PAGE_BYTES) * ENTRY_BYTES;
  const buffer = entryBuffer();
  return {
    name: "kernel: /proc/self/pagemap",
    run: () => {
      for (let done = 0; done < buffer.length; ) {
        const got = readSync(fd, buffer, done, buffer.length - done, at + done);
        if (got === 0) throw new Error("pagemap ended early");
        done += got;
      }
    },
    check: () => checkPresent("kernel", buffer),
    close: () => {
      closeSync(fd);
      memory[Symbol.dispose]();
    },
  };
}

function presentModel(pageoutMarkers: boolean): ModelShmem {
  const model = new ModelShmem({ sizePages, swap: "memory", config: { PTE_MARKER_PAGEOUT: pageoutMarkers } });
  const page = new Uint8Array(PAGE_BYTES).fill(seed);
  for (let i = 0; i < sizePages; i++) model.process.writeBytes(model.address + i * PAGE_BYTES, page);
  return model;
}

function modelContender(
  name: string,
  model: ModelShmem,
  prepare: () => void,
): Contender & { buffer: Buffer } {
  const buffer = entryBuffer();
  const at = (model.address / PAGE_BYTES) * ENTRY_BYTES;
  return {
    name,
    buffer,
    prepare,
    run: () => {
      const got = model.process.pagemap.pread(buffer, at);
      if (got !== buffer.length) throw new Error(`${name}: ${got} bytes read of ${buffer.length}`);
    },
    check: () => checkPresent(name, buffer),
  };
}

/** Changes a PTE of every page table, so that nothing kept from an earlier read of it can be used. */
function changeEveryTable(model: ModelShmem): void {
  for (let page = 0; page < sizePages; page += PAGES_PER_TABLE) {
    const address = model.address + page * PAGE_BYTES;
    model.process.madvise(address, PAGE_BYTES, "DONTNEED");
    model.process.touchRead(address, PAGE_BYTES);
  }
}

const kernel = process.platform === "linux" ? kernelContender() : undefined;
const on = presentModel(true);
const off = presentModel(false);
const modelOn = modelContender("model, markers on", on, () => {});
const modelOff = modelContender("model, markers off", off, () => {});
const target = entryBuffer();
const contenders: Contender[] = [
  ...(kernel === undefined ? [] : [kernel]),
  modelOn,
  modelOff,
  modelContender("model, on, tables changed before", on, () => changeEveryTable(on)),
  modelContender("model, off, tables changed before", off, () => changeEveryTable(off)),
  { name: "plain copy of the result", run: () => void target.set(modelOn.buffer) },
];
try {
  const series = await interleave(contenders, {
    rounds,
    warmUpRounds: 10,
    unitsPerRun: sizePages,
    onRound: report.progress,
  });
  report.series(`pagemap of ${mebibytes(sizePages * PAGE_BYTES)} of present shared memory`, "entry", series);
  const [seriesOn, seriesOff, changedOn, changedOff, copy] = series.slice(-5);
  const rows: string[][] = [];
  if (kernel !== undefined) {
    const steady = ratioOf(series[0], seriesOn, seed);
    const changed = ratioOf(series[0], changedOn, seed);
    rows.push(["kernel / model", ratioText(steady), ">= 5"]);
    rows.push(["kernel / model, tables changed before", ratioText(changed), ""]);
    report.target(`kernel / model: ${ratioText(steady)}, wanted >= 5`, steady.ratio >= 5);
  } else report.note("the kernel is not measured: not Linux");
  const overCopy = ratioOf(seriesOn, copy, seed);
  rows.push(["model / plain copy", ratioText(overCopy), "<= 4"]);
  report.target(`model / plain copy: ${ratioText(overCopy)}, wanted <= 4`, overCopy.ratio <= 4);
  rows.push(["model, tables changed before / plain copy", ratioText(ratioOf(changedOn, copy, seed)), ""]);
  const onOff = ratioOf(seriesOn, seriesOff, seed);
  rows.push(["markers on / off", ratioText(onOff), "1 within noise"]);
  rows.push(["markers on / off, tables changed before", ratioText(ratioOf(changedOn, changedOff, seed)), ""]);
  report.target(
    `markers on / off: ${ratioText(onOff)}, wanted the same within noise (interval holds 1, or within 5 %)`,
    (onOff.low <= 1 && onOff.high >= 1) || Math.abs(onOff.ratio - 1) <= 0.05,
  );
  report.table("How many times as long (95 % confidence)", ["", "ratio", "wanted"], rows);

  const work = on.countWork(() => {
    changeEveryTable(on);
  });
  const read = on.countWork(() => modelOn.run());
  report.table(
    "Work of one pagemap read, an entry, by the counters",
    ["", "read", "(changing a PTE of every table, for scale)"],
    Object.keys(read)
      .filter((name) => name === "pageCacheLookups" || read[name] > 0 || work[name] > 0)
      .map((name) => [name, String(read[name] / sizePages), (work[name] / sizePages).toFixed(4)]),
  );
  report.data("work", read);
  report.target(
    `page-cache look-ups of a pagemap read: ${read.pageCacheLookups}, wanted 0`,
    read.pageCacheLookups === 0,
  );
} finally {
  kernel?.close();
}
report.print();
