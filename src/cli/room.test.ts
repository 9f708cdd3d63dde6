import { expect, test } from "vitest";
import { InputError } from "./errors.ts";
import { checkRoom } from "./room.ts";

test("what fits is let pass, what does not is refused with the estimate", () => {
  expect(() => checkRoom("--size", 1)).not.toThrow();
  expect(() => checkRoom("--size", 2 ** 40)).toThrow(InputError);
  expect(() => checkRoom("--size", 2 ** 40)).toThrow(
    /^--size: it takes about 29360128\.0 GiB of memory, and [\d.]+ GiB are free$/,
  );
});
