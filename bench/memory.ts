/** What the model's bookkeeping takes: bytes a page, a large sparse mapping, and state without contents. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PAGE_BYTES } from "../src/lab/page-content.ts";
import { Kernel, MemorySwapDevice } from "../src/model/index.ts";
import { benchOptions, mebibytes, Report } from "./support/report.ts";

/** What one child process measured. RSS is the highest it ever was. */
interface Measured {
  /** By the model's own account: for each physical page, for page tables, for objects' page caches. */
  readonly framesBytes: number;
  readonly pageTablesBytes: number;
  readonly pageCacheBytes: number;
  /** Every typed array and every object that came with the kernel, but for page contents, by Node's account. */
  readonly measuredBytes: number;
  readonly contentsBytes: number;
  readonly rssBytes: number;
  readonly seconds: number;
  /** A count that depends on the result alone. */
  readonly presentPages: number;
}

const GIB = 2 ** 30;
const WINDOW_ENTRIES = 65536;
const SPARE_FRAMES = 4096;

/** Looks at every page through pagemap, a window at a time. */
function countPresent(
  process_: ReturnType<Kernel["createProcess"]>,
  address: number,
  sizePages: number,
): number {
  const window = new Uint8Array(WINDOW_ENTRIES * 8);
  const words = new Uint32Array(window.buffer);
  let present = 0;
  for (let page = 0; page < sizePages; page += WINDOW_ENTRIES) {
    const entries = Math.min(WINDOW_ENTRIES, sizePages - page);
    process_.pagemap.pread(window.subarray(0, entries * 8), (address / PAGE_BYTES + page) * 8);
    for (let i = 0; i < entries; i++) present += words[i * 2 + 1] >>> 31;
  }
  return present;
}

interface Sizes {
  readonly mappedBytes: number;
  readonly touchedBytes: number;
  readonly contents: boolean;
  /** Swap of as many pages as are touched. */
  readonly swap: boolean;
}

/** What this process holds now, garbage collected. */
function heldBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Touches the first part of a mapping, on a machine of just that memory. */
function touch(sizes: Sizes): Measured {
  const heldBefore = heldBytes();
  const touchedPages = sizes.touchedBytes / PAGE_BYTES;
  const kernel = new Kernel({
    profile: "rfc",
    memoryPages: touchedPages + SPARE_FRAMES,
    contents: sizes.contents,
    swap: sizes.swap ? [new MemorySwapDevice({ slots: touchedPages })] : [],
  });
  const task = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: sizes.mappedBytes / PAGE_BYTES });
  const address = task.mmap({ lengthBytes: sizes.mappedBytes, object, shared: true, write: true });
  const start = process.hrtime.bigint();
  task.touchWrite(address, sizes.touchedBytes);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { framesBytes, pageTablesBytes, pageCacheBytes, contentsBytes } = kernel.memoryUse();
  const measuredBytes = heldBytes() - heldBefore - contentsBytes;
  const presentPages = countPresent(task, address, sizes.mappedBytes / PAGE_BYTES);
  return {
    framesBytes,
    pageTablesBytes,
    pageCacheBytes,
    measuredBytes,
    contentsBytes,
    rssBytes: process.resourceUsage().maxRSS * 1024,
    seconds,
    presentPages,
  };
}

type Scenario = "dense" | "swap" | "sparse" | "guest";

const TITLES: Readonly<Record<Scenario, string>> = {
  dense: "1 GiB mapped and touched, no swap",
  swap: "1 GiB mapped and touched, 1 GiB of swap",
  sparse: "64 GiB mapped, 1 GiB touched",
  guest: "256 GiB mapped and touched, no contents",
};
const SCENARIOS = Object.keys(TITLES) as Scenario[];

function sizesOf(scenario: Scenario, quick: boolean): Sizes {
  const unit = quick ? GIB / 256 : GIB;
  if (scenario === "sparse") {
    return { mappedBytes: 64 * unit, touchedBytes: unit, contents: true, swap: false };
  }
  if (scenario === "guest") {
    return { mappedBytes: 256 * unit, touchedBytes: 256 * unit, contents: false, swap: false };
  }
  return { mappedBytes: unit, touchedBytes: unit, contents: true, swap: scenario === "swap" };
}

/** Each scenario has a process of its own, so that its RSS is its own. */
function inChild(scenario: Scenario, quick: boolean): Measured {
  const self = fileURLToPath(import.meta.url);
  const args = ["--expose-gc", self, "--scenario", scenario, ...(quick ? ["--quick"] : [])];
  const child = spawnSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (child.status !== 0) throw new Error(`scenario ${scenario} ended with ${child.status ?? child.signal}`);
  return JSON.parse(child.stdout) as Measured;
}

function main(): void {
  const options = benchOptions();
  const report = new Report("memory", options);
  const measured = Object.fromEntries(
    SCENARIOS.map((scenario) => {
      report.progress(TITLES[scenario]);
      return [scenario, inChild(scenario, options.quick)];
    }),
  ) as Record<Scenario, Measured>;
  const perPage = (bytes: number, { presentPages }: Measured): string => (bytes / presentPages).toFixed(2);
  const parts = ({ framesBytes, pageTablesBytes, pageCacheBytes }: Measured) => [
    framesBytes,
    pageTablesBytes,
    pageCacheBytes,
  ];
  report.table(
    options.quick ? "Memory (at 1/256 of the sizes named)" : "Memory",
    [
      "",
      "pages touched",
      "frames",
      "page tables",
      "page cache",
      "all, measured",
      "contents",
      "highest RSS",
      "seconds",
    ],
    SCENARIOS.map((scenario) => {
      const one = measured[scenario];
      return [
        TITLES[scenario],
        String(one.presentPages),
        ...parts(one).map((bytes) => perPage(bytes, one)),
        perPage(one.measuredBytes, one),
        mebibytes(one.contentsBytes),
        mebibytes(one.rssBytes),
        one.seconds.toFixed(2),
      ];
    }),
  );
  report.note(
    "frames, page tables, page cache: bookkeeping bytes for each page touched, by the model's own account",
  );
  report.note(
    "all, measured: heap and array buffers less contents, by Node's account; with swap, its slots too",
  );
  report.data("measured", measured);
  for (const scenario of SCENARIOS) report.hash(measured[scenario].presentPages);

  const { dense, sparse, guest } = measured;
  const frameBytes = dense.framesBytes / (dense.presentPages + SPARE_FRAMES + 1);
  report.target(`bookkeeping: ${frameBytes} bytes a physical page, wanted <= 32`, frameBytes <= 32);
  const rss = mebibytes(sparse.rssBytes);
  report.target(`64 GiB mapped, 1 GiB touched: RSS ${rss}, wanted < 2048 MiB`, sparse.rssBytes < 2 * GIB);
  const wanted = sizesOf("guest", options.quick).touchedBytes / PAGE_BYTES;
  report.target(
    `without contents: ${guest.presentPages} pages present, wanted ${wanted}`,
    guest.presentPages === wanted,
  );
  report.print();
}

const scenarioAt = process.argv.indexOf("--scenario");
if (scenarioAt < 0) main();
else {
  const scenario = process.argv[scenarioAt + 1] as Scenario;
  console.log(JSON.stringify(touch(sizesOf(scenario, process.argv.includes("--quick")))));
}
