/** `conform --live`: random programs on the running kernel and on the model. */

import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { randomProgram } from "../lab/random-program.ts";
import { type Comparison, compare, formatOp, type Pair } from "../script/index.ts";
import { ConformReport, type ShrunkDivergence } from "./conform-report.ts";
import { machineForLive } from "./machines.ts";
import { Progress } from "./progress.ts";

export interface LiveOptions {
  /** How many programs. */
  readonly seeds: number;
  /** The first one's seed; the next ones' follow. */
  readonly seed: number;
  /** The kernel for the model to be; the nearest to the running one unless given. */
  readonly profile: string | undefined;
}

/** Compares program after program, until all are done or Ctrl-C. */
export async function conformLive({ seeds, seed, profile }: LiveOptions): Promise<ConformReport> {
  const { LinuxHost, createLinuxMachine } = await import("../script/linux-machine.ts");
  const host = await LinuxHost.create();
  const pair: Pair = {
    header: host.header,
    reference: () => createLinuxMachine(host),
    subject: (trace) => machineForLive(trace, profile),
  };
  const { otherSwap } = host;
  if (otherSwap.length > 0) {
    const where = otherSwap.join(", ");
    process.stderr.write(
      `ptemark: the programs have no swapoff, since this machine has other swap (${where})\n`,
    );
  }
  const report = new ConformReport();
  const progress = new Progress(seeds);
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
  };
  process.once("SIGINT", interrupt);
  try {
    for (let done = 0; done < seeds && !isInterrupted; done++) {
      const ops = randomProgram(seed + done).filter(
        ({ kind }) => kind !== "swapoff" || otherSwap.length === 0,
      );
      const comparison = compare(`seed-${seed + done}`, ops, pair);
      report.add(comparison.trace, shrunk(comparison, seed + done, profile));
      progress.update(done + 1, comparison.trace.id);
      await setImmediate(); // a Ctrl-C is heard here
    }
  } finally {
    process.off("SIGINT", interrupt);
    progress.stop();
    host[Symbol.dispose]();
  }
  if (isInterrupted) process.exitCode = 130;
  return report;
}

function shrunk(
  { trace, divergence }: Comparison,
  seed: number,
  profile: string | undefined,
): ShrunkDivergence | undefined {
  if (divergence === undefined) return undefined;
  const { unrepeatable, ...rest } = divergence;
  const replay = `ptemark conform --live --seeds 1 --seed ${seed}${profile ? ` --profile ${profile}` : ""}`;
  return { ...rest, live: { replay, unrepeatable, program: trace.steps.map(({ op }) => formatOp(op)) } };
}
