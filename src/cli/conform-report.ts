import pc from "picocolors";
import { getBorderCharacters, table } from "table";
import { type Divergence, describeEntry, type Trace, type TraceHeader } from "../script/index.ts";

/** Where a trace differs first, and the shortest program that does. */
export interface ShrunkDivergence extends Divergence {
  readonly shortest: readonly string[];
  /** Of one that a running kernel showed just now. */
  readonly live?: LiveDivergence;
}

export interface LiveDivergence {
  /** The command that shows it again. */
  readonly replay: string;
  /** Another run of the program did not differ there. */
  readonly unrepeatable: boolean;
  /** The whole program. */
  readonly program: readonly string[];
}

/** How many traces and steps agree, of the traces of one kernel in one configuration. */
interface Group {
  readonly kernel: string;
  readonly config: TraceHeader["config"];
  traces: number;
  agreeing: number;
  steps: number;
  agreeingSteps: number;
}

/** What came of replaying traces: how many agree, and where the others differ. */
export class ConformReport {
  readonly divergences: ShrunkDivergence[] = [];
  readonly #groups = new Map<string, Group>();

  add({ kernel, config, steps }: Trace, divergence: ShrunkDivergence | undefined): void {
    const key = JSON.stringify([kernel, config]);
    const group = this.#groups.get(key) ?? {
      kernel,
      config,
      traces: 0,
      agreeing: 0,
      steps: 0,
      agreeingSteps: 0,
    };
    this.#groups.set(key, group);
    group.traces++;
    group.steps += steps.length;
    group.agreeing += divergence ? 0 : 1;
    group.agreeingSteps += divergence ? divergence.step - 1 : steps.length;
    if (divergence) this.divergences.push(divergence);
  }

  toJson(): string {
    const { traces, steps } = this.#total();
    const divergences = this.divergences.map(
      ({ trace, step, op, field, expected, shown, shortest, live }) => {
        return { trace, step, op, field, expected, shown, shortest, ...live };
      },
    );
    return `${JSON.stringify({ traces, steps, divergences })}\n`;
  }

  toText(): string {
    const { traces, agreeing, steps, agreeingSteps } = this.#total();
    const verdict = `${agreeing} of ${traces} traces agree (${agreeingSteps} of ${steps} steps)`;
    const colour = agreeing === traces ? pc.green : pc.red;
    return `${this.divergences.map(render).join("")}${this.#table()}\n${pc.bold(colour(verdict))}\n`;
  }

  #total(): Group {
    const total: Group = { kernel: "", config: {}, traces: 0, agreeing: 0, steps: 0, agreeingSteps: 0 };
    for (const group of this.#groups.values()) {
      total.traces += group.traces;
      total.agreeing += group.agreeing;
      total.steps += group.steps;
      total.agreeingSteps += group.agreeingSteps;
    }
    return total;
  }

  /** A row a group; of the configuration, the columns in which groups differ. */
  #table(): string {
    const groups = [...this.#groups.values()];
    const names = [...new Set(groups.flatMap(({ config }) => Object.keys(config)))].filter(
      (name) => new Set(groups.map(({ config }) => config[name])).size > 1,
    );
    const rows = groups.map(({ kernel, config, traces, agreeing, steps, agreeingSteps }) => [
      kernel,
      ...names.map((name) => String(config[name] ?? "")),
      `${agreeing}/${traces}`,
      `${agreeingSteps}/${steps}`,
    ]);
    return table([["kernel", ...names, "traces agree", "steps agree"], ...rows], {
      border: getBorderCharacters("void"),
      columnDefault: { paddingLeft: 0, paddingRight: 2 },
      drawHorizontalLine: () => false,
    }).replace(/ +$/gm, "");
  }
}

function render({ trace, step, op, field, expected, shown, shortest, live }: ShrunkDivergence): string {
  const words = (entry: string) =>
    field.startsWith("procs.") && /^([0-9a-f]+(:|$)|-$)/.test(entry)
      ? `${entry} (${describeEntry(entry)})`
      : entry || '""';
  return [
    pc.bold(`${trace} differs at step ${step}: ${op}`),
    `  ${field}: expected ${pc.green(words(expected))}, shown ${pc.red(words(shown))}`,
    "  the shortest program that does:",
    ...shortest.map((line) => `    ${line}`),
    ...(live === undefined ? [] : renderLive(live)),
    "",
    "",
  ].join("\n");
}

function renderLive({ replay, unrepeatable, program }: LiveDivergence): string[] {
  return [
    ...(unrepeatable ? ["  another run did not differ there, so it is not shortened"] : []),
    `  to see it again: ${replay}`,
    "  the whole program:",
    ...program.map((line) => `    ${line}`),
  ];
}
