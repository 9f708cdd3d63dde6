import { spawnSync } from "node:child_process";
import process from "node:process";
import { expect, test } from "vitest";
import { lacking } from "../../test/support/requirement.ts";
import { startUnfit, TargetFolder } from "../../test/support/target.mjs";
import { isNativeProgram } from "./program.ts";

test("this process", () => {
  expect(isNativeProgram(process.pid)).toBe(true);
});

test("a program for 32-bit x86", async (context) => {
  using folder = new TargetFolder();
  const flags = ["-m32", "-static", "-nostdlib", "-O1", "-fno-pie", "-no-pie", "-fno-stack-protector"];
  const compiled = folder.compile("sleep-without-libc", flags);
  if ("problem" in compiled) lacking(context, compiled.problem);
  await using unfit = await startUnfit(compiled.program, "");
  expect(isNativeProgram(unfit.pid)).toBe(false);
});

test("a process that has ended", () => {
  const { pid } = spawnSync("/bin/true");
  expect(() => isNativeProgram(pid)).toThrow(/exe: ESRCH/);
});
