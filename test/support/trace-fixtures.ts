// The recorded traces that the project ships, for tests.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export const TRACE_FOLDER = fileURLToPath(new URL("../fixtures/traces", import.meta.url));

/** Every shipped trace as its line of text, with the file and line where it stands. */
export function* recordedLines(): Generator<{ file: string; line: number; text: string }> {
  for (const file of readdirSync(TRACE_FOLDER)
    .filter((name) => name.endsWith(".jsonl.gz"))
    .sort()) {
    const lines = gunzipSync(readFileSync(join(TRACE_FOLDER, file)))
      .toString("utf8")
      .trimEnd()
      .split("\n");
    for (const [index, text] of lines.entries()) yield { file, line: index + 1, text };
  }
}
