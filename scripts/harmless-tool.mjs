// What scripts/harmless.mjs kills while it is attached: harmless-tool.mjs PID steps|forever|armed|STEP.
//   steps    attaches once and prints each point where it might have died
//   STEP     attaches, and kills itself at that point
//   forever  attaches again and again, for somebody else to kill it; prints a line before it starts
//   armed    the same, but stays attached for a while: registers all memory, arms it again and again, and
//            prints the line once it has
import { closeSync } from "node:fs";
import process from "node:process";
import { createUserfaultfdIn } from "../dist/linux/remote-process.js";

const [, , pidText, task] = process.argv;
const pid = Number(pidText);
const patienceMs = 20_000;

/** @param {(step: string) => void} onStep */
function attach(onStep) {
  closeSync(createUserfaultfdIn(pid, { patienceMs, onStep }).fd);
}

if (task === "steps") {
  /** @type {string[]} */
  const steps = [];
  attach((step) => steps.push(step));
  console.log(steps.join("\n"));
} else if (task === "forever") {
  console.log("ready");
  for (;;) attach(() => {});
} else if (task === "armed") {
  const { attach: attachAndArm } = await import("../dist/residency/index.js");
  for (let isFirst = true; ; isFirst = false) {
    const attached = attachAndArm(pid, { patienceMs, choose: ({ kind }) => kind !== "special" });
    attached.attachment.pass();
    if (isFirst) console.log("ready");
    for (let pass = 1; pass < 10; pass++) attached.attachment.pass();
    attached[Symbol.dispose]();
  }
} else {
  attach((step) => {
    if (step === task) process.kill(process.pid, "SIGKILL");
  });
  console.error(`no step "${task}"`);
  process.exitCode = 1;
}
