/** How a bench is asked (options) and how it answers (one report, as text or as JSON). */
import { cpus, loadavg, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { hashText, mixHash } from "../../src/lab/hash.ts";
import { type Ratio, type Series, summarise } from "../../src/lab/statistics.ts";

export interface BenchOptions {
  /** A size that only shows that the bench still runs. */
  readonly quick: boolean;
  readonly json: boolean;
  readonly seed: number;
  readonly rounds: number | undefined;
  readonly check: boolean;
}

export function benchOptions(argv: readonly string[] = process.argv.slice(2)): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      seed: { type: "string", default: "1" },
      rounds: { type: "string" },
    },
  });
  const seed = Number(values.seed);
  if (!Number.isInteger(seed)) throw new Error(`--seed ${values.seed}: not a whole number`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
    throw new Error(`--rounds ${values.rounds}: not a positive whole number`);
  }
  return { quick: values.quick, json: values.json, check: values.check, seed, rounds };
}

export interface Target {
  readonly text: string;
  readonly met: boolean;
}

/** A load average from which other work must have disturbed the bench. */
const BUSY_LOAD = 0.7;

type Row = readonly string[];

interface Section {
  readonly title: string;
  readonly header: Row;
  readonly rows: Row[];
}

export class Report {
  readonly #bench: string;
  readonly #options: BenchOptions;
  readonly #sections: Section[] = [];
  readonly #targets: Target[] = [];
  readonly #notes: string[] = [];
  readonly #data: Record<string, unknown> = {};
  #hash = 0x811c9dc5;

  constructor(bench: string, options: BenchOptions) {
    this.#bench = bench;
    this.#options = options;
    const [load] = loadavg();
    if (load > BUSY_LOAD)
      this.note(`the machine was busy at the start (load ${load.toFixed(2)}): times are too long`);
  }

  /** Progress, on stderr, so that stdout has the report alone. */
  readonly progress = (text: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  };

  table(title: string, header: Row, rows: Row[]): void {
    this.#sections.push({ title, header, rows });
  }

  /** A table of what was measured: median, spread, and the hash of what was computed. */
  series(title: string, unit: string, all: readonly Series[]): void {
    const rows = all.map((series) => {
      const summary = summarise(series.nsPerUnit);
      return [
        series.name,
        nanoseconds(summary.median),
        `${nanoseconds(summary.lowerQuartile)}..${nanoseconds(summary.upperQuartile)}`,
        `${nanoseconds(summary.min)}..${nanoseconds(summary.max)}`,
        String(series.nsPerUnit.length),
        series.hash === undefined ? "-" : hashText(series.hash),
      ];
    });
    this.table(title, ["", `ns/${unit} (median)`, "IQR", "min..max", "rounds", "result"], rows);
    this.data(
      title,
      all.map((series) => ({ ...series, ...summarise(series.nsPerUnit) })),
    );
    for (const series of all) if (series.hash !== undefined) this.hash(series.hash);
  }

  /** Folds part of the result (never a time) into the report's hash. */
  hash(part: number): void {
    this.#hash = mixHash(this.#hash, part);
  }

  target(text: string, met: boolean): void {
    this.#targets.push({ text, met });
  }

  note(text: string): void {
    this.#notes.push(text);
  }

  /** Something for the JSON form only. */
  data(name: string, value: unknown): void {
    this.#data[name] = value;
  }

  /** Prints, and sets the exit code when --check is on and a target is missed. */
  print(): void {
    this.progress("");
    const machine = machineFacts();
    if (this.#options.json) {
      const report = {
        bench: this.#bench,
        quick: this.#options.quick,
        seed: this.#options.seed,
        machine,
        data: this.#data,
        tables: this.#sections,
        targets: this.#targets,
        notes: this.#notes,
        resultHash: hashText(this.#hash),
      };
      console.log(JSON.stringify(report, null, 2));
    } else {
      const size = this.#options.quick ? ", quick size: the figures mean nothing" : "";
      console.log(`${this.#bench} (seed ${this.#options.seed}${size})`);
      console.log(
        `${machine.cpu} x${machine.cores}, ${machine.memoryGiB} GiB, ${machine.kernel}, ${machine.node}`,
      );
      for (const { title, header, rows } of this.#sections)
        console.log(`\n${title}\n${formatTable(header, rows)}`);
      if (this.#targets.length > 0) console.log("\nTargets");
      for (const { text, met } of this.#targets) console.log(`  ${met ? "met   " : "MISSED"}  ${text}`);
      if (this.#notes.length > 0) console.log("");
      for (const note of this.#notes) console.log(`note: ${note}`);
      console.log(`\nresult hash ${hashText(this.#hash)}`);
    }
    if (this.#options.check && this.#targets.some(({ met }) => !met)) process.exitCode = 1;
  }
}

export function nanoseconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3);
}

export function ratioText({ ratio, low, high }: Ratio): string {
  const digits = ratio < 2 ? 3 : 2;
  return `${ratio.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

function machineFacts(): { cpu: string; cores: number; memoryGiB: number; kernel: string; node: string } {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? "unknown CPU",
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${release()}`,
    node: `Node ${process.version}`,
  };
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
function formatTable(header: Row, rows: readonly Row[]): string {
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (row: Row): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join("  ");
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [line(header), rule, ...rows.map(line)].map((text) => `  ${text.trimEnd()}`).join("\n");
}
