import type { Command } from "commander";
import { InputError } from "./errors.ts";
import { parseInterval } from "./interval.ts";
import { mappingFilter } from "./mapping-filter.ts";
import { onePidOf, refuseWithoutMemory } from "./processes.ts";

interface AttachCommandOptions {
  readonly mapping?: string;
  readonly interval: string;
  readonly count?: string;
  readonly json?: boolean;
  readonly force?: boolean;
  readonly huge?: boolean;
}

export function addAttach(program: Command): void {
  program
    .command("attach")
    .summary("make swapped-out shared memory visible in a process's pagemap, and tell what comes and goes")
    .description(
      "Write-protects (arms) the shared memory of a process while it is in memory: page-out then leaves a marker, " +
        "and /proc/PID/pagemap shows PM_SWAP to everyone. At each interval, pages that were written are armed anew, " +
        "stale markers are taken away, and a line tells what moved. It says before what it costs the process.",
    )
    .argument("<process>", "its pid, or its name if only one process has it")
    .option("--mapping <regexp>", "only mappings whose kind and object match, such as 'memfd:ram'")
    .option("--interval <seconds>", "between two passes", "2")
    .option("--count <n>", "detach after so many lines")
    .option("--json", "print JSON, one line an event")
    .option("--force", "attach to a process with a seccomp filter, which may kill it for it; or to init")
    .option("--huge", "also where huge pages are mapped: that splits them, for good")
    .addHelpText(
      "after",
      `
Ctrl-C detaches, and leaves no trace in the process. If ptemark is killed, the kernel does the same.

Columns, in pages of 4 KiB since the line before:
  out, in    went to swap, came back
  written    written, or mapped for the first time; each cost the process one write-protect fault at most
  armed      armed by this pass
  doubtful   about which the object had to be asked
  stale      markers of pages that are not in swap, taken away
  in swap    all that is in swap now
  ms         how long the pass looked and armed

Examples:
  sudo ptemark attach 4711
  sudo ptemark attach qemu-system-x86_64 --mapping memfd --interval 10
  sudo ptemark attach 4711 --json --count 30 | jq -c '[.time, .swappedOut, .swappedIn]'

Exit codes: 0 done, or the process has ended; 2 no such process, or nothing to attach to; 3 it can't be attached to:
the message gives the reason.`,
    )
    .action(attach);
}

async function attach(argument: string, options: AttachCommandOptions): Promise<void> {
  const { mapping, interval, count, json = false, force = false, huge = false } = options;
  const intervalS = parseInterval(interval);
  const passes = parseCount(count);
  const isWanted = mappingFilter(mapping);
  const pid = onePidOf(argument);
  refuseWithoutMemory(pid);
  const { runAttach } = await import("./attach-live.ts");
  await runAttach({ pid, isWanted, intervalS, passes, json, force, huge });
}

function parseCount(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InputError(`--count ${text}: give a number of lines`);
}
