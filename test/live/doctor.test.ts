// `ptemark doctor` on this machine: what it finds, what it says of it, and its exit codes.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { release } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ptemark } from "../support/cli.ts";
import { needsRoot } from "../support/live.ts";

const NOBODY = ["setpriv", "--reuid", "65534", "--clear-groups"];

describe("the machine", () => {
  test("a line a finding, and a verdict on each command", () => {
    const { status, stdout, stderr } = ptemark(["doctor"]);
    expect(stderr).toBe("");
    expect(stdout).toMatch(
      new RegExp(`^Linux ${release().replaceAll(".", "\\.")}\n✓ pagemap +/proc/PID/pagemap`),
    );
    expect(stdout).toMatch(/\nscan: (yes|in part)/);
    expect(stdout).toMatch(/\nattach: (yes|in part|no)/);
    expect(status).toBe(stdout.includes("attach: no") ? 1 : 0);
  });

  test("what is missing has its cost, and how to get it", () => {
    const { stdout } = ptemark(["doctor", "--json"]);
    const { kernel, findings } = JSON.parse(stdout);
    expect(kernel).toBe(release());
    for (const { name, available, reason, cost, remedy } of findings) {
      expect([name, typeof available, reason, cost, remedy]).not.toContain("");
    }
  });

  test("without privileges, scan works in part", (context) => {
    needsRoot(context);
    const { scan, findings } = JSON.parse(ptemark(["doctor", "--json"], { wrapper: NOBODY }).stdout);
    expect(scan.possible).toBe("in part");
    for (const name of [
      "map_files",
      "other users' processes",
      "other users' objects",
      "swap entries shown",
    ]) {
      expect(findings).toContainEqual(expect.objectContaining({ name, available: false }));
      expect(scan.wants).toContain(name);
    }
  });
});

describe("a process", () => {
  let pid = "";
  let end = () => undefined as unknown;
  beforeAll(async () => {
    const child = spawn("/bin/sleep", ["600"]);
    await once(child, "spawn");
    pid = String(child.pid);
    end = () => child.kill("SIGKILL");
  });
  afterAll(() => end());

  test("that can be looked at", () => {
    const { status, stdout } = ptemark(["doctor", pid]);
    expect(stdout).toContain(`Process ${pid} (sleep)\n✓ memory `);
    expect(stdout).toContain("✓ no tracer");
    expect([0, 1]).toContain(status);
  });

  test("of another user: exit code 3, and the privilege that is missing", (context) => {
    needsRoot(context);
    const { status, stdout } = ptemark(["doctor", pid], { wrapper: NOBODY });
    expect(status).toBe(3);
    expect(stdout).toMatch(/✗ ptrace read access .*EACCES/);
    expect(stdout).toContain("CAP_SYS_PTRACE");
    expect(stdout).toContain("scan: no");
  });

  test("that is none: exit code 2", () => {
    const ended = String(spawnSync("/bin/true").pid);
    expect(ptemark(["doctor", ended])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: `ptemark: read /proc/${ended}/comm: ESRCH: there is no process ${ended} (any more)\n`,
    });
    expect(ptemark(["doctor", "postgres"])).toMatchObject({
      status: 2,
      stderr: 'ptemark: "postgres" is no pid; give the number of a process\n',
    });
  });
});
