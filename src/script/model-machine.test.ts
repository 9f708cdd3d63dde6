import { describe, expect, test } from "vitest";
import { createModelMachine, type ModelMachineOptions } from "./model-machine.ts";
import { parseProgram } from "./parse.ts";
import { runProgram } from "./run.ts";
import type { TraceStep } from "./trace.ts";

/** Runs a program; what each op returned and what is there after it. */
function run(lines: readonly string[], options: Partial<ModelMachineOptions> = {}): TraceStep[] {
  const program = parseProgram(lines.join("\n"), { file: "test.ops" });
  return [
    ...runProgram(program, createModelMachine({ profile: "rfc", config: { page_cluster: 0 }, ...options })),
  ];
}

function last(lines: readonly string[], options: Partial<ModelMachineOptions> = {}): TraceStep {
  return run(lines, options).at(-1)!;
}

test("the RFC's functional test: the swap bit goes 0 1 0 0 1 0 with markers, stays 0 without", () => {
  const program = [
    "obj o0 1",
    "map A v0 o0 0 1 rw",
    "write A v0 0 1",
    "madvise A v0 0 1 PAGEOUT",
    "read A v0 0 1",
    "madvise A v0 0 1 REMOVE",
    "write A v0 0 1",
    "madvise A v0 0 1 PAGEOUT",
    "madvise A v0 0 1 REMOVE",
  ];
  const swapBits = (profile: string) =>
    run(program, { profile })
      .slice(2)
      .map(({ procs }) => (Number.parseInt(procs.A.v0[0], 16) >> 7) & 1);
  expect(swapBits("rfc")).toEqual([0, 1, 0, 0, 0, 1, 0]);
  expect(swapBits("linux-6.1")).toEqual([0, 0, 0, 0, 0, 0, 0]);
  expect(swapBits("linux-6.18")).toEqual([0, 0, 0, 0, 0, 0, 0]);
});

describe("what is shown", () => {
  test("bits 55 to 63 in hex, markers with type and bits, a dash where nothing is mapped", () => {
    const step = last([
      "obj o0 4",
      "map A v0 o0 0 4 rw",
      "write A v0 0 3",
      "madvise A v0 0 1 PAGEOUT",
      "unmap A v0 1 1",
    ]);
    expect(step).toMatchObject({
      procs: { A: { v0: ["81:30.2", "-", "143", "1"] } },
      mincore: { A: { v0: "0-10" } },
      objs: { o0: "SRRH" },
    });
  });

  test("uffd-wp markers, of the kernel's own type and bit", () => {
    const program = ["obj o0 1", "map A v0 o0 0 1 rw", "uffd A v0", "uffdwp A v0 0 1 1"];
    expect(last(program).procs.A.v0).toEqual(["85:30.1"]);
    expect(last(program, { profile: "linux-6.18" }).procs.A.v0).toEqual(["84:31.1"]);
  });

  test("a swap entry of a device without type and offset", () => {
    const step = last(["mapanon A v0 2 rw", "write A v0 0 2", "madvise A v0 0 1 PAGEOUT"]);
    expect(step).toMatchObject({
      procs: { A: { v0: ["81", "103"] } },
      mincore: { A: { v0: "01" } },
      objs: {},
    });
  });

  test("each process under its name, a child with its parent's mappings, until it ends", () => {
    const steps = run([
      "obj o0 1",
      "map A v0 o0 0 1 rw",
      "write A v0 0 1",
      "fork A B",
      "read B v0 0 1",
      "exit A",
    ]);
    expect(steps[3].procs).toEqual({ A: { v0: ["143"] }, B: { v0: ["1"] } });
    expect(steps[4].procs).toEqual({ A: { v0: ["141"] }, B: { v0: ["141"] } });
    expect(steps[5].procs).toEqual({ B: { v0: ["143"] } });
  });

  test("fallocated and removed pages are holes, those in the swap cache resident", () => {
    const step = last([
      "obj o0 3",
      "writefd o0 0 3",
      "reclaim",
      "map A v0 o0 0 3 rw",
      "madvise A v0 0 1 WILLNEED",
      "punch o0 2 1",
    ]);
    // On 6.1 one page too many is read.
    expect(step.objs).toEqual({ o0: "RRH" });
    expect(step.mincore).toEqual({ A: { v0: "110" } });
  });
});

describe("what ops do", () => {
  test("write stores the step's number, read and readfd load it", () => {
    const steps = run([
      "obj o0 3",
      "map A v0 o0 0 3 rw",
      "write A v0 0 2",
      "writefd o0 2 1",
      "read A v0 0 3",
      "readfd o0 1 2",
    ]);
    expect(steps.map(({ values }) => values)).toEqual([[], [], [], [], [3, 3, 4], [3, 4]]);
  });

  test("readfd beyond the object's end loads nothing", () => {
    expect(last(["obj o0 1", "writefd o0 0 1", "truncate o0 0", "readfd o0 0 1"]).values).toEqual([]);
  });

  test("mremap moves a mapping, pages and all, to a new name", () => {
    const steps = run([
      "mapanon A v0 2 rw",
      "write A v0 0 2",
      "mremap A v0 v1",
      "read A v1 0 2",
      "mapanon A v2 1 r",
    ]);
    expect(steps.map(({ errno }) => errno)).toEqual(["", "", "", "", ""]);
    expect(steps[3].values).toEqual([2, 2]);
    expect(Object.keys(steps[4].procs.A)).toEqual(["v1", "v2"]);
  });

  test("a private mapping copies on write", () => {
    const step = last([
      "obj o0 2",
      "writefd o0 0 2",
      "mapcow A v0 o0 0 2 rw",
      "write A v0 0 1",
      "readfd o0 0 2",
    ]);
    expect(step.values).toEqual([2, 2]);
    expect(step.procs.A.v0).toEqual(["103", "1"]);
  });

  test("mprotect, clearrefs, punch, truncate, madvise, uffdwp off", () => {
    const steps = run([
      "obj o0 4",
      "map A v0 o0 0 4 rw",
      "write A v0 0 4",
      "clearrefs A",
      "mprotect A v0 0 1 r",
      "write A v0 0 1",
      "write A v0 1 1",
      "punch o0 2 1",
      "truncate o0 3",
      "uffd A v0",
      "uffdwp A v0 0 2 1",
      "uffdwp A v0 1 1 0",
      "madvise A v0 0 1 DONTNEED",
    ]);
    expect(steps[3].procs.A.v0).toEqual(["142", "142", "142", "142"]);
    expect(steps[5].errno).toBe("SIGSEGV");
    expect(steps[6].procs.A.v0).toEqual(["142", "143", "142", "142"]);
    expect(steps[8].objs).toEqual({ o0: "RRH" });
    expect(steps[8].procs.A.v0).toEqual(["142", "143", "0", "0"]);
    // 6.1 write-protects in one area only.
    expect(steps[10].errno).toBe("ENOENT");
    expect(steps[11].errno).toBe("");
    expect(steps[12].procs.A.v0).toEqual(["0", "143", "0", "0"]);
  });

  test("reclaim takes everything, or just what a record says it took", () => {
    const lines = ["obj o0 3", "map A v0 o0 0 3 rw", "mapanon A v1 3 rw", "write A v0 0 3", "write A v1 0 3"];
    expect(last([...lines, "reclaim"])).toMatchObject({
      objs: { o0: "SSS" },
      mincore: { A: { v0: "000", v1: "000" } },
    });
    const machine = createModelMachine({ profile: "rfc", config: { page_cluster: 0 } });
    const steps = runProgram(parseProgram(lines.join("\n"), { file: "test.ops" }), machine);
    expect([...steps]).toHaveLength(5);
    const reclaimed = { objs: { o0: [1] }, mapped: [{ proc: "A", mapping: "v1", page: 2 }] };
    expect(machine.execute({ kind: "reclaim" }, 6, reclaimed)).toEqual({ errno: "", values: [] });
    expect(machine.observe()).toMatchObject({
      objs: { o0: "RSR" },
      mincore: { A: { v0: "101", v1: "110" } },
      procs: { A: { v0: ["143", "81:30.2", "143"], v1: ["103", "103", "81"] } },
    });
    machine.close();
  });
});

describe("errors are the kernel's", () => {
  test("swapon when on: EBUSY; swapoff when off: EINVAL", () => {
    const steps = run(["swapon", "swapoff", "swapoff", "swapon", "swapon"]);
    expect(steps.map(({ errno }) => errno)).toEqual(["EBUSY", "", "EINVAL", "", "EBUSY"]);
  });

  test("uffdwp without any uffd: EBADF; with one but not over the range: ENOENT", () => {
    const steps = run([
      "mapanon A v0 1 rw",
      "mapanon A v1 1 rw",
      "uffdwp A v0 0 1 1",
      "uffd A v0",
      "uffdwp A v1 0 1 1",
    ]);
    expect(steps.map(({ errno }) => errno)).toEqual(["", "", "EBADF", "", "ENOENT"]);
  });

  test("a child has none of its parent's userfaultfd", () => {
    const steps = run(["mapanon A v0 1 rw", "uffd A v0", "fork A B", "uffdwp B v0 0 1 1"]);
    expect(steps[3].errno).toBe("EBADF");
  });

  test("madvise: ENOMEM at a gap, EINVAL and EACCES for REMOVE", () => {
    const steps = run([
      "mapanon A v0 3 rw",
      "obj o0 1",
      "mapcow A v1 o0 0 1 r",
      "unmap A v0 1 1",
      "madvise A v0 0 3 DONTNEED",
      "madvise A v0 0 1 REMOVE",
      "madvise A v1 0 1 REMOVE",
    ]);
    expect(steps.slice(4).map(({ errno }) => errno)).toEqual(["ENOMEM", "EINVAL", "EACCES"]);
  });

  test("a fatal signal is named, and what was loaded before is kept", () => {
    const steps = run([
      "obj o0 1",
      "map A v0 o0 0 2 rw",
      "write A v0 0 1",
      "read A v0 0 2",
      "mprotect A v0 0 1 r",
      "write A v0 0 1",
    ]);
    expect(steps[3]).toMatchObject({ errno: "SIGBUS", values: [3] });
    expect(steps[5].errno).toBe("SIGSEGV");
  });

  test("too little memory is ENOMEM, and all that was written is still there", () => {
    const lines = ["mapanon A v0 12 rw", "write A v0 0 12", "unmap A v0 6 6", "read A v0 0 6"];
    const steps = run(lines, { memoryPages: 4, swapPages: 4 });
    expect([steps[1].errno, steps[3].errno, steps[3].values]).toEqual(["ENOMEM", "", Array(6).fill(2)]);
  });
});

test("looking changes nothing: two looks show the same, and so does every later step", () => {
  const lines = [
    "obj o0 4",
    "map A v0 o0 0 4 rw",
    "write A v0 0 4",
    "madvise A v0 0 2 PAGEOUT",
    "read A v0 0 1",
    "fork A B",
    "read B v0 0 4",
  ];
  const machine = createModelMachine({ profile: "rfc" });
  const program = parseProgram(lines.join("\n"), { file: "test.ops" });
  const seen = program.steps.map(({ op }, i) => {
    machine.execute(op, i + 1);
    for (let times = 0; times < 5; times++) machine.observe();
    return machine.observe();
  });
  expect(seen).toEqual(
    run(lines, { config: {} }).map(({ procs, mincore, objs }) => ({ procs, mincore, objs })),
  );
});
