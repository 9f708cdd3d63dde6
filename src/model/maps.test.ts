import { expect, test } from "vitest";
import { PAGE, stateHash, testKernel } from "../../test/support/model.ts";

test("tells each area's addresses, access, object and place in it", () => {
  const kernel = testKernel();
  const process = kernel.createProcess();
  const object = kernel.memfdCreate({ sizePages: 8 });
  const shared = process.mmap({
    lengthBytes: 4 * PAGE,
    object,
    offsetBytes: 2 * PAGE,
    shared: true,
    write: true,
  });
  const own = process.mmap({ lengthBytes: 2 * PAGE, read: true });
  const before = stateHash(kernel);
  expect(process.maps().sort((a, b) => b.start - a.start)).toEqual([
    {
      start: shared,
      end: shared + 4 * PAGE,
      perms: "rw-s",
      offsetBytes: 2 * PAGE,
      inode: object.object.id,
    },
    { start: own, end: own + 2 * PAGE, perms: "r--p", offsetBytes: 0, inode: 0 },
  ]);
  expect(stateHash(kernel)).toBe(before);
});
