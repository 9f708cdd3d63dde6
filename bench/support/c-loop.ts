/** Reading entries of pagemap in C, compiled on the spot, by the same rules as src/residency/page-table-look.ts. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";

const SOURCE = `
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

enum { PRESENT = 1, ARMED = 1 << 3, MARKED = 1 << 6, ASK = 1 << 7 };

void classify(const uint64_t *entries, size_t pages, uint8_t *states, uint64_t marker, uint64_t guard, uint64_t type) {
  for (size_t i = 0; i < pages; i++) {
    uint64_t entry = entries[i];
    if (entry >> 63)
      states[i] = PRESENT | (entry >> 57 & 1 ? ARMED : 0);
    else if ((entry & (marker | guard)) == marker && (entry & 31) == type)
      states[i] = ASK | MARKED;
    else
      states[i] = ASK;
  }
}

/* Returns how many pages were read. */
size_t look(int fd, size_t first, size_t pages, uint64_t *chunk, size_t chunk_pages, uint8_t *states,
            uint64_t marker, uint64_t guard, uint64_t type) {
  for (size_t at = 0; at < pages;) {
    size_t wanted = pages - at < chunk_pages ? pages - at : chunk_pages;
    ssize_t got = pread(fd, chunk, wanted * 8, (first + at) * 8);
    if (got <= 0) return at;
    classify(chunk, got / 8, states + at, marker, guard, type);
    at += got / 8;
  }
  return pages;
}
`;

/** What a marker looks like: bits of the high word, and its swap type. */
export interface MarkerLook {
  readonly markerFlags: number;
  readonly guardFlag: number;
  readonly markerType: number;
}

export interface CLoop {
  classify(entries: Uint32Array, pages: number, states: Uint8Array): void;
  /** Reads pagemap and classifies, a chunk at a time. */
  look(fd: number, firstPage: number, chunk: Uint32Array, states: Uint8Array): void;
}

/** undefined: there is no C compiler. */
export function compileCLoop({ markerFlags, guardFlag, markerType }: MarkerLook): CLoop | undefined {
  const folder = mkdtempSync(join(tmpdir(), "ptemark-bench-"));
  try {
    const source = join(folder, "loop.c");
    const object = join(folder, "loop.so");
    writeFileSync(source, SOURCE);
    execFileSync("cc", ["-O2", "-shared", "-fPIC", "-o", object, source], { stdio: "pipe" });
    const library = koffi.load(object);
    const rules = "uint64_t marker, uint64_t guard, uint64_t type";
    const classify = library.func(`void classify(void *entries, size_t pages, void *states, ${rules})`);
    const look = library.func(
      `size_t look(int fd, size_t first, size_t pages, void *chunk, size_t chunkPages, void *states, ${rules})`,
    );
    const marker = BigInt(markerFlags >>> 0) << 32n;
    const guard = BigInt(guardFlag >>> 0) << 32n;
    return {
      classify: (entries, pages, states) => classify(entries, pages, states, marker, guard, markerType),
      look: (fd, firstPage, chunk, states) => {
        const pages = states.length;
        const got = look(fd, firstPage, pages, chunk, chunk.length / 2, states, marker, guard, markerType);
        if (Number(got) !== pages) throw new Error("pagemap ended early");
      },
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
