// The lab's commands as people meet them: the built program, run as a process.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const DOCUMENT = fileURLToPath(new URL("../docs/claims.md", import.meta.url));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-lab-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ptemark(args: readonly string[], input = ""): Outcome {
  return spawnSync(process.execPath, [MAIN, ...args], {
    cwd: folder,
    encoding: "utf8",
    input,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
    maxBuffer: 64 * 2 ** 20,
  });
}

describe("help", () => {
  test.each([["bench", "swapin"], ["bench", "pagemap"], ["accuracy"], ["claims"]])("%s %s", (...command) => {
    const { status, stdout } = ptemark([...command.filter((word) => word !== undefined), "--help"]);
    expect(status).toBe(0);
    expect(stdout).toContain("Examples:\n  ");
  });
});

describe("bad input ends with 2, and is told with its place and mend", () => {
  test.each<[string[], string]>([
    [
      ["accuracy", "vm", "desktop"],
      'unknown workload "desktop": there are vm, database, fork-server, migration',
    ],
    [["accuracy", "--zap-rate", "2"], '--zap-rate "2": must be a number from 0 to 1'],
    [["accuracy", "--processes", "0"], '--processes "0": must be a whole number from 1 to 26'],
    [["accuracy", "--steps", "many"], '--steps "many": must be a whole number from 1 to 1000000'],
    [["accuracy", "--program"], "--program prints one workload: name one of vm, database"],
    [
      ["accuracy", "vm", "--no-live", "--steps", "1", "--html", "no/such/folder.html"],
      "--html no/such/folder.html: ",
    ],
    [["bench", "swapin", "--size", "5000"], '--size "5000": must be a size in whole pages, from 4096K to 8G'],
    [["bench", "swapin", "--size", "1T"], '--size "1T": must be a size in whole pages'],
    [["bench", "pagemap", "--rounds", "0"], '--rounds "0": must be a whole number from 1 to 10000'],
    [["bench", "swapin", "--device", "tape"], "Allowed choices are zram, file"],
    [["bench", "nothing"], "unknown command 'nothing'"],
    [["claims", "--seed", "-1"], '--seed "-1": must be a whole number from 0 to 4294967295'],
    [["claims", "--json", "--markdown"], "cannot be used with"],
  ])("%j", (args, message) => {
    const { status, stdout, stderr } = ptemark(args);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
    expect(stdout).toBe("");
  });
});

describe("accuracy", () => {
  test("is the same, byte for byte, for a seed, and another for another", () => {
    const args = ["accuracy", "--no-live", "--steps", "80"];
    const { status, stdout } = ptemark(args);
    expect(status).toBe(0);
    expect(ptemark(args).stdout).toBe(stdout);
    expect(ptemark([...args, "--seed", "2"]).stdout).not.toBe(stdout);
    const json = ptemark([...args, "--json"]).stdout;
    expect(ptemark([...args, "--json"]).stdout).toBe(json);
  });

  test("names the causes, the RFC's two flaws among them", () => {
    const { stdout } = ptemark(["accuracy", "database", "--no-live", "--json"]);
    const { cells } = JSON.parse(stdout);
    const marker = cells.find(({ mechanism }: { mechanism: string }) => mechanism === "marker");
    const causes = marker.accuracy.causes.map(({ cause }: { cause: string }) => cause);
    expect(causes).toEqual(expect.arrayContaining(["fork", "PTE zapped before page-out"]));
  });

  test("prints a workload as a program, which `ptemark run` runs", () => {
    const program = ptemark(["accuracy", "snapshot", "--program", "--steps", "30", "--pages", "16"]);
    expect(program.status).toBe(0);
    const { status, stdout } = ptemark(["run", "-", "--json"], program.stdout);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).steps).toHaveLength(33);
  });

  test("writes a page with plots that needs nothing from elsewhere", () => {
    const { status } = ptemark(["accuracy", "vm", "--no-live", "--steps", "40", "--html", "accuracy.html"]);
    expect(status).toBe(0);
    const page = readFileSync(join(folder, "accuracy.html"), "utf8");
    expect(page).toContain("<svg");
    expect(page).not.toMatch(/<script|<link|<img|https?:/);
  });
});

describe("bench", () => {
  test("swapin has the RFC's table, the model's, and the fault counts of the real kernels", () => {
    const { status, stdout } = ptemark(["bench", "swapin", "--no-live", "--size", "4M", "--rounds", "2"]);
    expect(status).toBe(0);
    for (const part of [
      "519,652",
      "0.82 %",
      "4 MiB, 2 rounds",
      "1,024",
      "16,384",
      "Not measured live: not asked for",
    ])
      expect(stdout).toContain(part);
  });

  test("pagemap: markers look nothing up, the look-up one page an empty PTE", () => {
    const args = ["bench", "pagemap", "--no-live", "--size", "4M", "--rounds", "2", "--json"];
    const { status, stdout } = ptemark(args);
    expect(status).toBe(0);
    const { model } = JSON.parse(stdout);
    const lookups = (wanted: string): number[] =>
      model
        .filter(({ config }: { config: string }) => config === wanted)
        .map(({ lookupsPerEntry }: { lookupsPerEntry: number }) => lookupsPerEntry);
    expect(lookups("marker")).toEqual([0, 0, 0, 0, 0, 0]);
    expect(lookups("look-up")).toEqual([0, 0, 1, 1 / 2, 1 / 64, 0]);
  });
});

/** A page without what may differ from run to run and from machine to machine: numbers, signs, sizes, the machine. */
function shapeOf(markdown: string): string[] {
  return markdown
    .split("\n")
    .filter((line) => !line.startsWith("Made by "))
    .map((line) => line.replace(/[+-]?\d[\d,.]*/g, "#").replace(/# (GiB|MiB|KiB)/g, "# bytes"));
}

describe("claims", { timeout: 300_000 }, () => {
  const run = () => ptemark(["claims", "--quick", "--no-live", "--markdown", "--html", "claims.html"]);

  test("on the model: the flaws are shown, and what is counted agrees with the document that comes with it", () => {
    const { status, stdout, stderr } = run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const verdicts = (page: string): string[] =>
      page
        .split("\n")
        .filter((line) => /\| (flaw not admitted|admitted flaw|cost not mentioned) \|/.test(line));
    expect(verdicts(stdout).length).toBeGreaterThan(12);
    // mincore was mended when the RFC was ported.
    for (const line of verdicts(stdout))
      expect(line).toMatch(/^\| mincore/.test(line) ? /\| not shown \|$/ : /\| shown \|$/);

    const document = readFileSync(DOCUMENT, "utf8");
    expect(verdicts(document)).toEqual(verdicts(stdout));
    const headings = (page: string): string[] => page.split("\n").filter((line) => line.startsWith("#"));
    expect(headings(document)).toEqual(headings(stdout));
    // Counted, not timed: the same numbers.
    for (const title of [
      "Model: pages that are back in the page cache",
      "A real 6.1 kernel without and with the RFC: instructions a page read",
      "A real 6.1 kernel without and with the RFC: instructions an entry",
      "Instructions a page",
    ])
      expect(tableAfter(document, title)).toEqual(tableAfter(stdout, title));
    expect(shapeOf(tableAfter(document, "The marker, workload vm").join("\n"))).toEqual(
      shapeOf(tableAfter(stdout, "The marker, workload vm").join("\n")),
    );
    expect(readFileSync(join(folder, "claims.html"), "utf8").match(/<svg/g)?.length).toBeGreaterThanOrEqual(
      6,
    );
  });
});

/** The lines of the table under a title. */
function tableAfter(page: string, title: string): string[] {
  const lines = page.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`**${title}`));
  if (start < 0) throw new Error(`no table "${title}"`);
  const end = lines.findIndex((line, index) => index > start + 1 && !line.startsWith("|"));
  return lines.slice(start + 2, end < 0 ? undefined : end);
}
