import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Guard } from "./guard.ts";
import { holdSetting, readSetting } from "./setting.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-setting-"));
  path = join(folder, "a setting");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const contents = () => readFileSync(path, "utf8");

test("a setting is read as it stands, or as the choice in brackets", () => {
  writeFileSync(path, "3\n");
  expect(readSetting(path)).toBe("3");
  writeFileSync(path, "always within_size advise [never] deny force\n");
  expect(readSetting(path)).toBe("never");
});

test("a held setting gets its old value back when the guard is disposed of", () => {
  writeFileSync(path, "3\n");
  const guard = Guard.start();
  holdSetting(guard, { path, value: "0" });
  expect(contents()).toBe("0");
  guard[Symbol.dispose]();
  expect(contents()).toBe("3\n");
});

test("one that has the value already is left alone, and changes by others with it", () => {
  writeFileSync(path, "0\n");
  const guard = Guard.start();
  holdSetting(guard, { path, value: "0" });
  writeFileSync(path, "7");
  guard[Symbol.dispose]();
  expect(contents()).toBe("7");
});

test("one that can't be set is an error, and nothing is left to undo", () => {
  const guard = Guard.start();
  expect(() => holdSetting(guard, { path: join(folder, "none"), value: "0" })).toThrow(/ENOENT/);
  guard[Symbol.dispose]();
});
