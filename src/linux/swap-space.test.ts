import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { checkSwapSize, writeSwapHeader } from "./swap-space.ts";

const SIZE_BYTES = 64 * 4096;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ptemark-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function blank(name: string): string {
  const path = join(folder, name);
  closeSync(openSync(path, "w", 0o600));
  truncateSync(path, SIZE_BYTES);
  return path;
}

test("the header is mkswap's, but for the label", (context) => {
  const theirs = blank("theirs");
  const zeroUuid = "00000000-0000-0000-0000-000000000000";
  const made = spawnSync("mkswap", ["--uuid", zeroUuid, "--label", "ptemark", theirs]);
  if (made.status !== 0) lacking(context, "needs mkswap (util-linux)");
  const ours = blank("ours");
  writeSwapHeader(ours, SIZE_BYTES);
  expect(readFileSync(ours).equals(readFileSync(theirs))).toBe(true);
});

test("a size that is no whole number of pages, or too small, is refused", () => {
  expect(() => checkSwapSize(SIZE_BYTES)).not.toThrow();
  for (const size of [SIZE_BYTES + 1, 4096, 0, -4096, Number.NaN]) {
    expect(() => checkSwapSize(size)).toThrow(`sizeBytes is ${size}`);
  }
});
