/** The workloads there are. */

import { type Scene, type Workload, WorkloadError } from "./workload.ts";

/** Children until there are as many processes as may be. */
function forkAll(scene: Scene): void {
  for (let i = 1; i < scene.options.processes; i++) scene.fork();
}

/** Does one of these with its chance; false if none came up. */
function oneOf(scene: Scene, chances: readonly (readonly [rate: number, act: () => void])[]): boolean {
  for (const [rate, act] of chances) {
    if (!scene.chance(rate)) continue;
    act();
    return true;
  }
  return false;
}

export const WORKLOADS: readonly Workload[] = [
  {
    name: "vm",
    summary: "one VM with a cold tail that is paged out, a balloon, and now and then pressure",
    setUp: (scene) => scene.map(),
    step: (scene) => {
      const { zapRate, pageOutRate } = scene.options;
      const done = oneOf(scene, [
        [pageOutRate, () => scene.advise("A", "PAGEOUT", scene.coldRun())],
        [pageOutRate / 8, () => scene.reclaim()],
        [zapRate, () => scene.advise("A", "DONTNEED", scene.hotRun())],
        [zapRate / 4, () => scene.advise("A", "REMOVE", scene.coldRun())],
      ]);
      if (!done) scene.access("A", 0.4);
    },
  },
  {
    name: "database",
    summary: "several processes share a database's buffers; backends come and go",
    setUp: (scene) => {
      scene.map();
      forkAll(scene);
    },
    step: (scene) => {
      const { zapRate, pageOutRate } = scene.options;
      const done = oneOf(scene, [
        [pageOutRate / 4, () => scene.reclaim()],
        [zapRate, () => scene.advise(scene.pick(), "DONTNEED", scene.hotRun())],
        [0.02, () => scene.exitOne()],
        [0.05, () => scene.fork()],
      ]);
      if (!done) scene.access(scene.pick(1), 0.3);
    },
  },
  {
    name: "fork-server",
    summary:
      "a parent with warm memory forks children that read a little and end; a quarter was never written",
    setUp: (scene) => scene.map((scene.options.pages * 3) >> 2),
    step: (scene) => {
      const { zapRate, pageOutRate } = scene.options;
      const done = oneOf(scene, [
        [0.15, () => scene.fork()],
        [0.1, () => scene.exitOne()],
        [pageOutRate / 2, () => scene.advise("A", "PAGEOUT", scene.coldRun())],
        [pageOutRate / 4, () => scene.reclaim()],
        [zapRate, () => scene.advise("A", "DONTNEED", scene.hotRun())],
      ]);
      if (!done) scene.access(scene.pick(), 0.1, scene.chance(0.3) ? scene.coldRun() : scene.hotRun());
    },
  },
  {
    name: "migration",
    summary: "a VM runs while a second process reads all its memory, and what was cold is paged out again",
    setUp: (scene) => {
      scene.map();
      scene.fork();
      scene.advise("A", "PAGEOUT", {
        first: scene.options.pages >> 2,
        pages: (scene.options.pages * 3) >> 2,
      });
    },
    step: (scene) => {
      const { zapRate, pageOutRate, processes } = scene.options;
      if (scene.chance(0.4)) {
        const run = scene.nextRun(4);
        scene.access(processes > 1 ? "B" : "A", 0, run);
        // The reader lets go of what it has sent, and the VM's side sends it back to swap.
        if (processes > 1) scene.advise("B", "DONTNEED", run);
        scene.advise("A", "PAGEOUT", run);
        return;
      }
      const done = oneOf(scene, [
        [pageOutRate, () => scene.advise("A", "PAGEOUT", scene.coldRun())],
        [pageOutRate / 8, () => scene.reclaim()],
        [zapRate, () => scene.advise("A", "DONTNEED", scene.hotRun())],
      ]);
      if (!done) scene.access("A", 0.4);
    },
  },
  {
    name: "snapshot",
    summary: "a VM's memory is saved, and in part restored, through its descriptor while it runs",
    setUp: (scene) => scene.map(),
    step: (scene) => {
      const { zapRate, pageOutRate } = scene.options;
      const done = oneOf(scene, [
        [0.2, () => scene.descriptor("readfd", scene.nextRun(8))],
        [0.03, () => scene.descriptor("writefd", scene.coldRun())],
        [pageOutRate, () => scene.advise("A", "PAGEOUT", scene.coldRun())],
        [pageOutRate / 8, () => scene.reclaim()],
        [zapRate, () => scene.advise("A", "DONTNEED", scene.hotRun())],
      ]);
      if (!done) scene.access("A", 0.4);
    },
  },
  {
    name: "pressure",
    summary: "two processes under memory pressure, with swap taken away now and then",
    setUp: (scene) => {
      scene.map();
      scene.fork();
    },
    step: (scene) => {
      const { zapRate, pageOutRate } = scene.options;
      const done = oneOf(scene, [
        [pageOutRate / 2, () => scene.reclaim()],
        [scene.swapIsOn ? pageOutRate / 10 : 0.2, () => scene.toggleSwap()],
        [pageOutRate / 4, () => scene.advise(scene.pick(), "PAGEOUT", scene.coldRun())],
        [zapRate, () => scene.advise(scene.pick(), "DONTNEED", scene.hotRun())],
      ]);
      if (!done) scene.access(scene.pick(), 0.3);
    },
  },
];

/** Throws a {@link WorkloadError} that lists the names there are. */
export function workloadNamed(name: string): Workload {
  const found = WORKLOADS.find((workload) => workload.name === name);
  if (found !== undefined) return found;
  const names = WORKLOADS.map((workload) => workload.name).join(", ");
  throw new WorkloadError(`unknown workload "${name}": there are ${names}`);
}
