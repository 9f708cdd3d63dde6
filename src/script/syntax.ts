import type { Advice, Op, Protection } from "./op.ts";
import type { Problem } from "./script-error.ts";

const ADVICE: readonly Advice[] = [
  "DONTNEED",
  "REMOVE",
  "PAGEOUT",
  "COLD",
  "WILLNEED",
  "FREE",
  "POPULATE_READ",
  "POPULATE_WRITE",
];
const PROTECTIONS: readonly Protection[] = ["rw", "r"];

/** The largest page number or page count: after every step, every page is shown. */
export const PAGES_MAX = 65_536;

/** A placeholder of an op's usage: which property of the {@link Op} it is, and how it is written. */
interface Field {
  readonly property: string;
  readonly expected: string;
  /** undefined if the text isn't one. */
  read(text: string): unknown;
  write(value: unknown): string;
}

const field = (property: string, expected: string, read: Field["read"], write: Field["write"] = String) => ({
  property,
  expected,
  read,
  write,
});
const name = (property: string, pattern: RegExp, expected: string) =>
  field(property, expected, (text) => (pattern.test(text) ? text : undefined));
const number = (property: string, what: string) =>
  field(property, `${what}, 0 to ${PAGES_MAX}`, (text) =>
    /^(0|[1-9]\d{0,5})$/.test(text) && Number(text) <= PAGES_MAX ? Number(text) : undefined,
  );
const oneOf = (property: string, words: readonly string[]) =>
  field(property, `one of ${words.join(", ")}`, (text) => (words.includes(text) ? text : undefined));

const PROCESS = /^[A-Z]$/;
const MAPPING = /^v(0|[1-9]\d{0,5})$/;
const OBJECT = /^o(0|[1-9]\d{0,5})$/;

const FIELDS = {
  P: name("proc", PROCESS, "a process (A, B, ...)"),
  C: name("child", PROCESS, "a name for the child process (A, B, ...)"),
  V: name("mapping", MAPPING, "a mapping (v0, v1, ...)"),
  W: name("to", MAPPING, "a new name for the mapping (v0, v1, ...)"),
  O: name("obj", OBJECT, "an object (o0, o1, ...)"),
  FIRST: number("first", "the object's page to start from"),
  I: number("first", "the first page"),
  N: number("pages", "a number of pages"),
  PROT: oneOf("prot", PROTECTIONS),
  ADVICE: oneOf("advice", ADVICE),
  ON: field(
    "protect",
    "1 (protect) or 0 (allow)",
    (text) => (text === "1" ? true : text === "0" ? false : undefined),
    (value) => (value ? "1" : "0"),
  ),
} satisfies Record<string, Field>;

type Placeholder = keyof typeof FIELDS;

/** The op language: for each op, what follows its name. */
const SYNTAX: Readonly<Record<Op["kind"], readonly Placeholder[]>> = {
  obj: ["O", "N"],
  map: ["P", "V", "O", "FIRST", "N", "PROT"],
  mapcow: ["P", "V", "O", "FIRST", "N", "PROT"],
  mapanon: ["P", "V", "N", "PROT"],
  unmap: ["P", "V", "I", "N"],
  write: ["P", "V", "I", "N"],
  read: ["P", "V", "I", "N"],
  madvise: ["P", "V", "I", "N", "ADVICE"],
  mprotect: ["P", "V", "I", "N", "PROT"],
  mremap: ["P", "V", "W"],
  fork: ["P", "C"],
  exit: ["P"],
  readfd: ["O", "I", "N"],
  writefd: ["O", "I", "N"],
  punch: ["O", "I", "N"],
  truncate: ["O", "N"],
  reclaim: [],
  swapoff: [],
  swapon: [],
  clearrefs: ["P"],
  uffd: ["P", "V"],
  uffdwp: ["P", "V", "I", "N", "ON"],
};
const KINDS = Object.keys(SYNTAX) as Op["kind"][];

/** A problem with one word of an op; word 0 is the op's name. */
export interface WordProblem extends Problem {
  readonly word: number;
}

/** Reads an op from its words (there is at least one), or says which word is wrong and why. */
export function readOp(words: readonly string[]): Op | WordProblem {
  const kind = words[0] as Op["kind"];
  if (!Object.hasOwn(SYNTAX, kind)) return unknownOp(kind);
  const placeholders = SYNTAX[kind];
  const op: Record<string, unknown> = { kind };
  for (let i = 0; i < placeholders.length; i++) {
    const { property, expected, read }: Field = FIELDS[placeholders[i]];
    const text = words[i + 1];
    if (text === undefined) {
      const problem = `"${words.join(" ")}" ends too early: expected ${expected}`;
      return { word: i + 1, problem, mend: `write ${usage(kind)}` };
    }
    const value = read(text);
    if (value === undefined) {
      return { word: i + 1, problem: `expected ${expected}, found "${text}"`, mend: `write ${usage(kind)}` };
    }
    op[property] = value;
  }
  const surplus = words[placeholders.length + 1];
  if (surplus !== undefined) {
    const problem = `expected the end of the line, found "${surplus}"`;
    return { word: placeholders.length + 1, problem, mend: `write ${usage(kind)}` };
  }
  return op as unknown as Op; // every property that SYNTAX lists for this kind, and no other
}

/** An op as a line of a program; {@link readOp} reads it back. */
export function formatOp(op: Op): string {
  const values = op as unknown as Record<string, unknown>;
  let text: string = op.kind;
  for (const placeholder of SYNTAX[op.kind]) {
    const { property, write } = FIELDS[placeholder];
    text += ` ${write(values[property])}`;
  }
  return text;
}

/** Which word of the op's text carries a property; word 0 is the op's name. */
export function wordOf(op: Op, property: string): number {
  return 1 + SYNTAX[op.kind].findIndex((placeholder) => FIELDS[placeholder].property === property);
}

function usage(kind: Op["kind"]): string {
  return `"${[kind, ...SYNTAX[kind]].join(" ")}"`;
}

function unknownOp(found: string): WordProblem {
  const close = KINDS.map((kind) => ({ kind, distance: editDistance(found.toLowerCase(), kind) }))
    .filter(({ kind, distance }) => distance <= Math.min(2, kind.length / 2))
    .sort((a, b) => a.distance - b.distance)[0];
  const mend = close ? `did you mean ${usage(close.kind)}?` : `the ops are ${KINDS.join(", ")}`;
  return { word: 0, problem: `unknown op "${found}"`, mend };
}

/** The least number of letters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
