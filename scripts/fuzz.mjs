// The long random run: npm run fuzz -- --ops N --seed S, or --world SEED to see one world again.
import process from "node:process";
import { parseArgs } from "node:util";
import { FuzzFailure, fuzz, fuzzWorld } from "../dist/lab/fuzz.js";

const HELP = `Random operations on the model, with every invariant and every byte checked after each.

Usage: npm run fuzz -- [--ops N] [--seed S] [--world SEED]

  --ops N       how many operations (1000000)
  --seed S      where to begin (1): the same seed does the same
  --world SEED  only this world, as a failure names it`;

const { values } = parseArgs({
  options: {
    ops: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    world: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

function count(name, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} ${text}: must be an integer from 0`);
  process.exit(2);
}

if (values.help) {
  console.log(HELP);
  process.exit(0);
}
try {
  if (values.world !== undefined) {
    fuzzWorld(count("world", values.world));
    console.log(`world ${values.world}: all invariants held, every byte was as written`);
  } else {
    const ops = count("ops", values.ops);
    const seed = count("seed", values.seed);
    fuzz({
      ops,
      seed,
      onWorld: (done) => {
        if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${ops} operations`);
      },
    });
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    console.log(`${ops} operations from seed ${seed}: all invariants held, every byte was as written`);
  }
} catch (error) {
  if (!(error instanceof FuzzFailure)) throw error;
  console.error(error.message);
  if (process.env.PTEMARK_DEBUG === "1") console.error(error.cause);
  process.exit(1);
}
