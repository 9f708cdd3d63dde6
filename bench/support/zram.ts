/** A zram swap device of our own, for as long as this process lives. See zram-holder.ts for who takes it down. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface ZramSwap {
  readonly algorithm: string;
  readonly path: string;
  /** From /sys/block/zramN/mm_stat: bytes stored, bytes after compression, memory used, and pages stored raw. */
  usage(): { storedBytes: number; compressedBytes: number; memoryBytes: number; rawPages: number };
  close(): Promise<void>;
}

/** Why the running kernel cannot be measured here, or undefined if it can. */
export function whyNoZram(): string | undefined {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "needs root (swapon, zram)";
  if (!existsSync("/sys/class/zram-control/hot_add")) return "no zram in this kernel";
  return undefined;
}

/** Bundled beside the bench by run.mjs. */
const HOLDER = fileURLToPath(new URL("./zram-holder.js", import.meta.url));

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}

export async function openZramSwap(options: { sizeBytes: number; algorithm?: string }): Promise<ZramSwap> {
  const algorithm = options.algorithm ?? "default";
  const child = spawn(process.execPath, [HOLDER, algorithm, String(options.sizeBytes)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const stop = async (): Promise<void> => {
    child.stdin.end();
    await ended(child);
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    // The memory goes with this process, and the holder takes the device down when our end of the pipe closes.
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);

  const firstLine = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`zram holder ended early with code ${code}`)));
  });
  const answer = JSON.parse(firstLine) as { id: number; path: string; algorithm: string; error?: string };
  if (answer.error !== undefined) {
    await stop();
    throw new Error(`cannot set up zram swap: ${answer.error}`);
  }
  return {
    algorithm: answer.algorithm,
    path: answer.path,
    usage() {
      const fields = readFileSync(`/sys/block/zram${answer.id}/mm_stat`, "utf8")
        .trim()
        .split(/\s+/)
        .map(Number);
      const [storedBytes = 0, compressedBytes = 0, memoryBytes = 0] = fields;
      return { storedBytes, compressedBytes, memoryBytes, rawPages: fields[7] ?? 0 };
    },
    close: stop,
  };
}
