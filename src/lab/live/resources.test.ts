import { expect, test } from "vitest";
import { Resources } from "./resources.ts";

test("what was taken is given back, last first, once, also if one of them fails to be", () => {
  const given: string[] = [];
  const resource = (name: string, failure?: string): Disposable => ({
    [Symbol.dispose]() {
      given.push(name);
      if (failure !== undefined) throw new Error(failure);
    },
  });
  const resources = new Resources();
  const first = resource("first");
  expect(resources.use(first)).toBe(first);
  resources.use(resource("second", "stuck"));
  resources.use(resource("third", "gone"));
  expect(() => resources[Symbol.dispose]()).toThrow("gone");
  expect(given).toEqual(["third", "second", "first"]);
  resources[Symbol.dispose]();
  expect(given).toHaveLength(3);
});
