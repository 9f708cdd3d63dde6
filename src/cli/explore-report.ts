import pc from "picocolors";
import {
  DEFAULT_SCOPE,
  DEFAULT_STAGES,
  type Exploration,
  type ExploreScope,
  type Finding,
  OP_KINDS,
  preludeOf,
} from "../lab/explore/index.ts";

const ENDS = {
  complete: "all of the scope was searched",
  stopped: "stopped before all of the scope was searched",
  "no memory": "memory ran out before all of the scope was searched",
} as const;

/** What an exploration found, for people and for programs. */
export class ExploreReport {
  readonly #told: Exploration;

  constructor(told: Exploration) {
    this.#told = told;
  }

  /** Whether something is found that is worse than a wrong PM_SWAP. */
  get isBroken(): boolean {
    return this.#told.findings.some(({ kind }) => kind === "broken");
  }

  toJson(): string {
    const { findings, scope, ...rest } = this.#told;
    const told = findings.map((finding) => ({ ...finding, command: commandOf(scope, finding) }));
    return `${JSON.stringify({ scope, ...rest, prelude: preludeOf(scope), findings: told }, null, 1)}\n`;
  }

  toText(): string {
    const { scope, shard, end, states, transitions, depth, findings } = this.#told;
    const part = shard.count === 1 ? "" : ` (shard ${shard.number} of ${shard.count})`;
    const lines = [
      pc.bold(scopeText(scope)) + part,
      `${ENDS[end]}: ${number(states)} states, ${number(transitions)} transitions, ${depth} deep at the most`,
      "",
    ];
    for (const kind of new Set(findings.map((finding) => finding.kind))) {
      lines.push(pc.bold(kind));
      for (const finding of findings.filter((one) => one.kind === kind))
        lines.push(...findingLines(scope, finding));
    }
    lines.push(this.#verdict(end), "");
    return lines.join("\n");
  }

  #verdict(end: Exploration["end"]): string {
    if (this.isBroken) return pc.red("something is broken: see above");
    const all = end === "complete" ? "in all of it" : "in what was searched";
    return pc.green(`${all} no byte is lost, no invariant broken, no access fails or hangs`);
  }
}

function findingLines(scope: ExploreScope, finding: Finding): string[] {
  const before = preludeOf(scope).map((line) => pc.dim(`      ${line}`));
  return [
    `  ${pc.yellow(finding.class)}  ${finding.sentence}`,
    ...before,
    ...finding.lines.map((line) => `      ${line}`),
    pc.dim(`    seen in ${number(finding.seen)} transitions; ${commandOf(scope, finding)}`),
    "",
  ];
}

/** A command that replays a finding. */
function commandOf(scope: ExploreScope, { moves, isProgram }: Finding): string {
  const replay = `ptemark explore${scopeFlags(scope)} --replay ${moves.join(".")}`;
  return isProgram ? `${replay} --program | ptemark run --profile ${scope.profile} -` : replay;
}

/** The options that make this scope. */
export function scopeFlags(scope: ExploreScope): string {
  const isStages = scope.accesses + scope.pageOuts > 0;
  const base = isStages ? DEFAULT_STAGES : DEFAULT_SCOPE;
  let flags = isStages ? " --stages" : "";
  const numbers = ["processes", "sharers", "pages", "depth", "accesses", "pageOuts", "calls"] as const;
  if (scope.profile !== base.profile) flags += ` --profile ${scope.profile}`;
  const switches = Object.entries(scope.config).map(([name, value]) => `${name}=${value}`);
  if (switches.length > 0) flags += ` --config ${switches.join(",")}`;
  for (const name of numbers)
    if (scope[name] !== base[name]) flags += ` --${name === "pageOuts" ? "page-outs" : name} ${scope[name]}`;
  if (scope.swapPages !== scope.pages) flags += ` --swap-pages ${scope.swapPages}`;
  if (scope.device !== base.device) flags += ` --device ${scope.device}`;
  if (scope.ops.join() !== OP_KINDS.join()) flags += ` --ops ${scope.ops.join(",")}`;
  return flags;
}

function scopeText(scope: ExploreScope): string {
  const where = `${scope.profile}, ${scope.device}, ${scope.processes} processes, ${scope.pages} pages`;
  const programs = `programs of up to ${scope.depth} of ${scope.ops.length} kinds of operations`;
  if (scope.accesses + scope.pageOuts === 0) return `${where}, ${programs}`;
  const tasks = `${scope.accesses} accesses, ${scope.pageOuts} page-outs, ${scope.calls} calls`;
  return `${where}, all interleavings of ${tasks}, after ${programs}`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
