import { describe, expect, test } from "vitest";
import { makeConfig } from "../model/index.ts";
import { createModelMachine, parseProgram, runProgram } from "../script/index.ts";
import { configOf, reasonsFor, runSubset, subsets, verdictOf } from "./series.ts";

const results = subsets().map((patches) => runSubset(patches));

function resultOf(...patches: number[]) {
  const found = results.find((result) => result.patches.join() === patches.join());
  if (found === undefined) throw new Error(`no result for ${patches}`);
  return found;
}

test("the subsets are those that can exist: no handling or installing of what is not there", () => {
  expect(subsets().map((patches) => patches.join(""))).toEqual([
    "",
    "1",
    "2",
    "12",
    "13",
    "14",
    "123",
    "124",
    "134",
    "1234",
  ]);
  for (const patches of subsets()) expect(() => makeConfig("rfc", configOf(patches))).not.toThrow();
});

describe("the series", () => {
  test("works when it is whole", () => {
    expect(verdictOf(resultOf(1, 2, 3, 4))).toBe("works");
    expect(resultOf(1, 2, 3, 4).functional?.pass).toBe(true);
  });

  test.each([[[]], [[1]], [[2]], [[1, 2]], [[1, 3]], [[1, 2, 3]]])(
    "changes nothing with %j: the bit is lost",
    (patches) => {
      const result = resultOf(...patches);
      expect(verdictOf(result)).toBe("changes nothing");
      expect(result.functional?.rows.filter(({ swap }) => swap === 1)).toEqual([]);
      expect(result.wrong.map((finding) => finding.class)).toContain("no-marker");
    },
  );

  test.each([[[1, 4]], [[1, 2, 4]]])(
    "breaks with %j: markers are bad PTEs, and outlive a hole",
    (patches) => {
      const result = resultOf(...patches);
      expect(result.stopped).toContain("SIGBUS");
      expect(result.broken.map((finding) => finding.class)).toEqual(["bad-pte"]);
      expect(result.wrong.map((finding) => finding.class)).toContain("marker-on-hole");
    },
  );

  test("breaks without the second patch: a fault never ends, and the program that shows it does not hang", () => {
    const result = resultOf(1, 3, 4);
    expect(result.stopped).toContain("it would be retried for ever");
    const [finding] = result.broken;
    expect(finding.class).toBe("endless-fault");
    const text = [...finding.prelude, ...finding.lines].join("\n");
    const machine = createModelMachine({ profile: "rfc", config: configOf([1, 3, 4]) });
    expect(() => [...runProgram(parseProgram(text, { file: "found" }), machine)]).toThrow("retried for ever");
  });

  test("has a reason for each patch", () => {
    expect(reasonsFor(results).map(({ without, result }) => [without, verdictOf(result)])).toEqual([
      [[2], "changes nothing"],
      [[1, 3, 4], "breaks"],
      [[1, 2, 4], "breaks"],
      [[1, 2, 3], "changes nothing"],
    ]);
  });
});
