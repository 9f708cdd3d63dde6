// The tool killed while it attaches; `npm run harmless` does it a thousand times.
import { expect, test } from "vitest";
import { harmless } from "../../scripts/harmless.mjs";
import { lacking } from "../support/requirement.ts";

const ROUNDS = 100;
/** A round takes a tenth of a second, mostly Node's start; the machine may be busy. */
const TIMEOUT_MS = 300_000;

test("no target notices that the tool is killed, wherever", { timeout: TIMEOUT_MS }, async (context) => {
  const seed = Math.floor(Math.random() * 2 ** 31) + 1;
  const result = await harmless({ rounds: ROUNDS, seed }).catch((error: Error) => {
    throw new Error(`${error.message}\nagain: node scripts/harmless.mjs --rounds ${ROUNDS} --seed ${seed}`);
  });
  if ("problem" in result) lacking(context, result.problem);
  expect(result.rounds).toHaveLength(ROUNDS);
  // Every point was reached, and the kills were where they were to be: only there can a descriptor be left
  // over.
  const killedAt = new Map(result.points.map((point) => [point, 0]));
  let leftOver = 0;
  for (const { point, leftDescriptors } of result.rounds) {
    killedAt.set(point, (killedAt.get(point) ?? 0) + 1);
    if (/^userfaultfd: |^descriptor/.test(point)) expect(leftDescriptors, point).toBe(1);
    leftOver += leftDescriptors;
  }
  expect([...killedAt].filter(([, times]) => times === 0)).toEqual([]);
  expect(leftOver).toBeGreaterThan(0);
});
