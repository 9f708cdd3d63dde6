/**
 * Refuses, when it is imported, to run on anything but Linux on x86-64: the numbers of system calls are that
 * one's.
 */

import process from "node:process";
import { LinuxError } from "./linux-error.ts";

if (process.platform !== "linux" || process.arch !== "x64") {
  const here = `${process.platform} on ${process.arch}`;
  throw new LinuxError({
    call: "ptemark/linux",
    needs: `a Linux kernel on x86-64 (x64), and this is ${here}; the model (ptemark/model) runs anywhere`,
  });
}
