import { expect, test } from "vitest";
import { swapAreas } from "./linux-host.ts";

test("the swap areas of a machine", () => {
  expect(swapAreas("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")).toEqual([]);
  expect(
    swapAreas(
      "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
        "/dev/zram0                              partition\t1048572\t\t16\t\t32767\n" +
        "/swap\\040file                            file\t\t2097148\t\t0\t\t-2\n",
    ),
  ).toEqual(["/dev/zram0", "/swap\\040file"]);
});
