/** What is wrong with PM_SWAP on the real kernel with the RFC, as its recorded traces show it. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { parseTrace } from "../script/index.ts";
import { type Accuracy, judgeTrace } from "./accuracy.ts";
import type { ErrorCause } from "./error-cause.ts";

/** Recorded on 6.1 with the RFC ported; they come with the package. */
const FILES = ["rfc.jsonl.gz", "rfc-more.jsonl.gz"];
const TRACES = new URL("../../test/fixtures/traces/", import.meta.url);

export interface RecordedCause {
  readonly cause: ErrorCause;
  /** In how many traces it is seen, and the id of the first. */
  readonly traces: number;
  readonly firstTrace: string;
  readonly errors: number;
}

export interface RecordedAccuracy {
  readonly traces: number;
  readonly steps: number;
  readonly causes: readonly RecordedCause[];
}

/** Judges every recorded trace. */
export function judgeRecordedTraces(onTrace?: (done: number) => void): RecordedAccuracy {
  const causes = new Map<ErrorCause, RecordedCause>();
  let traces = 0;
  let steps = 0;
  for (const name of FILES) {
    const text = gunzipSync(readFileSync(new URL(name, TRACES))).toString("utf8");
    for (const [index, line] of text.split("\n").entries()) {
      if (line === "") continue;
      const trace = parseTrace(line, { file: name, line: index + 1 });
      addCauses(causes, trace.id, judgeTrace(trace, "marker"));
      traces++;
      steps += trace.steps.length;
      onTrace?.(traces);
    }
  }
  return { traces, steps, causes: [...causes.values()].sort((a, b) => b.traces - a.traces) };
}

function addCauses(causes: Map<ErrorCause, RecordedCause>, id: string, accuracy: Accuracy): void {
  for (const { cause, errors } of accuracy.causes) {
    const known = causes.get(cause);
    causes.set(cause, {
      cause,
      traces: (known?.traces ?? 0) + 1,
      firstTrace: known?.firstTrace ?? id,
      errors: (known?.errors ?? 0) + errors,
    });
  }
}
