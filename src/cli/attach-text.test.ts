// What attach tells, of an attachment to a process of the model.
import { describe, expect, test } from "vitest";
import { Kernel, MemorySwapDevice } from "../model/index.ts";
import { Attachment, type AttachmentPass } from "../residency/attachment.ts";
import { ModelTarget } from "../residency/model-target.ts";
import { ModelWriteProtection } from "../residency/model-write-protection.ts";
import {
  addPass,
  attachedEvent,
  attachedLines,
  endEvent,
  NO_TOTALS,
  newsLines,
  PASS_HEADER,
  passEvent,
  passLine,
  planLines,
  summaryLines,
} from "./attach-text.ts";

const PAGE = 4096;
const TIME = new Date(2030, 0, 1, 12, 34, 56);

function attachedProcess() {
  const kernel = new Kernel({ profile: "linux-6.18", swap: [new MemorySwapDevice({ slots: 1024 })] });
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 64 });
  const memory = process.mmap({ lengthBytes: 64 * PAGE, object, shared: true, write: true });
  const store = (first: number, pages: number) => {
    for (let page = first; page < first + pages; page++) process.storeU64(memory + page * PAGE, 7n);
  };
  store(0, 32);
  const target = new ModelTarget(kernel, process);
  const attachment = new Attachment({ target, protection: new ModelWriteProtection(process) });
  const attached = { pid: target.pid, name: target.name, kernel: target.kernel, thread: 5, stoppedMs: 0.875 };
  return { kernel, process, object, memory, store, target, attachment, attached };
}

/** The numbers of a line, by the titles of the header. */
function numbersOf(pass: AttachmentPass): Record<string, string> {
  const cells = passLine(pass, TIME).trim().split(/ +/);
  const titles = PASS_HEADER.replace("in swap", "in-swap").trim().split(/ +/);
  return Object.fromEntries(titles.map((title, i) => [title, cells[i]]));
}

describe("attach tells", () => {
  test("what it will do, and what that costs", () => {
    const { target, attached } = attachedProcess();
    const mappings = target.mappings();
    const lines = planLines(attached, mappings, ["the kernel has a fault"]);
    expect(lines[0]).toBe(`attaching to process 1 (process 1): 1 mapping of shared memory, 256 KiB`);
    expect(lines[1]).toBe(
      `  ${mappings[0].start.toString(16)}-${mappings[0].end.toString(16)} object 1 (256 KiB)`,
    );
    expect(lines.join("\n")).toContain("write-protect fault");
    expect(lines.at(-1)).toBe("Warning: the kernel has a fault");
  });

  test("what each pass saw, under a header as wide as the lines", () => {
    const { attachment, attached, process, memory, store, object } = attachedProcess();
    const first = attachment.pass();
    expect(attachedLines(attached, first)).toEqual([
      expect.stringMatching(/^attached: thread 5 was stopped for 0\.88 ms; armed 128 KiB in /),
    ]);

    process.madvise(memory, 20 * PAGE, "PAGEOUT");
    const second = attachment.pass();
    expect(numbersOf(second)).toMatchObject({
      time: "12:34:56",
      out: "20",
      in: "0",
      written: "0",
      "in-swap": "20",
    });
    expect(passLine(second, TIME)).toHaveLength(PASS_HEADER.length);

    store(0, 5); // back, and written
    object.pread(new Uint8Array(PAGE), 6 * PAGE); // back, under its marker
    const third = attachment.pass();
    expect(numbersOf(third)).toMatchObject({
      out: "0",
      in: "6",
      written: "5",
      armed: "5",
      stale: "1",
      "in-swap": "14",
    });
  });

  test("how much is in memory that the process does not map, where there are no markers", () => {
    const { process, kernel, attached } = attachedProcess();
    const child = process.fork(); // has no page tables of shared memory yet
    const target = new ModelTarget(kernel, child);
    const attachment = new Attachment({ target, protection: new ModelWriteProtection(child) });
    expect(attachedLines(attached, attachment.pass())).toEqual([
      expect.stringContaining("armed 0 B"),
      expect.stringContaining("another 128 KiB are in memory and not mapped"),
      expect.anything(),
    ]);
  });

  test("mappings that come and go, and what is left out", () => {
    const { attachment, process, memory, object } = attachedProcess();
    attachment.pass();
    process.munmap(memory, 64 * PAGE);
    const again = process.mmap({ lengthBytes: 8 * PAGE, object, shared: true, write: true });
    const pass = attachment.pass();
    const skipped = [{ mapping: pass.appeared[0], reason: "it has guard regions" }];
    expect(newsLines(pass, skipped)).toEqual([
      expect.stringMatching(`^gone: ${memory.toString(16)}-`),
      expect.stringMatching(`^new, attached too: ${again.toString(16)}-`),
      expect.stringMatching(/^left out: .*: it has guard regions$/),
    ]);
  });

  test("what it was in the end", () => {
    const { attachment, attached, process, memory, store } = attachedProcess();
    attachment.pass();
    process.madvise(memory, 20 * PAGE, "PAGEOUT");
    let totals = addPass(NO_TOTALS, attachment.pass(), 2);
    store(0, 5);
    totals = addPass(totals, attachment.pass(), 4);
    expect(summaryLines(attached, totals, "detached")).toEqual([
      "detached: nothing is left in the process; after 4 s, 2 passes:",
      "  20 pages swapped out, 5 swapped in, 5 written, 0 stale markers taken away",
      "  it cost: a stop of 0.88 ms, 5 write-protect faults at most",
    ]);
    expect(summaryLines(attached, totals, "ended")[0]).toBe(
      "process 1 (process 1) has ended, or runs another program; after 4 s, 2 passes:",
    );
  });

  test("the same as JSON", () => {
    const { attachment, attached, process, memory } = attachedProcess();
    const parsed = (event: object) => JSON.parse(JSON.stringify(event));
    const first = parsed(attachedEvent(attached, attachment.pass(), TIME));
    expect(first).toMatchObject({ event: "attached", ...attached, armed: 32, inSwap: 0, skipped: [] });
    expect(first.mappings).toEqual([
      {
        start: `0x${memory.toString(16)}`,
        end: `0x${(memory + 64 * PAGE).toString(16)}`,
        object: "object 1",
      },
    ]);
    process.madvise(memory, 20 * PAGE, "PAGEOUT");
    const pass = attachment.pass();
    expect(parsed(passEvent(pass, TIME))).toMatchObject({
      event: "pass",
      time: TIME.toISOString(),
      ...{ swappedOut: 20, swappedIn: 0, written: 0, healed: 0, inSwap: 20, appeared: [], vanished: [] },
    });
    const end = parsed(endEvent(attached, addPass(NO_TOTALS, pass, 2), "detached"));
    expect(end).toMatchObject({ event: "detached", passes: 1, seconds: 2, swappedOut: 20, stoppedMs: 0.875 });
  });
});
