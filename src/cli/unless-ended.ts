import { PAGE_SIZE } from "../abi/mman.ts";
import { LinuxError } from "../linux/linux-error.ts";
import type { Target } from "../residency/target.ts";

/** Does something with a process. undefined: it has ended, or runs another program (exec), which is the same here. */
export function unlessEnded<Result>(target: Target, step: () => Result): Result | undefined {
  try {
    const result = step();
    return hasEnded(target) ? undefined : result;
  } catch (error) {
    if (error instanceof LinuxError && error.code === "ESRCH") return undefined;
    throw error;
  }
}

/** An open pagemap has no pages any more when its address space is gone. */
function hasEnded(target: Target): boolean {
  const [first] = target.mappings();
  return first === undefined || target.readPagemap(first.start / PAGE_SIZE, new Uint32Array(2)) === 0;
}
