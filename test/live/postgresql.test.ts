/** PostgreSQL that nobody prepared: which of its shared buffers are swapped out. */
import { expect, test } from "vitest";
import { ZramSwap } from "../../src/linux/zram.ts";
import { expectAgreement, expectCommandAgrees, whenAtRest } from "../support/agreement.ts";
import { LIVE_TIMEOUT_MS, LOCK_WAIT_MS, needs, needsMemoryCgroup, needsZram } from "../support/live.ts";
import { PostgresServer } from "../support/postgresql.ts";

const MIB = 1 << 20;

test.for([
  { type: "mmap", name: /^shared anonymous$/ },
  { type: "sysv", name: /^SYSV 0x/ },
])(
  "shared buffers, shared_memory_type=$type",
  {
    timeout: LIVE_TIMEOUT_MS,
  },
  async ({ type, name }, context) => {
    needsZram(context);
    needsMemoryCgroup(context);
    needs(context, PostgresServer.obstacle());
    using _zram = await ZramSwap.create({ sizeBytes: 512 * MIB, waitMs: LOCK_WAIT_MS });
    using server = await PostgresServer.start({
      shared_buffers: "256MB",
      shared_memory_type: type,
      huge_pages: "off",
      max_parallel_workers_per_gather: "0",
    });
    const { confined } = server;
    // 200 MB of a table in the buffers; a limit pages some of them out, a query brings some of these back.
    await server.query(`
    create unlogged table filled as select n, repeat(md5(n::text), 60) as text from generate_series(1, 100000) n;
    create extension pg_prewarm;`);
    expect(Number(await server.query("select pg_prewarm('filled')"))).toBeGreaterThan(24_000);
    confined.cgroup.setLimit(144 * MIB);
    confined.cgroup.setLimit(224 * MIB);
    expect(await server.query("select count(*), sum(length(text)) from filled where ctid < '(5000,0)'")).toBe(
      "20000|38400000",
    );

    await server.pause();
    const pids = confined.pids();
    expect(pids.length).toBeGreaterThanOrEqual(4);
    for (const pid of pids) {
      const scans = whenAtRest(() => {
        const agreed = expectAgreement(pid);
        if (pid === confined.pid) expectCommandAgrees(pid, agreed);
        return agreed;
      });
      const buffers = scans.find(({ mapping, states }) => name.test(mapping.name) && states.length > 65_536);
      expect(buffers?.counts.swapped).toBeGreaterThan(5000);
      expect(buffers?.counts.swapped).toBeLessThan(45_000);
      expect(buffers?.counts.unknown).toBe(0);
    }
    confined.resume();
    // It lives on, and its buffers hold what they held.
    expect(await server.query("select count(*), sum(length(text)) from filled")).toBe("100000|192000000");
  },
);
