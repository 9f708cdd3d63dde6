// The command line as people meet it: the built program, run as a process.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordedLines } from "./support/trace-fixtures.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ptemark(
  args: readonly string[],
  { input = "", env = {} }: { input?: string; env?: object } = {},
): Outcome {
  return spawnSync(process.execPath, [MAIN, ...args], {
    cwd: folder,
    encoding: "utf8",
    input,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...env },
    maxBuffer: 64 * 2 ** 20,
  });
}

function file(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const PROGRAM = ["obj o0 2", "map A v0 o0 0 2 rw", "write A v0 0 2", "madvise A v0 0 1 PAGEOUT"].join("\n");
/** A few traces that are in the sample, so that they are known to agree. */
const [recorded] = recordedLines();

const COMMANDS = [
  "doctor",
  "scan",
  "attach",
  "watch",
  "functional",
  "run",
  "conform",
  "accuracy",
  "claims",
  "bench",
  "explore",
];

describe("help", () => {
  test("lists the commands, and the exit codes", () => {
    const { status, stdout } = ptemark(["--help"]);
    expect(status).toBe(0);
    for (const part of [...COMMANDS, "Exit codes"]) expect(stdout).toContain(part);
  });

  test.each(COMMANDS.filter((command) => command !== "bench"))("%s --help has examples", (command) => {
    const { status, stdout } = ptemark([command, "--help"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\\n  (sudo )?ptemark ${command}`));
  });

  test("--version is the package's", () => {
    expect(ptemark(["--version"]).stdout).toBe(`${version}\n`);
  });
});

describe("elsewhere than on Linux", () => {
  const elsewhere = "Object.defineProperty(process, 'platform', { value: 'darwin' })";
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(elsewhere)}` };

  test("the model works, and so does the help", () => {
    expect(ptemark(["--help"], { env }).status).toBe(0);
    expect(ptemark(["functional"], { env }).status).toBe(0);
    expect(ptemark(["run", file("a.ops", PROGRAM)], { env }).status).toBe(0);
  });

  test.each([["doctor"], ["scan 1"], ["scan --all"]])("%s says what it needs", (command) => {
    const { status, stderr } = ptemark(command.split(" "), { env });
    expect(stderr).toMatch(/^ptemark: ptemark\/linux: a Linux kernel on x86-64 .*, and this is darwin on /);
    expect(stderr).toContain("the model (ptemark/model) runs anywhere");
    expect(status).toBe(3);
  });
});

describe("functional", () => {
  test("prints the RFC's table with the mechanism and without, and passes", () => {
    const { status, stdout } = ptemark(["functional"]);
    expect(status).toBe(0);
    expect(stdout).toContain("      PAGEOUT (expect swap==1): present bit 0, swap bit 1\n");
    expect(stdout).toContain("      PAGEOUT (expect swap==1): present bit 0, swap bit 0\n");
    expect(stdout).toContain("PASS");
  });

  test("--json has a result for each", () => {
    const { status, stdout } = ptemark(["functional", "--json"]);
    const { results } = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(
      results.map(({ backend, profile, pass }: Record<string, unknown>) => [backend, profile, pass]),
    ).toEqual([
      ["model", "rfc", true],
      ["model", "linux-6.1", false],
    ]);
    expect(results[0].rows).toEqual([
      { step: "FAULT1", expect: 0, present: 1, swap: 0 },
      { step: "PAGEOUT", expect: 1, present: 0, swap: 1 },
      { step: "FAULT2", expect: 0, present: 1, swap: 0 },
      { step: "REMOVE", expect: 0, present: 0, swap: 0 },
      { step: "PAGEOUT", expect: 1, present: 0, swap: 1 },
      { step: "REMOVE", expect: 0, present: 0, swap: 0 },
    ]);
    expect(results[1].rows.map(({ swap }: { swap: number }) => swap)).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe("run", () => {
  test("shows what each step changed", () => {
    const { status, stdout, stderr } = ptemark(["run", file("a.ops", PROGRAM)]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("  4  madvise A v0 0 1 PAGEOUT\n     A v0          MP   was PP\n");
    expect(stdout).toContain("(marker PAGEOUT)");
    expect(stdout).toContain("     o0            SR   was RR\n");
  });

  test("reads standard input, and is the kernel that --profile names", () => {
    const { status, stdout } = ptemark(["run", "--profile", "linux-6.1", "-"], { input: PROGRAM });
    expect(status).toBe(0);
    expect(stdout).toContain("     A v0          .P   was PP\n");
  });

  test.each(["rfc", "linux-6.1", "linux-6.18"])("--json is a trace that conform takes (%s)", (profile) => {
    const { stdout } = ptemark(["run", "--json", "-p", profile, file("a.ops", PROGRAM)]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(stdout).steps).toHaveLength(4);
    expect(ptemark(["conform", "--json", "-"], { input: stdout })).toMatchObject({
      status: 0,
      stdout: '{"traces":1,"steps":4,"divergences":[]}\n',
    });
  });

  test("has memory for large programs, and so has conform", () => {
    const large = PROGRAM.replaceAll(" 2", " 4096");
    const { stdout } = ptemark(["run", "--json", "-"], { input: large });
    expect(JSON.parse(stdout).steps[2]).toMatchObject({ errno: "", objs: { o0: "R".repeat(4096) } });
    expect(ptemark(["conform", "--json", "-"], { input: stdout }).status).toBe(0);
  });

  test("colours its output only where colour is wanted", () => {
    const plain = ptemark(["run", file("a.ops", PROGRAM)]);
    expect(plain.stdout).not.toContain("\u001b[");
    const coloured = ptemark(["run", "a.ops"], { env: { NO_COLOR: undefined, FORCE_COLOR: "1" } });
    expect(coloured.stdout).toContain("\u001b[");
  });
});

describe("conform", () => {
  test("--sample: all agree", () => {
    const { status, stdout } = ptemark(["conform", "--sample"]);
    expect(stdout).toMatch(/\n(\d+) of \1 traces agree \((\d+) of \2 steps\)\n$/);
    expect(status).toBe(0);
  });

  test("reads .jsonl and .jsonl.gz", () => {
    const plain = file("one.jsonl", `${recorded.text}\n`);
    const packed = file("two.jsonl.gz", gzipSync(`${recorded.text}\n${recorded.text}\n`));
    const { status, stdout } = ptemark(["conform", plain, packed, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ traces: 3, divergences: [] });
  });

  test("reports the first divergence of a trace, and the shortest program that shows it", () => {
    const trace = JSON.parse(ptemark(["run", "--json", "-"], { input: `obj o1 1\n${PROGRAM}` }).stdout);
    trace.steps[4].objs.o0 = "RR";
    const name = file("wrong.jsonl", JSON.stringify(trace));
    const { status, stdout } = ptemark(["conform", "--json", name]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      traces: 1,
      steps: 5,
      divergences: [
        {
          trace: "stdin",
          step: 5,
          op: "madvise A v0 0 1 PAGEOUT",
          field: "objs.o0[0]",
          expected: "R",
          shown: "S",
          shortest: PROGRAM.split("\n"),
        },
      ],
    });
    const text = ptemark(["conform", name]);
    expect(text.status).toBe(1);
    expect(text.stdout).toContain(
      "stdin differs at step 5: madvise A v0 0 1 PAGEOUT\n  objs.o0[0]: expected R, shown S\n",
    );
    expect(text.stdout).toContain("0 of 1 traces agree (4 of 5 steps)");
  });

  test("--profile replays as another kernel", () => {
    const trace = ptemark(["run", "--json", "-"], { input: PROGRAM }).stdout;
    const { status, stdout } = ptemark(["conform", "--json", "--profile", "linux-6.1", "-"], {
      input: trace,
    });
    expect(status).toBe(1);
    expect(JSON.parse(stdout).divergences[0]).toMatchObject({ step: 4, field: "procs.A.v0[0]" });
  });
});

describe("bad input: exit code 2, the place and the mend, no stack trace", () => {
  const truncatedGzip = () => {
    const lines = [...recordedLines()].slice(0, 50).map(({ text }) => text);
    const packed = gzipSync(lines.join("\n"));
    return file("cut.jsonl.gz", packed.subarray(0, packed.length - 1000));
  };
  const traceWith = (change: object) => JSON.stringify({ ...JSON.parse(recorded.text), ...change });
  const impossible = { PTE_MARKER: false, PTE_MARKER_PAGEOUT: true };

  test.each<[string, () => string[], RegExp]>([
    [
      "an unknown op",
      () => ["run", file("bad.ops", `${PROGRAM}\n\n  wriet A v0 0 1`)],
      /^ptemark: bad\.ops:6:3: unknown op "wriet"; did you mean "write P V I N"\?\n$/,
    ],
    [
      "a page out of range",
      () => ["run", file("bad.ops", `${PROGRAM}\nwrite A v0 2 1`)],
      /^ptemark: bad\.ops:5:12: page 2 is out of range .*v0 has pages 0 to 1: begin there\n$/,
    ],
    [
      "an unknown profile",
      () => ["run", "-p", "linux-2.4", file("a.ops", PROGRAM)],
      /"linux-2\.4".* rfc, linux-6\.1/,
    ],
    [
      "an unknown profile for a replay",
      () => ["conform", "-p", "x", file("t.jsonl", recorded.text)],
      /"x".* rfc,/,
    ],
    [
      "a missing program",
      () => ["run", "none.ops"],
      /^ptemark: none\.ops: there is no such file; check the path\n$/,
    ],
    ["a folder", () => ["conform", "."], /^ptemark: \.: this is a folder; name the files in it\n$/],
    [
      "missing traces",
      () => ["conform", "none.jsonl.gz"],
      /^ptemark: none\.jsonl\.gz: there is no such file; check/,
    ],
    [
      "no traces named",
      () => ["conform"],
      /^ptemark: conform takes one of --sample, --live, and files with recorded traces\n$/,
    ],
    [
      "live and recorded traces at once",
      () => ["conform", "--live", "--sample"],
      /^ptemark: conform takes one of --sample, --live, and files with recorded traces\n$/,
    ],
    [
      "a seed for recorded traces",
      () => ["conform", "--sample", "--seed", "7"],
      /^ptemark: --seeds and --seed are for --live\n$/,
    ],
    [
      "a number of seeds that is none",
      () => ["conform", "--live", "--seeds", "-1"],
      /option '--seeds <number>' argument '-1' is invalid. It is a whole number below 2\^32\./,
    ],
    [
      "a kernel for this kernel to be",
      () => ["run", "--backend", "linux", "--profile", "rfc", file("program.ops", PROGRAM)],
      /^ptemark: --profile is the kernel for the model to be, and --backend linux is this one: leave --profile out, /,
    ],
    [
      "a backend that there is not",
      () => ["run", "--backend", "bsd", file("program.ops", PROGRAM)],
      /argument 'bsd' is invalid. Allowed choices are model, linux\./,
    ],
    [
      "an empty file",
      () => ["conform", file("empty.jsonl", "\n")],
      /^ptemark: empty\.jsonl: the file has no trace; /,
    ],
    [
      "a .gz cut short",
      () => ["conform", truncatedGzip()],
      /^ptemark: cut\.jsonl\.gz: .*cut short after line \d+; get/,
    ],
    [
      "a .gz that is none",
      () => ["conform", file("no.jsonl.gz", recorded.text)],
      /^ptemark: no\.jsonl\.gz: .*damaged/,
    ],
    [
      "a line cut short",
      () => ["conform", file("cut.jsonl", `${recorded.text}\n${recorded.text.slice(0, 900)}`)],
      /^ptemark: cut\.jsonl:2: this line is no JSON: .*; get the file again, it may have been cut short\n$/,
    ],
    [
      "a trace without a field",
      () => ["conform", file("lacks.jsonl", traceWith({ steps: [{ op: "obj o0 1" }] }))],
      /^ptemark: lacks\.jsonl:1: trace .*, step 1: errno is missing; see the trace format in /,
    ],
    [
      "a trace of an unknown kernel",
      () => ["conform", file("old.jsonl", traceWith({ kernel: "2.6.39" }))],
      /^ptemark: old\.jsonl:1: trace [-\w]+: .*"2\.6\.39"/,
    ],
    [
      "a trace of a kernel that can't be",
      () => ["conform", file("odd.jsonl", traceWith({ kernel: "6.1.192-rfc", config: impossible }))],
      /^ptemark: odd\.jsonl:1: trace [-\w]+: PTE_MARKER_PAGEOUT needs PTE_MARKER/,
    ],
  ])("%s", (_, args, message) => {
    const { status, stdout, stderr } = ptemark(args());
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n +at /);
    expect(stdout).toBe("");
    expect(status).toBe(2);
  });

  test.each([[["frobnicate"]], [["run"]], [["run", "--frobnicate", "a.ops"]], [[]]])("usage: %j", (args) => {
    const { status, stderr } = ptemark(args);
    expect(status).toBe(2);
    expect(stderr).toMatch(/error: |Usage: /);
    expect(stderr).not.toMatch(/\n +at /);
  });

  test("PTEMARK_DEBUG=1 adds the stack trace", () => {
    const { status, stderr } = ptemark(["run", "none.ops"], { env: { PTEMARK_DEBUG: "1" } });
    expect(status).toBe(2);
    expect(stderr).toMatch(/no such file.*\n +at /);
  });
});
