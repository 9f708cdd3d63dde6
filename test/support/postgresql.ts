/** A PostgreSQL server of Debian's package, on a socket of its own, under a memory limit. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Confined } from "./confined.ts";

const PACKAGE = "/usr/lib/postgresql";

function binaries(): string | undefined {
  if (!existsSync(PACKAGE)) return undefined;
  return readdirSync(PACKAGE)
    .map((version) => join(PACKAGE, version, "bin"))
    .find((folder) => existsSync(join(folder, "postgres")));
}

function idOf(option: "-u" | "-g"): number {
  return Number(execFileSync("id", [option, "postgres"], { encoding: "utf8" }));
}

/** What a process of the server says it does; "" if it has ended. */
function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}

export class PostgresServer implements Disposable {
  readonly confined: Confined;
  readonly #psql: string;

  /** What is missing to run one; undefined if nothing is. */
  static obstacle(): string | undefined {
    return binaries() === undefined ? "PostgreSQL (Debian: apt-get install postgresql)" : undefined;
  }

  private constructor(confined: Confined, psql: string) {
    this.confined = confined;
    this.#psql = psql;
  }

  /** `settings` are of postgresql.conf. What would change pages at rest is switched off. */
  static async start(settings: Readonly<Record<string, string>>): Promise<PostgresServer> {
    const bin = binaries() ?? "";
    const user = { uid: idOf("-u"), gid: idOf("-g") };
    // SIGQUIT ends it at once, and it still removes its shared memory.
    const confined = new Confined({ name: "postgresql", endSignal: "QUIT", user });
    try {
      const { folder } = confined;
      const data = join(folder, "data");
      const initdb = ["-D", data, "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"];
      execFileSync(join(bin, "initdb"), initdb, { ...user, cwd: folder, stdio: "pipe" });
      const all = { listen_addresses: "", autovacuum: "off", fsync: "off", ...settings };
      const options = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
      confined.start(join(bin, "postgres"), ["-D", data, "-k", folder, ...options]);
      await confined.until("ready", () => confined.output.includes("ready to accept connections"));
      return new PostgresServer(confined, join(bin, "psql"));
    } catch (error) {
      confined[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs SQL; returns what psql prints, without headers. */
  async query(sql: string): Promise<string> {
    const args = ["-h", this.confined.folder, "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql];
    const { stdout } = await promisify(execFile)(this.#psql, args);
    return stdout.trim();
  }

  /** Stops the server, once the sessions of queries have ended. */
  async pause(): Promise<void> {
    await this.confined.until("no session", () => {
      const titles = this.confined.pids().map(titleOf);
      return titles.every((title) => title !== "" && !title.includes("[local]"));
    });
    this.confined.pause();
  }

  [Symbol.dispose](): void {
    this.confined[Symbol.dispose]();
  }
}
