// Detectors against the truth, on the running kernel: npm run exactness -- [--histories N] [--seed S] [--swap KIND]
import process from "node:process";
import { parseArgs } from "node:util";
import { ExactnessFailure, newTally, runHistory } from "../dist/lab/exactness.js";
import { LiveHost } from "../dist/lab/live-host.js";
import { SwapFile, ZramSwap } from "../dist/linux/index.js";
import { holdSetting } from "../dist/linux/setting.js";

const HELP = `Random histories of real processes on swap of their own; the detectors' answers are compared with the
truth, page by page. Needs root, zram or a disk, and a memory cgroup.

Usage: npm run exactness -- [--histories N] [--seed S] [--swap zram|file|zswap]

  --histories N  how many on each kind of swap (200)
  --seed S       of the first history (1): the same seed does the same
  --swap KIND    only zram, a file on a disk, or such a file with zswap before it (by default the first two)`;

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    swap: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const SWAP = { sizeBytes: 64 << 20, waitMs: 600_000 };
/** For each kind: how to make it, and how long a read from it may take, milliseconds. */
const DEFAULT_KINDS = ["zram", "file"];
const KINDS = {
  zram: { create: () => ZramSwap.create(SWAP), settleMs: 12 },
  file: { create: () => SwapFile.create(SWAP), settleMs: 40 },
  zswap: { create: createZswap, settleMs: 40 },
};

async function createZswap() {
  const swap = await SwapFile.create(SWAP);
  holdSetting(swap.guard, { path: "/sys/module/zswap/parameters/enabled", value: "Y" });
  return swap;
}

function count(name, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} ${text}: must be an integer from 0`);
  process.exit(2);
}

/** The machine has one swap lock: others get their turn in between. */
const HISTORIES_AT_ONCE = 20;

async function run(kind, { histories, seed }) {
  const { create, settleMs } = KINDS[kind];
  const tally = newTally();
  for (let done = 0; done < histories; done += HISTORIES_AT_ONCE) {
    const host = new LiveHost(await create());
    try {
      for (let i = done; i < Math.min(histories, done + HISTORIES_AT_ONCE); i++) {
        runHistory(host, { seed: seed + i, settleMs, tally });
        if (process.stderr.isTTY) process.stderr.write(`\r${kind}: ${i + 1} of ${histories} histories`);
      }
    } finally {
      host[Symbol.dispose]();
    }
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  console.log(
    `${kind}: ${tally.histories} histories, ${tally.pages} pages compared (${tally.swappedPages} in swap, ` +
      `${tally.swapCachedPages} of them in the swap cache; ${tally.recalledPages} not asked about again), ` +
      `all right; ${tally.unrested} mappings did not come to rest\n` +
      `${" ".repeat(kind.length)}  believing markers: ${tally.markerFalsePositives} false positives and ` +
      `${tally.markerFalseNegatives} false negatives in ${tally.markerPages} pages`,
  );
}

if (values.help) {
  console.log(HELP);
  process.exit(0);
}
if (values.swap !== undefined && !Object.hasOwn(KINDS, values.swap)) {
  console.error(`--swap ${values.swap}: must be ${Object.keys(KINDS).join(", ")}`);
  process.exit(2);
}
const options = { histories: count("histories", values.histories), seed: count("seed", values.seed) };
try {
  for (const kind of values.swap === undefined ? DEFAULT_KINDS : [values.swap]) await run(kind, options);
} catch (error) {
  if (!(error instanceof ExactnessFailure)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
