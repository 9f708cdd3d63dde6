import process from "node:process";
import { type Command, Option } from "commander";
import { type BenchOptions, benchPagemap, benchSwapIn } from "../lab/bench.ts";
import { describePagemap } from "../lab/pagemap-report.ts";
import { describeSwapIn } from "../lab/swap-in-report.ts";
import { sizePages, wholeNumber } from "./numbers.ts";
import { StatusLine } from "./progress.ts";
import { checkRoom } from "./room.ts";
import { toText } from "./text.ts";

/** Small enough to be over in seconds, and with faults enough; up to what fits in memory three times over. */
const SIZE = { min: 1024, max: 2 ** 21 };
const ROUNDS = { min: 1, max: 10_000 };
const SEED = { min: 0, max: 2 ** 32 - 1 };

interface Options {
  readonly size: number;
  readonly rounds: number;
  readonly seed: number;
  readonly device?: "zram" | "file";
  readonly live: boolean;
  readonly json?: boolean;
}

export function addBench(program: Command): void {
  const bench = program
    .command("bench")
    .summary("the RFC's performance claims, measured on the model and on this kernel")
    .description(
      "Measures, in interleaved rounds, what the RFC and its rival claim to cost: on the model, and on this kernel " +
        "with the stand-in for markers (userfaultfd write-protection; needs root, zram and Linux 6.7).",
    );
  addOne(bench, "swapin", 5, {
    summary: "sequential swap-in, and the fault-around that markers take away",
    device: true,
    run: async (options) => {
      const result = await benchSwapIn(options);
      return { result, blocks: describeSwapIn(result) };
    },
  });
  addOne(bench, "pagemap", 31, {
    summary: "reading pagemap: no markers, markers, and the rival's look-up",
    device: false,
    run: async (options) => {
      const result = await benchPagemap(options);
      return { result, blocks: describePagemap(result) };
    },
  });
}

interface OneBench {
  readonly summary: string;
  /** Whether it matters what is swapped to. */
  readonly device: boolean;
  run(
    options: BenchOptions,
  ): Promise<{ readonly result: unknown; readonly blocks: Parameters<typeof toText>[0] }>;
}

function addOne(bench: Command, name: string, rounds: number, { summary, device, run }: OneBench): void {
  const command = bench
    .command(name)
    .summary(summary)
    .description(`${summary[0].toUpperCase()}${summary.slice(1)}.`)
    .addOption(
      new Option("-s, --size <size>", "size of the range, such as 64M or 1G")
        .default(2 ** 18, "1G")
        .argParser(sizePages("--size", SIZE)),
    )
    .addOption(
      new Option("-r, --rounds <n>", "how often each thing is measured")
        .default(rounds)
        .argParser(wholeNumber("--rounds", ROUNDS)),
    )
    .addOption(
      new Option("--seed <n>", "for page contents and for resampling")
        .default(1)
        .argParser(wholeNumber("--seed", SEED)),
    )
    .option("--no-live", "measure the model only")
    .option("--json", "print what was measured as JSON")
    .addHelpText(
      "after",
      `
Examples:
  ptemark bench ${name} --size 64M
  sudo ptemark bench ${name} --rounds 15 --json`,
    )
    .action(async ({ size, json, ...options }: Options) => {
      checkRoom("--size", size);
      const status = new StatusLine();
      try {
        const { result, blocks } = await run({
          device: "zram",
          ...options,
          sizePages: size,
          onProgress: status.show,
        });
        process.stdout.write(json ? `${JSON.stringify(result)}\n` : toText(blocks));
      } finally {
        status.stop();
      }
    });
  if (device)
    command.addOption(
      new Option("-d, --device <device>", "swap on zram, or in a file (the model: in memory, or in a file)")
        .choices(["zram", "file"])
        .default("zram"),
    );
}
