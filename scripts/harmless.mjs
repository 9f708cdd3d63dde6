// Is attaching harmless? Kills the tool with SIGKILL at every point of an attach, and at random moments,
// while targets check themselves (test/support/targets/selfcheck.c): node scripts/harmless.mjs [--rounds N]
// [--seed S].
// @ts-check
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { SELFCHECK_MODES, SelfCheckingTarget, TargetFolder } from "../test/support/target.mjs";

const HELP = `Kills the tool while it attaches to processes that check themselves, and looks if they notice.

Usage: npm run harmless -- [--rounds N] [--seed S]

  --rounds N  how often the tool is killed (1000): two thirds at each point of an attach, the rest at random
  --seed S    which moments, and which targets at which points (1)`;

const TOOL = fileURLToPath(new URL("harmless-tool.mjs", import.meta.url));
const CLI = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/**
 * What is killed at a random moment, within so many milliseconds after it first says something. In a terminal, what is
 * killed is the child of what is started.
 * @type {Record<string, { command: (pid: number) => string[], withinMs: number, inTerminal?: true }>}
 */
const AT_RANDOM = {
  "attaching, at random": { command: (pid) => [TOOL, `${pid}`, "forever"], withinMs: 30 },
  "attached, all memory armed": { command: (pid) => [TOOL, `${pid}`, "armed"], withinMs: 100 },
  "ptemark attach": { command: (pid) => [CLI, "attach", `${pid}`, "--interval", "0.05"], withinMs: 300 },
  "ptemark watch --attach": {
    command: (pid) => [CLI, "watch", `${pid}`, "--attach", "--interval", "0.05"],
    withinMs: 600,
    inTerminal: true,
  },
};
/** script(1) ends with its child's exit code, which the shell's way is 128 and the signal. */
const KILLED_IN_TERMINAL = 128 + 9;
/** The commands' exit code for what is not permitted, or can't be done. */
const REFUSED = 3;
const ATTEMPTS = 5;
const hasTerminals = spawnSync("script", ["--version"]).status === 0;
const RANDOM_POINTS = Object.keys(AT_RANDOM).filter((point) => !AT_RANDOM[point].inTerminal || hasTerminals);
/** A target is started anew after so many kills: each may leave a descriptor. */
const KILLS_PER_TARGET = 100;

/**
 * What a round was, and what was left in the target.
 * @typedef {{ mode: string, point: string, interruptions: number, leftDescriptors: number }} Round
 */

/**
 * @typedef {{ rounds: number, seed: number, onRound?: (done: number, round: Round) => void }} HarmlessOptions
 */

/** mulberry32. @param {number} seed */
function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts node on a script of ours. @param {readonly string[]} args */
function start(args) {
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
}

/** The same in a terminal, as a child of what is returned. @param {readonly string[]} args */
function startInTerminal(args) {
  const command = ["exec", process.execPath, ...args].map((word) => `'${word}'`).join(" ");
  return spawn("script", ["-qec", command.replace("'exec'", "exec"), "/dev/null"]);
}

/**
 * Waits for the end of a tool; tells what it printed, and how it ended.
 * @param {import("node:child_process").ChildProcess} tool
 */
async function endOf(tool) {
  let said = "";
  for (const stream of [tool.stdout, tool.stderr]) stream?.on("data", (text) => (said += text));
  const [code, signal] = await once(tool, "close");
  return { said, code, signal };
}

/** The points of an attach, in order. @param {SelfCheckingTarget} target */
async function pointsOfAttach(target) {
  const { said, code } = await endOf(start([TOOL, `${target.pid}`, "steps"]));
  if (code !== 0) throw new Error(`the tool can't attach to ${target.mode}: ${said}`);
  return said.trim().split("\n");
}

/** Has the tool kill itself at a point of attaching. @param {SelfCheckingTarget} target @param {string} point */
async function killAtPoint(target, point) {
  const { said, signal } = await endOf(start([TOOL, `${target.pid}`, point]));
  if (signal !== "SIGKILL") throw new Error(`the tool was to be killed, and said: ${said}`);
}

/**
 * Kills the tool at a random moment. On a busy machine a command may find no moment to attach in, and says so.
 * @param {SelfCheckingTarget} target @param {string} point @param {number} moment from 0 to 1: when
 */
async function killAtRandom(target, point, moment) {
  const { command, withinMs, inTerminal } = AT_RANDOM[point];
  let refusal = "";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const tool = (inTerminal ? startInTerminal : start)(command(target.pid));
    const end = endOf(tool);
    const streams = /** @type {import("node:stream").Readable[]} */ ([tool.stdout, tool.stderr]);
    await Promise.race([end, ...streams.map((stream) => once(stream, "data"))]);
    await sleep(moment * withinMs);
    const victim = inTerminal ? onlyChildOf(tool) : tool.pid;
    if (tool.exitCode === null && victim !== undefined) killIfThere(victim);
    const { said, code, signal } = await end;
    if (signal === "SIGKILL" || code === KILLED_IN_TERMINAL) return;
    if (code !== REFUSED) throw new Error(`the tool was to be killed, and said: ${said}`);
    refusal = said;
  }
  throw new Error(`the tool was refused ${ATTEMPTS} times: ${refusal}`);
}

/** @param {number} pid */
function killIfThere(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ESRCH") throw error;
  }
}

/** undefined if it has ended. @param {import("node:child_process").ChildProcess} parent */
function onlyChildOf({ pid }) {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return /^\d+$/.test(children) ? Number(children) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a thread is still traced, or stopped. @param {number} pid */
function isHeld(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return !/^TracerPid:\t0$/m.test(status) || /^State:\t[tT]/m.test(status);
}

/**
 * One kill of the tool. Throws if the target noticed.
 * @param {SelfCheckingTarget} target @param {string} point @param {number} moment
 * @returns {Promise<Round>}
 */
async function killOnce(target, point, moment) {
  const before = { interruptions: target.interruptions, descriptors: target.userfaultfds };
  await (point in AT_RANDOM ? killAtRandom : killAtPoint)(target, point, moment);
  await target.progress();
  if (isHeld(target.pid)) throw new Error(`${target.mode} is still held`);
  const interruptions = target.interruptions - before.interruptions;
  if (interruptions > 1) throw new Error(`${target.mode} was interrupted ${interruptions} times`);
  const leftDescriptors = target.userfaultfds - before.descriptors;
  if (leftDescriptors > 1) throw new Error(`${target.mode} has ${leftDescriptors} descriptors more`);
  return { mode: target.mode, point, interruptions, leftDescriptors };
}

/** @param {readonly string[]} all @param {() => number} random */
function shuffled(all, random) {
  const result = [...all];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

/**
 * Kills the tool `rounds` times: two of three times at a point of an attach, so that all points are reached
 * alike, and all targets at each; else at a random moment of attaching or of being attached. Throws at the
 * first target that notices.
 *
 * @param {HarmlessOptions} options
 * @returns {Promise<{ points: string[], modes: string[], rounds: Round[] } | { problem: string }>}
 */
export async function harmless(options) {
  const folder = new TargetFolder();
  try {
    const built = folder.compile("selfcheck");
    return "problem" in built ? built : await killRounds(built.program, options);
  } finally {
    folder[Symbol.dispose]();
  }
}

/**
 * One target runs at a time: several would only wait for each other. @param {string} program @param
 * {HarmlessOptions} options
 */
async function killRounds(program, { rounds, seed, onRound }) {
  const random = seededRandom(seed);
  const modes = shuffled(SELFCHECK_MODES, random);
  /** @type {Round[]} */
  const done = [];
  /** @type {string[]} */
  let points = [];
  for (const [index, mode] of modes.entries()) {
    const first = Math.floor((index * rounds) / modes.length);
    const end = Math.floor(((index + 1) * rounds) / modes.length);
    for (let from = first; from < end; from += KILLS_PER_TARGET) {
      const target = new SelfCheckingTarget(program, mode);
      try {
        await target.progress();
        if (points.length === 0) points = await pointsOfAttach(target);
        for (let i = from; i < Math.min(end, from + KILLS_PER_TARGET); i++) {
          const turn = Math.floor(i / 3);
          const point =
            i % 3 === 2 ? RANDOM_POINTS[turn % RANDOM_POINTS.length] : points[(i - turn) % points.length];
          const round = await killOnce(target, point, random()).catch((error) => {
            throw new Error(`round ${i + 1}: ${mode}, tool killed "${point}": ${error.message}`);
          });
          done.push(round);
          onRound?.(done.length, round);
        }
      } catch (error) {
        await target.stop().catch(() => {}); // it has told what is wrong
        throw error;
      }
      await target.stop();
    }
  }
  return { points, modes, rounds: done };
}

/** @param {string} name @param {string} text */
function positiveInteger(name, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  console.error(`--${name} ${text}: must be an integer from 1`);
  process.exit(2);
}

/**
 * Counts by a property, in the order of `keys`. @param {readonly Round[]} rounds @param {"mode" | "point"}
 * property @param {readonly string[]} keys
 */
function table(rounds, property, keys) {
  for (const key of keys) {
    const own = rounds.filter((round) => round[property] === key);
    const sum = (/** @type {"interruptions" | "leftDescriptors"} */ field) =>
      own.reduce((total, round) => total + round[field], 0);
    const [killed, left, interrupted] = [own.length, sum("leftDescriptors"), sum("interruptions")];
    console.log(
      `  ${key.padEnd(30)}${[killed, left, interrupted].map((count) => String(count).padStart(12)).join("")}`,
    );
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "1000" },
      seed: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const rounds = positiveInteger("rounds", values.rounds);
  const seed = positiveInteger("seed", values.seed);
  const onRound = (/** @type {number} */ done, /** @type {Round} */ round) => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r\x1b[K${done} of ${rounds}: ${round.mode}, ${round.point}`);
  };
  try {
    const result = await harmless({ rounds, seed, onRound });
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    if ("problem" in result) {
      console.error(result.problem);
      process.exit(3);
    }
    console.log(`The tool was killed ${result.rounds.length} times (seed ${seed}); no target noticed.`);
    console.log(`\n  ${"killed".padEnd(30)}       times descriptors       EINTR\n${"".padEnd(47)}left over`);
    table(result.rounds, "point", [...result.points, ...RANDOM_POINTS]);
    console.log(`\n  target`);
    table(result.rounds, "mode", SELFCHECK_MODES);
  } catch (error) {
    console.error(
      `\n${/** @type {Error} */ (error).message}\nagain: npm run harmless -- --rounds ${rounds} --seed ${seed}`,
    );
    process.exitCode = 1;
  }
}
