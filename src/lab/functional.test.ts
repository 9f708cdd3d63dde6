import { describe, expect, test } from "vitest";
import { ToyMachine } from "../../test/support/toy-machine.ts";
import { formatFunctionalRow, runFunctionalTest } from "./functional.ts";

describe("the functional test", () => {
  test("passes on a machine with page-out markers", () => {
    const { pass, rows } = runFunctionalTest(new ToyMachine());
    expect(pass).toBe(true);
    expect(rows.map(({ step, expect, present, swap }) => [step, expect, present, swap])).toEqual([
      ["FAULT1", 0, 1, 0],
      ["PAGEOUT", 1, 0, 1],
      ["FAULT2", 0, 1, 0],
      ["REMOVE", 0, 0, 0],
      ["PAGEOUT", 1, 0, 1],
      ["REMOVE", 0, 0, 0],
    ]);
  });

  test("fails on one without: the swap bit is never set", () => {
    const { pass, rows } = runFunctionalTest(new ToyMachine({ forgetsMarkers: "always" }));
    expect(pass).toBe(false);
    expect(rows.map(({ swap }) => swap)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("says so where an op is refused", () => {
    const machine = new ToyMachine({ refuses: { kind: "madvise", errno: "EINVAL" } });
    expect(() => runFunctionalTest(machine)).toThrow(
      'the functional test cannot be run here: "madvise A v0 0 1 PAGEOUT" failed with EINVAL',
    );
  });

  test("prints its rows as the RFC does", () => {
    const { rows } = runFunctionalTest(new ToyMachine());
    expect(rows.slice(0, 2).map(formatFunctionalRow)).toEqual([
      "       FAULT1 (expect swap==0): present bit 1, swap bit 0",
      "      PAGEOUT (expect swap==1): present bit 0, swap bit 1",
    ]);
  });
});
