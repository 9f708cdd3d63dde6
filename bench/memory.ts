/** What the model's bookkeeping takes: bytes a page, a large sparse mapping, and state without contents. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Kernel, MemorySwapDevice } from "../src/model/index.ts";
import { PAGE_BYTES } from "./support/page-content.ts";
import { benchOptions, mebibytes, Report } from "./support/report.ts";

/** What one child process measured. RSS is the highest it ever was. */
interface Measured {
  readonly bookkeepingBytes: number;
  readonly contentBytes: number;
  readonly rssBytes: number;
  readonly seconds: number;
  /** A count that depends on the result alone. */
  readonly presentPages: number;
}

const GIB = 2 ** 30;
const WINDOW_ENTRIES = 65536;

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

function measure(kernel: Kernel, run: () => number): Measured {
  const start = process.hrtime.bigint();
  const presentPages = run();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { bookkeepingBytes, contentBytes } = kernel.memoryUse();
  return {
    bookkeepingBytes,
    contentBytes,
    rssBytes: process.resourceUsage().maxRSS * 1024,
    seconds,
    presentPages,
  };
}

/** `touchedBytes` of a mapping of `mappedBytes`, all touched, on a machine of just that memory. */
function touch(options: {
  mappedBytes: number;
  touchedBytes: number;
  contents: boolean;
  swap: boolean;
}): Measured {
  const touchedPages = options.touchedBytes / PAGE_BYTES;
  const kernel = new Kernel({
    profile: "rfc",
    memoryPages: touchedPages + 4096,
    contents: options.contents,
    swap: options.swap ? [new MemorySwapDevice({ slots: touchedPages, contents: options.contents })] : [],
  });
  const task = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: options.mappedBytes / PAGE_BYTES });
  const address = task.mmap({ lengthBytes: options.mappedBytes, object, shared: true, write: true });
  return measure(kernel, () => {
    task.touchWrite(address, options.touchedBytes);
    return countPresent(task, address, options.mappedBytes / PAGE_BYTES);
  });
}

type Scenario = "dense" | "sparse" | "guest";

function runScenario(scenario: Scenario, quick: boolean): Measured {
  const scale = quick ? 1 / 256 : 1;
  if (scenario === "dense") {
    return touch({ mappedBytes: GIB * scale, touchedBytes: GIB * scale, contents: true, swap: true });
  }
  if (scenario === "sparse") {
    return touch({ mappedBytes: 64 * GIB * scale, touchedBytes: GIB * scale, contents: true, swap: false });
  }
  return touch({
    mappedBytes: 256 * GIB * scale,
    touchedBytes: 256 * GIB * scale,
    contents: false,
    swap: false,
  });
}

/** Each scenario has a process of its own, so that its RSS is its own. */
function inChild(scenario: Scenario, quick: boolean): Measured {
  const child = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), "--scenario", scenario, ...(quick ? ["--quick"] : [])],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  if (child.status !== 0) throw new Error(`scenario ${scenario} ended with ${child.status ?? child.signal}`);
  return JSON.parse(child.stdout) as Measured;
}

function main(): void {
  const options = benchOptions();
  const report = new Report("memory", options);
  const scenarios: [Scenario, string][] = [
    ["dense", "1 GiB mapped and touched, 1 GiB of swap"],
    ["sparse", "64 GiB mapped, 1 GiB touched"],
    ["guest", "256 GiB mapped and touched, no contents"],
  ];
  const measured = Object.fromEntries(
    scenarios.map(([scenario, title]) => {
      report.progress(title);
      return [scenario, inChild(scenario, options.quick)];
    }),
  ) as Record<Scenario, Measured>;
  const perPage = ({ bookkeepingBytes, presentPages }: Measured): number => bookkeepingBytes / presentPages;
  report.table(
    options.quick ? "Memory (at 1/256 of the sizes named)" : "Memory",
    ["", "pages touched", "bookkeeping B/page", "bookkeeping", "contents", "highest RSS", "seconds"],
    scenarios.map(([scenario, title]) => {
      const one = measured[scenario];
      return [
        title,
        String(one.presentPages),
        perPage(one).toFixed(2),
        mebibytes(one.bookkeepingBytes),
        mebibytes(one.contentBytes),
        mebibytes(one.rssBytes),
        one.seconds.toFixed(2),
      ];
    }),
  );
  report.data("measured", measured);
  for (const [scenario] of scenarios) report.hash(measured[scenario].presentPages);
  const bytes = perPage(measured.dense);
  report.target(`bookkeeping: ${bytes.toFixed(2)} bytes a physical page, wanted <= 32`, bytes <= 32);
  const { rssBytes } = measured.sparse;
  report.target(
    `64 GiB mapped, 1 GiB touched: RSS ${mebibytes(rssBytes)}, wanted < 2048 MiB`,
    rssBytes < 2 * GIB,
  );
  const wantedPages = (256 * GIB * (options.quick ? 1 / 256 : 1)) / PAGE_BYTES;
  const guest = measured.guest.presentPages;
  report.target(`without contents: ${guest} pages present, wanted ${wantedPages}`, guest === wantedPages);
  report.print();
}

const scenarioAt = process.argv.indexOf("--scenario");
if (scenarioAt < 0) main();
else {
  const scenario = process.argv[scenarioAt + 1] as Scenario;
  console.log(JSON.stringify(runScenario(scenario, process.argv.includes("--quick"))));
}
