import { expect, test } from "vitest";
import { formatOp, parseProgram } from "../script/index.ts";
import { WORKLOAD_DEFAULTS, WorkloadError, type WorkloadOptions, workloadProgram } from "./workload.ts";
import { WORKLOADS, workloadNamed } from "./workloads.ts";

const program = (name: string, options: Partial<WorkloadOptions> = {}): string[] =>
  workloadProgram(workloadNamed(name), { ...WORKLOAD_DEFAULTS, ...options }).map(formatOp);

test.each(WORKLOADS.map(({ name }) => name))("%s is the same for a seed, and another for another", (name) => {
  expect(program(name)).toEqual(program(name));
  expect(program(name)).not.toEqual(program(name, { seed: 2 }));
});

test.each(WORKLOADS.map(({ name }) => name))("%s is a program that `ptemark run` takes", (name) => {
  for (const processes of [1, 3, 26]) {
    const lines = program(name, { processes, steps: 600 });
    expect(parseProgram(lines.join("\n"), { file: name }).steps).toHaveLength(lines.length);
    const live = new Set(["A"]);
    for (const line of lines) {
      const [kind, , child] = line.split(" ");
      if (kind === "fork") live.add(child);
      if (kind === "exit") live.delete(line.split(" ")[1]);
      expect(live.size).toBeLessThanOrEqual(processes);
    }
  }
});

test("has as many steps as asked for, after the set-up", () => {
  expect(program("vm", { steps: 1 })).toHaveLength(4);
  expect(program("snapshot", { steps: 1000 })).toHaveLength(1003);
});

test("without zaps and page-outs, has none", () => {
  const lines = program("vm", { zapRate: 0, pageOutRate: 0 });
  expect(lines.filter((line) => /madvise|reclaim/.test(line))).toEqual([]);
  expect(program("vm").filter((line) => /DONTNEED/.test(line)).length).toBeGreaterThan(0);
});

test.each<[Partial<WorkloadOptions>, string]>([
  [{ pages: 15 }, "pages 15: must be a whole number from 16 to 4096"],
  [{ pages: 4097 }, "pages 4097: must be a whole number from 16 to 4096"],
  [{ steps: 0 }, "steps 0: must be a whole number from 1 to 1000000"],
  [{ processes: 27 }, "processes 27: must be a whole number from 1 to 26"],
  [{ seed: 1.5 }, "seed 1.5: must be a whole number from 0 to 4294967295"],
  [{ zapRate: -0.1 }, "zapRate -0.1: must be a number from 0 to 1"],
  [{ pageOutRate: Number.NaN }, "pageOutRate NaN: must be a number from 0 to 1"],
])("%j is refused", (options, message) => {
  expect(() => program("vm", options)).toThrow(new WorkloadError(message));
});
