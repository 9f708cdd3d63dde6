import fc from "fast-check";
import { expect, test } from "vitest";
import { ARMED, HOLE, MARKED, PRESENT, STALE, SWAPPED, WRITTEN } from "../residency/page-state.ts";
import { pageRuns } from "./page-runs.ts";

test("pages that are alike are one run; flags part runs", () => {
  const states = Uint8Array.of(PRESENT, PRESENT, PRESENT | ARMED, SWAPPED | MARKED, HOLE | MARKED | STALE);
  expect([...pageRuns(states)]).toEqual([
    { first: 0, pages: 2, state: "present", flags: [] },
    { first: 2, pages: 1, state: "present", flags: ["armed"] },
    { first: 3, pages: 1, state: "swapped", flags: ["marked"] },
    { first: 4, pages: 1, state: "hole", flags: ["marked", "stale"] },
  ]);
  expect([...pageRuns(Uint8Array.of(PRESENT | WRITTEN))][0].flags).toEqual(["written"]);
  expect([...pageRuns(new Uint8Array(0))]).toEqual([]);
});

test("runs cover all pages, in order, and neighbours differ", () => {
  fc.assert(
    fc.property(fc.uint8Array({ max: 127, maxLength: 200 }), (states) => {
      let next = 0;
      let before = "";
      for (const { first, pages, state, flags } of pageRuns(states)) {
        expect(first).toBe(next);
        next += pages;
        const look = [state, ...flags].join(" ");
        expect(look).not.toBe(before);
        before = look;
      }
      expect(next).toBe(states.length);
    }),
  );
});
