import { open, rename, rm } from "node:fs/promises";
import process from "node:process";
import { InputError } from "./errors.ts";

/** Writes a file that is whole or not there: whoever reads it meanwhile sees what it was before. */
export async function writeWhole(file: string, parts: readonly Uint8Array[]): Promise<void> {
  const fresh = `${file}.${process.pid}`;
  try {
    const handle = await open(fresh, "w");
    try {
      for (const part of parts) await handle.writeFile(part);
    } finally {
      await handle.close();
    }
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true });
    throw new InputError(
      `${file}: can't be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
