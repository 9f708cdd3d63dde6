import process from "node:process";
import type { Command } from "commander";
import { InputError } from "./errors.ts";
import { parseInterval } from "./interval.ts";
import { mappingFilter } from "./mapping-filter.ts";
import { onePidOf, refuseWithoutMemory } from "./processes.ts";
import { initialState } from "./watch-state.ts";

interface WatchOptions {
  readonly mapping?: string;
  readonly interval: string;
  readonly attach?: boolean;
  readonly once?: boolean;
}

export function addWatch(program: Command): void {
  program
    .command("watch")
    .summary("a live view of where a process's pages are")
    .description(
      "Shows on the whole screen where the pages of a process are, mapping by mapping, and how that goes on. " +
        "Without --attach nothing is changed in the process. Where the output is no terminal, it is shown once.",
    )
    .argument("<process>", "its pid, or its name if only one process has it")
    .option("--mapping <regexp>", "only mappings whose kind and object match, such as 'memfd:ram'")
    .option("--interval <seconds>", "between two looks", "2")
    .option("--attach", "write-protect its shared memory, so that writes and page-outs are seen (see attach)")
    .option("--once", "print it once, and end")
    .addHelpText(
      "after",
      `
Keys: q quits, arrows or j k select a mapping, space pauses, + - change the interval, ? explains.

Examples:
  sudo ptemark watch 4711
  sudo ptemark watch qemu-system-x86 --mapping memfd
  sudo ptemark watch 4711 --once | less -R

Exit codes: 0 done, or the process has ended; 2 no such process; 3 not permitted, or this kernel can't.`,
    )
    .action(watch);
}

async function watch(
  argument: string,
  { mapping, interval, attach = false, once }: WatchOptions,
): Promise<void> {
  const intervalS = parseInterval(interval);
  const isWanted = mappingFilter(mapping);
  const pid = onePidOf(argument);
  refuseWithoutMemory(pid);
  const { showLive, showOnce } = await import("./watch-live.ts");
  const isLive = process.stdout.isTTY && !once;
  if (attach && !isLive) throw new InputError("--attach is for watching in a terminal: leave off --once");
  await (isLive ? showLive : showOnce)(pid, { isWanted, attaches: attach }, initialState(intervalS));
}
