import { createReadStream, type ReadStream, statSync } from "node:fs";
import process from "node:process";
import { pipeline } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { createGunzip } from "node:zlib";
import { type Place, parseTrace, ScriptError, type Trace } from "../script/index.ts";

export interface PlacedTrace {
  readonly trace: Trace;
  readonly place: Place;
}

/** Recorded traces in files (`.jsonl`, `.jsonl.gz`; `-` is standard input), read as they are asked for. */
export class TraceFiles {
  /** Of all files together, as they lie on the disk. */
  readonly sizeBytes: number;
  readonly #files: readonly string[];
  readonly #every: number;
  #finishedBytes = 0;
  #open: ReadStream | undefined;

  /**
   * @param options.every take only the first, and every so manyth, trace of each file
   * @throws {ScriptError} if one of the files isn't there
   */
  constructor(files: readonly string[], { every = 1 }: { readonly every?: number } = {}) {
    this.#files = files;
    this.#every = every;
    this.sizeBytes = files.reduce((sum, file) => sum + (file === "-" ? 0 : sizeOf(file)), 0);
  }

  /** How much of the files has been read. */
  get readBytes(): number {
    return this.#finishedBytes + (this.#open?.bytesRead ?? 0);
  }

  /** @throws {ScriptError} at the first line that is no trace, or where the file is cut short */
  async *[Symbol.asyncIterator](): AsyncGenerator<PlacedTrace> {
    for (const file of this.#files) {
      let line = 0;
      let traces = 0;
      const name = file === "-" ? "stdin" : file;
      try {
        for await (const text of linesOf(this.#chunksOf(file))) {
          line++;
          if (text.trim() === "" || traces++ % this.#every !== 0) continue;
          const place = { file: name, line };
          yield { trace: parseTrace(text, place), place };
        }
      } catch (error) {
        throw error instanceof ScriptError ? error : unreadable(name, error, line);
      }
      if (traces === 0) {
        const mend = "name a file with one recorded trace a line";
        throw new ScriptError({ file: name }, { problem: "the file has no trace", mend });
      }
      this.#finishedBytes += this.#open?.bytesRead ?? 0;
      this.#open = undefined;
    }
  }

  #chunksOf(file: string): AsyncIterable<Buffer> {
    if (file === "-") return process.stdin;
    this.#open = createReadStream(file);
    if (!file.endsWith(".gz")) return this.#open;
    return pipeline(this.#open, createGunzip({ chunkSize: 2 ** 18 }), () => {}); // an error also ends the iteration
  }
}

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  rest += decoder.end();
  if (rest !== "") yield rest;
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Why a file can't be read, with the mend; `line` lines of it could. */
export function unreadable(file: string, error: unknown, line = 0): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const mends: Readonly<Record<string, readonly [problem: string, mend: string]>> = {
    ENOENT: ["there is no such file", "check the path"],
    EISDIR: ["this is a folder", "name the files in it"],
    EACCES: ["you may not read this file", "change its permissions"],
    Z_BUF_ERROR: [`the compressed file is cut short after line ${line}`, "get it again"],
    Z_DATA_ERROR: [
      `the compressed file is damaged after line ${line} (${message})`,
      "get it again, or take .gz from its name if it isn't compressed",
    ],
  };
  const known = mends[code ?? ""];
  if (!known) return error as Error;
  return new ScriptError({ file }, { problem: known[0], mend: known[1] });
}
