/**
 * `/proc/PID/maps`: a process's mappings, and the files behind them in `/proc/PID/map_files`.
 * Source: `Documentation/filesystems/proc.rst` (6.18).
 */

import { readProcFile, unescapeOctal } from "./procfs.ts";

/** A line of maps. */
export interface MapsEntry {
  /** First address, and the one after the last; bytes. */
  readonly start: number;
  readonly end: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  /** MAP_SHARED. */
  readonly shared: boolean;
  /** Where in the file the mapping starts. */
  readonly offsetBytes: number;
  /**
   * Of the file's file system: major and minor number as the kernel writes them, "fe:00"; "00:00" if there is
   * no file.
   */
  readonly device: string;
  /** 0 if there is no file. */
  readonly inode: number;
  /**
   * The file's path, or what the kernel calls the mapping: "[heap]", "[anon:name]", "" for nameless memory.
   * Shared anonymous memory is "/dev/zero", a memfd "/memfd:NAME", a SysV segment "/SYSV" and its key: all of
   * them deleted.
   */
  readonly path: string;
  /** The file has no path any more; " (deleted)", which the kernel puts behind the path, is left off. */
  readonly deleted: boolean;
}

const DELETED = " (deleted)";
const LINE =
  /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([sp]) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)$/;

/**
 * The mappings of a process, in order of address: none for a zombie or a kernel thread. Throws a LinuxError:
 * ESRCH if there is no such process, EACCES without ptrace read access. A mapping that changes during the
 * read may be seen as it was before or after, but none is seen twice.
 */
export function readMaps(pid: number): MapsEntry[] {
  return parseMaps(readProcFile(pid, "maps"));
}

export function parseMaps(text: string): MapsEntry[] {
  const entries: MapsEntry[] = [];
  for (const line of text.split("\n")) {
    const entry = parseMapsLine(line);
    if (entry) entries.push(entry);
  }
  return entries;
}

/** undefined: this is not the line of a mapping. */
export function parseMapsLine(line: string): MapsEntry | undefined {
  const match = LINE.exec(line);
  if (!match) return undefined;
  const [, start, end, read, write, exec, shared, offset, device, inode, name] = match;
  const deleted = name.startsWith("/") && name.endsWith(DELETED);
  return {
    start: Number.parseInt(start, 16),
    end: Number.parseInt(end, 16),
    read: read === "r",
    write: write === "w",
    exec: exec === "x",
    shared: shared === "s",
    offsetBytes: Number.parseInt(offset, 16),
    device,
    inode: Number(inode),
    path: unescapeOctal(deleted ? name.slice(0, -DELETED.length) : name),
    deleted,
  };
}

/**
 * The link to the file that is mapped from `start` to `end`. To follow it takes CAP_CHECKPOINT_RESTORE or
 * CAP_SYS_ADMIN.
 */
export function mapFilesPath(pid: number, { start, end }: Pick<MapsEntry, "start" | "end">): string {
  return `/proc/${pid}/map_files/${start.toString(16)}-${end.toString(16)}`;
}
