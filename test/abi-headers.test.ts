// The constants of src/abi against this system's own headers, by way of its C compiler. Each header has what its
// kernel had: what it does not define is not compared.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import * as abi from "ptemark/abi";
import { expect, test } from "vitest";
import { lacking } from "./support/requirement.ts";

const HEADERS = ["asm/mman.h", "linux/mman.h", "linux/fs.h", "linux/userfaultfd.h", "errno.h"];

/** Names that the headers define as the library does. */
const NAMES = Object.entries(abi).flatMap(([name, value]) =>
  typeof value === "number" &&
  /^(PROT_|MAP_|MREMAP_|MADV_|PAGE_IS_|PM_SCAN_(WP|CHECK)|PAGEMAP_SCAN$|UFFD|USERFAULTFD_)/.test(name)
    ? [{ header: name, value }]
    : [],
);
const MADVS = Object.entries(abi.MADV).map(([name, value]) => ({ header: `MADV_${name}`, value }));
const ERRNOS = Object.entries(abi.ERRNO).map(([header, value]) => ({ header, value }));
/** Sizes: of structs that the header has if it defines the request that takes them. */
const SIZES = [
  { guard: "PAGEMAP_SCAN", header: "sizeof(struct pm_scan_arg)", value: abi.PM_SCAN_ARG_BYTES },
  { guard: "PAGEMAP_SCAN", header: "sizeof(struct page_region)", value: abi.PAGE_REGION_BYTES },
  {
    guard: "UFFDIO_WRITEPROTECT",
    header: "sizeof(struct uffdio_writeprotect)",
    value: abi.encodeUffdioWriteprotect(0n, 0n, 0).byteLength,
  },
  {
    guard: "UFFDIO_REGISTER",
    header: "sizeof(struct uffdio_register)",
    value: abi.encodeUffdioRegister(0n, 0n, 0).byteLength,
  },
  {
    guard: "UFFDIO_API",
    header: "sizeof(struct uffdio_api)",
    value: abi.encodeUffdioApi(0).byteLength,
  },
  {
    guard: "UFFDIO_UNREGISTER",
    header: "sizeof(struct uffdio_range)",
    value: abi.encodeUffdioRange(0n, 0n).byteLength,
  },
];

interface Constant {
  readonly header: string;
  readonly value: number;
  readonly guard?: string;
}

/** Runs a C program that prints each constant that there is. Undefined if that can't be done here. */
function constantsOfThisSystem(constants: readonly Constant[]): Map<string, number> | undefined {
  const folder = mkdtempSync(join(tmpdir(), "ptemark-headers-"));
  try {
    const source = [
      "#include <stdio.h>",
      ...HEADERS.map((header) => `#if __has_include(<${header}>)\n#include <${header}>\n#endif`),
      "int main(void) {",
      ...constants.map(
        ({ header, guard = header }) =>
          `#ifdef ${guard}\nprintf("%s %llu\\n", "${header}", (unsigned long long)(${header}));\n#endif`,
      ),
      "return 0; }",
    ].join("\n");
    const program = join(folder, "constants");
    const built = spawnSync("cc", ["-x", "c", "-o", program, "-"], { input: source, encoding: "utf8" });
    if (built.status !== 0) return undefined;
    const { stdout } = spawnSync(program, { encoding: "utf8" });
    return new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("the constants of the system's headers are ours", (context) => {
  if (process.platform !== "linux" || process.arch !== "x64") lacking(context, "needs Linux on x86-64");
  const ours: Constant[] = [...NAMES, ...MADVS, ...ERRNOS, ...SIZES];
  const theirs = constantsOfThisSystem(ours);
  if (theirs === undefined) lacking(context, "needs a C compiler (cc) with the kernel's headers");
  const compared = ours.filter(({ header }) => theirs.has(header));
  expect(Object.fromEntries(compared.map(({ header }) => [header, theirs.get(header)]))).toEqual(
    Object.fromEntries(compared.map(({ header, value }) => [header, value])),
  );
  // Those that any kernel's headers have.
  const names = compared.map(({ header }) => header);
  expect(names).toEqual(expect.arrayContaining(["PROT_READ", "MADV_PAGEOUT", "UFFDIO_API", "ENOMEM"]));
  expect(names.length).toBeGreaterThan(40);
});
