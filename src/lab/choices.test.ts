import { describe, expect, test } from "vitest";
import { type Choices, inAllWays, RandomChoices, ReplayChoices, ReplayError } from "./choices.ts";

/** Two digits, the second up to the first, and a letter after some. */
function scenario(choices: Choices): string {
  const first = choices.choose(3);
  const second = choices.choose(first + 1);
  return `${first}${second}${second === 1 ? "ab"[choices.choose(2)] : ""}`;
}

describe("all ways", () => {
  test("are each taken once, in order, though later choices depend on earlier ones", () => {
    const seen: string[] = [];
    expect(inAllWays((choices) => seen.push(scenario(choices)))).toBe(8);
    expect(seen).toEqual(["00", "10", "11a", "11b", "20", "21a", "21b", "22"]);
  });

  test("of a scenario without choices are one", () => {
    expect(inAllWays(() => {})).toBe(1);
  });

  test("of a scenario that depends on more than its choices are refused", () => {
    let calls = 0;
    const unfair = (choices: Choices): void => {
      choices.choose(++calls);
      choices.choose(2);
    };
    expect(() => inAllWays(unfair)).toThrow(
      "choice 1 was of 1 and is of 2 now: the scenario depends on more",
    );
  });
});

describe("random choices", () => {
  test("are the same for the same seed, others for another", () => {
    const draw = (seed: number): number[] => {
      const choices = new RandomChoices(seed);
      return Array.from({ length: 40 }, () => choices.choose(10));
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(new Set(draw(7)).size).toBeGreaterThan(5);
  });

  test("follow their weights; what weighs nothing is not taken", () => {
    const choices = new RandomChoices(1, [3, 0, 1]);
    const counts = [0, 0, 0];
    for (let i = 0; i < 4000; i++) counts[choices.choose(3)]++;
    expect(counts[1]).toBe(0);
    expect(counts[0] / counts[2]).toBeGreaterThan(2.6);
    expect(counts[0] / counts[2]).toBeLessThan(3.4);
    expect(new RandomChoices(1, [0, 0]).choose(2)).toBeLessThan(2);
  });

  test("can be replayed", () => {
    const random = new RandomChoices(11);
    const was = scenario(random);
    expect(scenario(new ReplayChoices(random.taken))).toBe(was);
  });
});

test.each([
  [[2], "the replay has 1 choices, and one more is asked for"],
  [[3, 0], "choice 1 of the replay is 3: here it must be 0 to 2"],
])("a replay %j that does not fit is refused", (taken, message) => {
  expect(() => scenario(new ReplayChoices(taken))).toThrow(new ReplayError(message));
});
