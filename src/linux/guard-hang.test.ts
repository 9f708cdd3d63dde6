import process from "node:process";
import { expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { tryGuardOverArmedPage } from "./guard-hang.ts";
import { LinuxError } from "./linux-error.ts";
import { listPids } from "./procfs.ts";
import { readStatus } from "./status.ts";

function children(): string[] {
  return listPids().flatMap((pid) => {
    try {
      const { PPid, Name = "" } = readStatus(pid);
      return PPid === String(process.pid) ? [Name] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

test("gets an answer, and leaves no process behind", (context) => {
  const before = children();
  let outcome: string;
  try {
    outcome = tryGuardOverArmedPage();
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    lacking(context, `userfaultfd and ptrace of a child: ${error.message}`);
  }
  expect(["done", "hangs", "refused"]).toContain(outcome);
  expect(children()).toEqual(before);
});
