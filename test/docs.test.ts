// The code and the commands in the documents: each does what the text around it says.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commandsWithOutput, elided, fencedBlocks } from "./support/documents.ts";
import { lacking } from "./support/requirement.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TSC = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
const DOCUMENTS = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith(".md"),
);
const blocks = DOCUMENTS.flatMap((document) => {
  const text = readFileSync(join(ROOT, document), "utf8");
  return fencedBlocks(text).map((block) => ({ document, ...block }));
});

/** Runs anywhere; asks the running kernel, of which it needs no privilege. */
const EXAMPLE = "ts run";
const LINUX_EXAMPLE = "ts run linux";
const isExample = (info: string) => info === EXAMPLE || info === LINUX_EXAMPLE;
const IS_LIVE = process.platform === "linux" && process.arch === "x64";

describe("examples in TypeScript", () => {
  const examples = blocks
    .filter(({ info }) => isExample(info))
    .map(({ document, line, info, body }) => ({
      title: `${document}:${line}`,
      needsLinux: info === LINUX_EXAMPLE,
      stem: `${document.replaceAll(/\W/g, "-")}-${line}`,
      // On the lines where the document has it, so that an error names them.
      source: `${"\n".repeat(line)}${body}export {};\n`,
    }));
  /** In the package, so that its own name leads to what is built. */
  let folder = "";

  beforeAll(() => {
    folder = mkdtempSync(join(ROOT, "dist.docs-"));
    for (const { stem, source } of examples) writeFileSync(join(folder, `${stem}.ts`), source);
    const compilerOptions = {
      target: "es2022",
      module: "nodenext",
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUnusedLocals: true,
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
    const { stdout } = spawnSync(process.execPath, [TSC, "-p", folder], { cwd: folder, encoding: "utf8" });
    expect(stdout, "with the types that the package ships").toBe("");
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.for(examples)("$title runs, and what it asserts holds", ({ stem, needsLinux }, context) => {
    if (needsLinux && !IS_LIVE) lacking(context, "needs Linux on x86-64");
    const { status, stderr } = spawnSync(process.execPath, [join(folder, `${stem}.js`)], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  test("are all run", () => {
    const others = blocks.filter(({ info }) => /^(ts|js)/.test(info) && !isExample(info));
    expect(others.map(({ document, line }) => `${document}:${line}`)).toEqual([]);
    for (const document of ["README.md", "docs/library.md", "docs/live.md"])
      expect(
        examples.some(({ title }) => title.startsWith(document)),
        document,
      ).toBe(true);
  });
});

describe("commands", () => {
  const commands = commandsWithOutput(blocks).map((block) => ({
    title: `${block.document}:${block.line}`,
    ...block,
  }));

  test.each(commands)("$title prints what the document shows", ({ command, output }) => {
    const { stdout, stderr } = spawnSync("sh", ["-c", command], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
    });
    expect(elided(`${stdout}${stderr}`.trimEnd(), output)).toBe(output);
  });

  test("of the guide to the op language are among them", () => {
    expect(commands.filter(({ document }) => document === "docs/op-language.md").length).toBeGreaterThan(4);
  });
});
