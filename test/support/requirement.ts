import process from "node:process";
import type { TestContext } from "vitest";

/**
 * Skips the running test, saying why, for want of something this machine lacks.
 * With PTEMARK_REQUIRE_LIVE=1 the want is a failure instead.
 */
export function lacking(context: TestContext, reason: string): never {
  if (process.env.PTEMARK_REQUIRE_LIVE === "1") {
    throw new Error(`${reason} (and PTEMARK_REQUIRE_LIVE=1 forbids skipping)`);
  }
  process.stderr.write(`skipped: ${context.task.name}: ${reason}\n`);
  return context.skip(reason);
}
