// The house rules, as tests: what review would otherwise have to watch for.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkSource, checkTree } from "../scripts/check-imports.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CHECKER = join(ROOT, "scripts", "check-imports.mjs");
/** The formatter keeps code within 110; this also binds the comments and strings that it cannot break. */
const LINE_LENGTH_MAX = 120;
const FILE_LINES_MAX = 500;
const NOT_OURS = new Set(["node_modules", "dist", "coverage", ".git"]);

function filesBelow(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name) || /^dist\./.test(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path, pattern);
    return pattern.test(entry.name) ? [path] : [];
  });
}

const fromRoot = (path: string) => relative(ROOT, path);
const linesOf = (path: string) => readFileSync(path, "utf8").split("\n");
const isUnitOfSrc = (path: string) => !/\.(test|bench)\.ts$/.test(path);

describe("source files", () => {
  test(`no line is longer than ${LINE_LENGTH_MAX} (but for a URL)`, () => {
    const tooLong = ["src", "test", "scripts", "bench"]
      .flatMap((folder) => filesBelow(join(ROOT, folder), /\.[mc]?[jt]s$/))
      .flatMap((path) =>
        linesOf(path).flatMap((line, index) =>
          line.length > LINE_LENGTH_MAX && !line.includes("://") ? [`${fromRoot(path)}:${index + 1}`] : [],
        ),
      );
    expect(tooLong).toEqual([]);
  });

  test(`no file of src has more than ${FILE_LINES_MAX} lines`, () => {
    const tooLong = filesBelow(join(ROOT, "src"), /\.ts$/)
      .filter(isUnitOfSrc)
      .map((path) => ({ path: fromRoot(path), lines: linesOf(path).length - 1 }))
      .filter(({ lines }) => lines > FILE_LINES_MAX);
    expect(tooLong).toEqual([]);
  });

  test("every unit test and benchmark stands beside the file it is about", () => {
    const alone = filesBelow(join(ROOT, "src"), /\.(test|bench)\.ts$/).filter(
      (path) => !existsSync(path.replace(/\.(test|bench)\.ts$/, ".ts")),
    );
    expect(alone.map(fromRoot)).toEqual([]);
  });
});

describe("documents", () => {
  test("every link to a file leads somewhere", () => {
    const dead = filesBelow(ROOT, /\.md$/).flatMap((path) => {
      const prose = readFileSync(path, "utf8").replace(/^```[\s\S]*?^```/gm, "");
      return [...prose.matchAll(/\]\(([^)\s]+)[^)]*\)/g)]
        .map(([, target]) => target)
        .filter((target) => !/^([a-z]+:|#)/i.test(target))
        .filter((target) => !existsSync(join(dirname(path), decodeURI(target.replace(/[#?].*$/, "")))))
        .map((target) => `${fromRoot(path)}: ${target}`);
    });
    expect(dead).toEqual([]);
  });
});

describe("the package", () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    bin: Record<string, string>;
    exports: Record<string, string | Record<string, string>>;
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const targets = [manifest.bin, ...Object.values(manifest.exports)].flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry),
  );

  test.each(targets)("%s exists once built", (target) => {
    expect(existsSync(join(ROOT, target)), `no ${target}: run "npm run build"`).toBe(true);
  });

  test.each(Object.values(manifest.bin))("%s can be run as a program", (target) => {
    expect(readFileSync(join(ROOT, target), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(statSync(join(ROOT, target)).mode & 0o111).toBe(0o111);
  });

  test("exports list the types first", () => {
    for (const [name, entry] of Object.entries(manifest.exports)) {
      if (typeof entry !== "string") expect(Object.keys(entry)[0], name).toBe("types");
    }
  });

  test("dependencies are pinned, and the lockfile names no registry", () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toContain('"resolved"');
  });
});

describe("the import rules", () => {
  test("hold in this repository", () => {
    expect(checkTree(ROOT)).toEqual([]);
  });

  test.each([
    ["src/abi/pte.ts", `import { a } from "../model/mm.ts";`, "src/abi may not import src/model"],
    ["src/model/mm.ts", `export { a } from "../linux/procfs.ts";`, "src/model may not import src/linux"],
    ["src/model/mm.ts", `import type { A } from "../script/op.ts";`, "src/model may not import src/script"],
    ["src/model/mm.test.ts", `import { a } from "../script/op.ts";`, "src/model may not import src/script"],
    ["src/linux/libc.ts", `type A = import("../model/mm.ts").A;`, "src/linux may not import src/model"],
    ["src/script/op.ts", `await import("../lab/accuracy.ts");`, "src/script may not import src/lab"],
    ["src/residency/index.ts", `import "../script/index.ts";`, "src/residency may not import src/script"],
    ["src/lab/copying.ts", `import { a } from "../cli/main.ts";`, "src/lab may not import src/cli"],
    ["src/abi/pte.ts", `import { b } from "node:buffer";`, "run anywhere"],
    ["src/model/mm.ts", `import { readFileSync } from "fs";`, "run anywhere"],
    ["src/script/op.ts", `const fs = require("node:fs");`, "run anywhere"],
    ["src/model/kernel.ts", `import { f } from "./swap-device/file.ts";`, "uses Node"],
    ["src/script/index.ts", `export { createLinuxMachine } from "./linux-machine.ts";`, "uses Node"],
    ["src/script/run.ts", `import { DrivenProcess } from "../linux/driven-process.ts";`, "uses Node"],
    ["src/model/kernel.ts", `await import(name);`, "computed"],
    ["src/model/mm.ts", `import pc from "picocolors";`, "no dependencies"],
    ["src/linux/pagemap.ts", `import koffi from "koffi";`, "koffi"],
    ["test/live.test.ts", `import koffi from "koffi";`, "koffi"],
    ["src/lab/copying.ts", `import { a } from "ptemark/model";`, "relative path"],
    ["src/cli/main.ts", `import manifest from "../../package.json";`, "leaves src"],
    ["src/lab/copying.ts", `console.log(1);`, "may not print"],
    ["src/lab/copying.ts", `globalThis.console.log(1);`, "may not print"],
    ["src/linux/procfs.ts", `process.stdout.write("1");`, "may not print"],
    ["src/linux/procfs.ts", `import { stderr } from "node:process";`, "may not print"],
    ["src/tools/a.ts", "", "stands in no room"],
    ["src/index.ts", "", "stands in no room"],
  ])("report, in %s, `%s`", (path, text, message) => {
    expect(checkSource({ path, text }).map((violation) => violation.message)).toEqual([
      expect.stringContaining(message),
    ]);
  });

  test.each([
    ["src/model/mm.ts", `import { a } from "../abi/pte.ts"; import { b } from "./swap-device/memory.ts";`],
    ["src/model/swap-device/file.ts", `import { openSync } from "node:fs"; import { a } from "../swap.ts";`],
    ["src/model/mm.test.ts", `import { test } from "vitest"; import { readFileSync } from "node:fs";`],
    ["src/model/mm.test.ts", `import { lacking } from "../../test/support/requirement.ts";`],
    ["src/linux/libc.ts", `import koffi from "koffi"; import { a } from "../abi/errno.ts";`],
    ["src/script/runner.ts", `import { Kernel } from "../model/index.ts";`],
    ["src/script/linux-machine.ts", `import { release } from "node:os"; import "../linux/libc.ts";`],
    ["src/cli/main.ts", `import { a } from "../lab/copying.ts"; console.log(1); process.stdout.write("");`],
    ["src/model/mm.ts", `// console.log(1)\nconst text = 'import "node:fs"'; const it = { console: 1 };`],
  ])("allow, in %s, `%s`", (path, text) => {
    expect(checkSource({ path, text })).toEqual([]);
  });

  describe("as a command", () => {
    let folder = "";
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "ptemark-tidy-"));
      mkdirSync(join(folder, "src", "model"), { recursive: true });
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    const check = () => spawnSync(process.execPath, [CHECKER, folder], { encoding: "utf8" });

    test("fail and point at a planted violation", () => {
      writeFileSync(join(folder, "src", "model", "zap.ts"), `\nimport { readFileSync } from "node:fs";\n`);
      const { status, stderr } = check();
      expect(status).toBe(1);
      expect(stderr).toMatch(/^src\/model\/zap\.ts:2:30 .*"node:fs"/);
    });

    test("pass where there is none", () => {
      writeFileSync(join(folder, "src", "model", "zap.ts"), `import { a } from "../abi/pte.ts";\n`);
      const { status, stderr } = check();
      expect([status, stderr]).toEqual([0, ""]);
    });
  });
});
