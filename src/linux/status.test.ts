import process from "node:process";
import { expect, test } from "vitest";
import { hasCapability, parseStatus, readStatus, readThreadStatuses, statusBytes } from "./status.ts";

test("fields by name", () => {
  const status = parseStatus(
    "Name:\ta:b c\nState:\tZ (zombie)\nVmSwap:\t     12 kB\nGroups:\t \nCapEff:\t0000010000200008\n",
  );
  expect(status).toEqual({
    Name: "a:b c",
    State: "Z (zombie)",
    VmSwap: "12 kB",
    Groups: "",
    CapEff: "0000010000200008",
  });
  expect(statusBytes(status, "VmSwap")).toBe(12 * 1024);
  expect(statusBytes(status, "VmRSS")).toBeUndefined();
  expect(hasCapability(status, "SYS_ADMIN")).toBe(true);
  expect(hasCapability(status, "CHECKPOINT_RESTORE")).toBe(true);
  expect(hasCapability(status, "FOWNER")).toBe(true);
  expect(hasCapability(status, "SYS_PTRACE")).toBe(false);
});

test("this process's own", () => {
  const status = readStatus(process.pid);
  expect(status.Pid).toBe(String(process.pid));
  expect(statusBytes(status, "VmRSS")).toBeGreaterThan(2 ** 20);
});

test("of all threads, this one's among them", () => {
  const statuses = readThreadStatuses(process.pid);
  expect(statuses.get(process.pid)?.Tgid).toBe(String(process.pid));
  expect(statuses.size).toBeGreaterThan(1); // Node's own
});
