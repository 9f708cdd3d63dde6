import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Guard, quoted, retried } from "./guard.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-it's a test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("commands run at dispose, the last added first, and not before", () => {
  const log = join(folder, "log");
  const guard = Guard.start();
  guard.add(`echo one >> ${quoted(log)}`);
  guard.add(`echo two >> ${quoted(log)}`);
  expect(existsSync(log)).toBe(false);
  guard[Symbol.dispose]();
  expect(readFileSync(log, "utf8")).toBe("two\none\n");
  guard[Symbol.dispose]();
  expect(readFileSync(log, "utf8")).toBe("two\none\n");
});

test("a command that fails does not keep the others from running, and is told", () => {
  const log = join(folder, "log");
  const guard = Guard.start();
  guard.add(`echo one >> ${quoted(log)}`);
  guard.add(`rmdir ${quoted(join(folder, "none"))}`);
  expect(() => guard[Symbol.dispose]()).toThrow(/undoing what was set up: .*none/);
  expect(readFileSync(log, "utf8")).toBe("one\n");
});

test("a retried command runs until it succeeds", () => {
  const tries = join(folder, "tries");
  const guard = Guard.start();
  guard.add(retried(`echo try >> ${quoted(tries)}; echo not yet; [ $(wc -l < ${quoted(tries)}) -eq 3 ]`));
  guard[Symbol.dispose]();
  expect(readFileSync(tries, "utf8")).toBe("try\ntry\ntry\n");
});

test("quoted words stand for themselves", () => {
  for (const word of ["plain", "a b", "it's", '$HOME `id` \\ "', "*"]) {
    const { stdout } = spawnSync("/bin/sh", ["-c", `printf %s ${quoted(word)}`], { encoding: "utf8" });
    expect(stdout).toBe(word);
  }
});
