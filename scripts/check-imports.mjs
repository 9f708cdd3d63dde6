// The house rules of src that a type checker cannot see: which room may import which, where Node, packages
// and koffi may appear, and who may print. `node scripts/check-imports.mjs [root]` lists what breaks them.
// @ts-check
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, posix, relative, sep } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";

/**
 * The rooms (folders of src), and which others each may import.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const MAY_IMPORT = {
  abi: [],
  model: ["abi"],
  linux: ["abi"],
  residency: ["abi", "model", "linux"],
  script: ["abi", "model", "linux"],
  lab: ["abi", "model", "linux", "residency", "script"],
  cli: ["abi", "model", "linux", "residency", "script", "lab", "server"],
  server: ["abi", "model", "linux", "residency", "script", "lab", "cli"],
};

/** Rooms that run anywhere: no Node module, no package. */
const PORTABLE = new Set(["abi", "model", "script"]);
/** The files of portable rooms that use Node all the same; portable code must not reach them. */
const NODE_FILES = new Set([
  "src/model/swap-device/file.ts",
  "src/script/linux-host.ts",
  "src/script/linux-machine.ts",
]);
/** Rooms that may print. */
const PRINTERS = new Set(["cli", "server"]);
/** The one file outside bench/ that may load koffi. */
const KOFFI_HOME = "src/linux/libc.ts";

/** @typedef {{ path: string, line: number, column: number, message: string }} Violation */

/**
 * Checks one file.
 * @param {{ path: string, text: string }} file its path from the root, with forward slashes
 * @returns {Violation[]}
 */
export function checkSource({ path, text }) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  /** @type {Violation[]} */
  const violations = [];
  /** @type {(node: ts.Node, message: string) => void} */
  const report = (node, message) => {
    const { line, character } = source.getLineAndCharacterOfPosition(node.getStart(source));
    violations.push({ path, line: line + 1, column: character + 1, message });
  };

  const inSrc = path.startsWith("src/");
  const room = inSrc && path.split("/").length > 2 ? path.split("/")[1] : "";
  const isTest = /\.(test|bench)\.[mc]?[jt]s$/.test(path);
  if (inSrc && !Object.hasOwn(MAY_IMPORT, room)) {
    report(source, `stands in no room: src holds only ${Object.keys(MAY_IMPORT).join(", ")}`);
    return violations;
  }
  const isPortable = PORTABLE.has(room) && !isTest && !NODE_FILES.has(path);
  const mayPrint = !inSrc || isTest || PRINTERS.has(room);

  /** @type {(node: ts.Node, specifier: string) => void} */
  const checkSpecifier = (node, specifier) => {
    if (specifier === "koffi" || specifier.startsWith("koffi/")) {
      if (path !== KOFFI_HOME) report(node, `koffi may be loaded by ${KOFFI_HOME} only`);
    }
    if (!inSrc) return;
    if (specifier.startsWith(".")) checkRelative(node, specifier);
    else if (specifier === "ptemark" || specifier.startsWith("ptemark/")) {
      report(node, `"${specifier}": inside src, import by relative path`);
    } else if (isBuiltin(specifier)) {
      if (isPortable) report(node, `src/${room} must run anywhere and may not import "${specifier}"`);
    } else if (PORTABLE.has(room) && !isTest) {
      report(node, `src/${room} has no dependencies and may not import the package "${specifier}"`);
    }
  };

  /** @type {(node: ts.Node, specifier: string) => void} */
  const checkRelative = (node, specifier) => {
    const target = posix.join(posix.dirname(path), specifier);
    const targetRoom = target.startsWith("src/") ? target.split("/")[1] : undefined;
    const file = target.replace(/\.js$/, ".ts");
    if (targetRoom === undefined) {
      if (!isTest) report(node, `"${specifier}" leaves src`);
    } else if (targetRoom !== room && !MAY_IMPORT[room].includes(targetRoom)) {
      const allowed = MAY_IMPORT[room].join(", ") || "nothing";
      report(node, `src/${room} may not import src/${targetRoom} (allowed: ${allowed})`);
    } else if (isPortable && (targetRoom === "linux" || NODE_FILES.has(file))) {
      report(node, `${file} uses Node, and code that must run anywhere may not import it`);
    }
  };

  /** @type {(node: ts.Node) => void} */
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      if (node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
        checkSpecifier(node.moduleSpecifier, node.moduleSpecifier.text);
        if (!mayPrint && importsPrinter(node)) report(node, `src/${room} may not print`);
      }
    } else if (ts.isImportTypeNode(node)) {
      if (ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
        checkSpecifier(node, node.argument.literal.text);
      }
    } else if (ts.isExternalModuleReference(node)) {
      if (ts.isStringLiteral(node.expression)) checkSpecifier(node, node.expression.text);
    } else if (ts.isCallExpression(node) && loadsModule(node.expression)) {
      const [argument] = node.arguments;
      if (argument && ts.isStringLiteralLike(argument)) checkSpecifier(node, argument.text);
      else if (isPortable) report(node, `src/${room} may not import what is computed at run time`);
    } else if (!mayPrint && prints(node)) {
      report(node, `src/${room} may not print (no console, no process.stdout or stderr)`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return violations;
}

/** @param {ts.Expression} callee */
function loadsModule(callee) {
  return (
    callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === "require")
  );
}

/**
 * `import { stdout } from "node:process"`, or anything of node:console.
 * @param {ts.ImportDeclaration | ts.ExportDeclaration} node
 */
function importsPrinter(node) {
  if (!node.moduleSpecifier || !ts.isStringLiteral(node.moduleSpecifier)) return false;
  const module = node.moduleSpecifier.text.replace(/^node:/, "");
  if (module === "console") return true;
  const bindings = ts.isImportDeclaration(node) ? node.importClause?.namedBindings : undefined;
  if (module !== "process" || !bindings || !ts.isNamedImports(bindings)) return false;
  return bindings.elements.some((e) => ["stdout", "stderr"].includes((e.propertyName ?? e.name).text));
}

/**
 * `console.x`, `console[x]`, `globalThis.console`, `process.stdout`, `process.stderr`.
 * @param {ts.Node} node
 */
function prints(node) {
  if (ts.isElementAccessExpression(node)) return isNamed(node.expression, "console");
  if (!ts.isPropertyAccessExpression(node)) return false;
  if (isNamed(node.expression, "console")) return true;
  if (isNamed(node.expression, "globalThis")) return node.name.text === "console";
  return isNamed(node.expression, "process") && ["stdout", "stderr"].includes(node.name.text);
}

/** @type {(node: ts.Expression, name: string) => boolean} */
const isNamed = (node, name) => ts.isIdentifier(node) && node.text === name;

/**
 * Checks every source file below `root` (bench/ is free of these rules).
 * @param {string} root
 * @returns {Violation[]}
 */
export function checkTree(root) {
  return ["src", "test", "scripts", "web"].flatMap((folder) =>
    sourceFiles(join(root, folder)).flatMap((file) =>
      checkSource({ path: relative(root, file).split(sep).join("/"), text: readFileSync(file, "utf8") }),
    ),
  );
}

/**
 * @param {string} folder
 * @returns {string[]}
 */
function sourceFiles(folder) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // not every folder need exist
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : sourceFiles(path);
    return /\.[mc]?[jt]sx?$/.test(entry.name) ? [path] : [];
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = process.argv[2] ?? fileURLToPath(new URL("..", import.meta.url));
  const violations = checkTree(root);
  for (const { path, line, column, message } of violations)
    console.error(`${path}:${line}:${column} ${message}`);
  if (violations.length > 0) process.exitCode = 1;
}
