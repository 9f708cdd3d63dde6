/**
 * A process that owns one zram swap device: it adds it, switches swap on, says so on stdout, and takes
 * everything back as soon as its stdin closes. The pipe closes however the bench ends (normally, on a signal, by
 * a crash, by SIGKILL), so the device never outlives the bench. Started by zram.ts only:
 *   node zram-holder.js ALGORITHM SIZE_BYTES
 */

import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { swapoff, swapon } from "./libc.ts";

const CONTROL = "/sys/class/zram-control";
const HIGHEST_PRIORITY = 32767;
const PAGE_BYTES = 4096;

/** The swap header of the kernel's include/linux/swap.h (`union swap_header`), version 1. */
function swapHeader(sizeBytes: number): Uint8Array {
  const header = new Uint8Array(PAGE_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(1024, 1, true);
  view.setUint32(1028, sizeBytes / PAGE_BYTES - 1, true);
  header.set(new TextEncoder().encode("ptemark-bench"), 1052);
  header.set(new TextEncoder().encode("SWAPSPACE2"), PAGE_BYTES - 10);
  return header;
}

/** devtmpfs makes the node; where it does not, we do. */
function deviceNode(id: number): { path: string; remove: () => void } {
  const path = `/dev/zram${id}`;
  if (existsSync(path)) return { path, remove: () => {} };
  const directory = mkdtempSync("/tmp/ptemark-bench-zram-");
  const made = `${directory}/zram${id}`;
  const [major, minor] = readFileSync(`/sys/block/zram${id}/dev`, "utf8").trim().split(":");
  execFileSync("mknod", [made, "b", major, minor]);
  return { path: made, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

const undo: Array<() => void> = [];

function takeBack(): void {
  while (undo.length > 0) {
    try {
      undo.pop()?.();
    } catch (error) {
      console.error(`zram-holder: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
}

/** A device that was in use a moment ago may answer EBUSY: udev and the last unmap take their time. */
function removeDevice(id: number): void {
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(`${CONTROL}/hot_remove`, String(id));
      return;
    } catch (error) {
      if (attempt >= 50) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

function setUp(algorithm: string, sizeBytes: number): void {
  const id = Number(readFileSync(`${CONTROL}/hot_add`, "utf8"));
  undo.push(() => removeDevice(id));
  const sys = `/sys/block/zram${id}`;
  if (algorithm !== "default") writeFileSync(`${sys}/comp_algorithm`, algorithm);
  writeFileSync(`${sys}/disksize`, String(sizeBytes));
  const node = deviceNode(id);
  undo.push(node.remove);
  const fd = openSync(node.path, "r+");
  try {
    writeSync(fd, swapHeader(sizeBytes), 0, PAGE_BYTES, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  swapon(node.path, HIGHEST_PRIORITY);
  undo.push(() => swapoff(node.path));
  const used = /\[(.+)\]/.exec(readFileSync(`${sys}/comp_algorithm`, "utf8"))?.[1] ?? algorithm;
  process.stdout.write(`${JSON.stringify({ id, path: node.path, algorithm: used })}\n`);
}

// Ctrl-C reaches the whole process group; the bench decides, and its end closes our stdin.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE"] as const) process.on(signal, () => {});
process.stdin.on("end", takeBack);
process.stdin.on("error", takeBack);
process.stdin.resume();
try {
  setUp(process.argv[2] ?? "default", Number(process.argv[3]));
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
  takeBack();
  process.exitCode = 1;
  process.stdin.destroy();
}
