// A userfaultfd made in running processes that check themselves: none notices.
import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createUserfaultfdIn } from "ptemark/linux";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lacking } from "../support/requirement.ts";
import { SELFCHECK_MODES, SelfCheckingTarget, TargetFolder } from "../support/target.mjs";

const ATTACHES = 25;

let folder: TargetFolder;
let program = "";
let problem = "";

beforeAll(() => {
  folder = new TargetFolder();
  const built = folder.compile("selfcheck");
  if ("program" in built) program = built.program;
  else problem = built.problem;
});

afterAll(() => folder[Symbol.dispose]());

function status(pid: number, field: string): string {
  return new RegExp(`^${field}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

describe("a userfaultfd made in a process that checks itself", () => {
  test.for(SELFCHECK_MODES)("%s", async (mode, context) => {
    if (problem !== "") lacking(context, problem);
    const target = new SelfCheckingTarget(program, mode);
    try {
      await target.progress();
      const mask = status(target.pid, "SigBlk");
      for (let i = 0; i < ATTACHES; i++) {
        const { fd, thread, stoppedMs } = createUserfaultfdIn(target.pid, { deadlineMs: 10_000 });
        expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("anon_inode:[userfaultfd]");
        closeSync(fd);
        expect(readdirSync(`/proc/${target.pid}/task`)).toContain(String(thread));
        expect(stoppedMs).toBeGreaterThan(0);
        await target.progress(1);
      }
      expect(target.interruptions).toBe(0);
      expect(target.userfaultfds).toBe(0);
      expect(status(target.pid, "TracerPid")).toBe("0");
      if (!["sigsuspend", "signals-altstack"].includes(mode)) expect(status(target.pid, "SigBlk")).toBe(mask);
    } finally {
      await target.stop();
    }
  });
});
