import { readFileSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import { CpuPin } from "./cpu-pin.ts";

/** Where the kernel lets this process's main thread run. */
function allowed(): string {
  const status = readFileSync(`/proc/${process.pid}/status`, "utf8");
  return /^Cpus_allowed_list:\t(.*)$/m.exec(status)![1];
}

test("the thread stays on its CPU, and may go anywhere afterwards", () => {
  const before = allowed();
  const pin = new CpuPin();
  expect(allowed()).toBe(String(pin.cpu));
  pin[Symbol.dispose]();
  expect(allowed()).toBe(before);
  pin[Symbol.dispose]();
  expect(allowed()).toBe(before);
});
