/** The RFC's functional test on the running kernel, its page looked at in three ways. */

import { PAGE_SIZE } from "../abi/index.ts";
import {
  Attachment,
  LinuxTarget,
  LinuxWriteProtection,
  type Mapping,
  PRESENT,
  STATE_MASK,
  SWAP_CACHED,
  SWAPPED,
} from "../residency/index.ts";
import { createLinuxMachine, type LinuxHost, type LinuxMachine } from "../script/linux-machine.ts";
import { mappingAddress } from "../script/machine.ts";
import { type FunctionalResult, type Look, pagemapBits, runFunctionalTest } from "./functional.ts";

/**
 * `pagemap`: what pagemap shows by itself. `marker`: what it shows when the page is armed (write-protected through
 * userfaultfd while it is present), so that page-out leaves a marker. `exact`: what the exact detector answers, by
 * an attachment that heals stale markers.
 */
export type LinuxView = "pagemap" | "marker" | "exact";

/** How a page is looked at, until disposed of. */
interface Viewer extends Disposable {
  readonly look: Look;
}

/** @throws {Error} when an op fails, or a LinuxError where this kernel can't arm pages */
export function runFunctionalOnLinux(host: LinuxHost, view: LinuxView): FunctionalResult {
  const machine = createLinuxMachine(host);
  try {
    if (view === "pagemap") return runFunctionalTest(machine);
    using viewer = view === "marker" ? markerViewer(machine) : exactViewer(machine);
    return runFunctionalTest(machine, viewer.look);
  } finally {
    machine.close();
  }
}

function isTestPage({ start, end }: Mapping): boolean {
  return start === mappingAddress(0) && end === start + PAGE_SIZE;
}

/** Arms the page after each step, if it is present. */
function markerViewer(machine: LinuxMachine): Viewer {
  const { target, protection } = openProcess(machine);
  return {
    look: (shown) => {
      const mapping = target.mappings().find(isTestPage)!;
      protection.register(mapping);
      protection.arm(mapping);
      return pagemapBits(shown);
    },
    [Symbol.dispose]: () => {
      protection[Symbol.dispose]();
      target[Symbol.dispose]();
    },
  };
}

function exactViewer(machine: LinuxMachine): Viewer {
  const { target, protection } = openProcess(machine);
  const attachment = new Attachment({ target, protection, choose: isTestPage });
  return {
    look: () => {
      const state = attachment.pass().scans[0].states[0] & STATE_MASK;
      return { present: state === PRESENT ? 1 : 0, swap: state === SWAPPED || state === SWAP_CACHED ? 1 : 0 };
    },
    [Symbol.dispose]: () => {
      attachment[Symbol.dispose]();
      target[Symbol.dispose]();
    },
  };
}

/** The test's process as a target, and write-protection of its pages. */
function openProcess(machine: LinuxMachine) {
  const process = machine.process("A");
  const target = LinuxTarget.open(process.pid);
  try {
    return { target, protection: new LinuxWriteProtection(process.createUserfaultfd(), target.pagemap) };
  } catch (error) {
    target[Symbol.dispose]();
    throw error;
  }
}
