/**
 * What stopping a thread does to the system call that it waits in, and how the call goes on as if nothing
 * had been. Source: signal(7) "Interruption of system calls", `arch/x86/kernel/signal.c` (6.18).
 *
 * A stop makes the call return early, with one of the kernel's private errors in rax that says how it is to
 * be started again; the kernel does that when it lets the thread go with the registers it stopped with.
 * Some calls return EINTR instead, stop or signal alike; those that wait for no time in particular can be
 * started again by the same means.
 */

import { REG, type Registers } from "./ptrace.ts";

/** The numbers of calls (x86-64) that need telling apart. */
const NR = {
  poll: 7,
  pause: 34,
  nanosleep: 35,
  semop: 65,
  rt_sigtimedwait: 128,
  rt_sigsuspend: 130,
  futex: 202,
  io_getevents: 208,
  restart_syscall: 219,
  semtimedop: 220,
  clock_nanosleep: 230,
  epoll_wait: 232,
  pselect6: 270,
  ppoll: 271,
  epoll_pwait: 281,
  io_pgetevents: 333,
  epoll_pwait2: 441,
} as const;

const EINTR = 4n;
const ERESTARTSYS = 512n;
const ERESTARTNOINTR = 513n;
const ERESTARTNOHAND = 514n;
const ERESTART_RESTARTBLOCK = 516n;

const FUTEX_COMMAND_MASK = 0x7f;
const FUTEX_WAIT = 0;
const FUTEX_WAIT_BITSET = 9;
const TIMER_ABSTIME = 1;

/** The arguments of a system call, as they are in rdi, rsi, rdx, r10, r8, r9. */
type Arguments = readonly number[];

const isNegativeInt = (argument: number) => argument % 2 ** 32 >= 2 ** 31;
const isNull = (argument: number) => argument === 0;

/** Calls that a stop ends with EINTR, and whether one waits without a limit of time. */
const ENDED_BY_STOP = new Map<number, (args: Arguments) => boolean>([
  [NR.epoll_wait, (args) => isNegativeInt(args[3])],
  [NR.epoll_pwait, (args) => isNegativeInt(args[3])],
  [NR.epoll_pwait2, (args) => isNull(args[3])],
  [NR.semop, () => true],
  [NR.semtimedop, (args) => isNull(args[3])],
  [NR.rt_sigtimedwait, (args) => isNull(args[2])],
  [NR.io_getevents, (args) => isNull(args[4])],
  [NR.io_pgetevents, (args) => isNull(args[4])],
]);

/**
 * Calls that are started again through the restart block, which rt_sigreturn clears, and whether starting
 * one again from the beginning is the same: it waits until a point in time, or without limit.
 */
const USES_RESTART_BLOCK = new Map<number, (args: Arguments) => boolean>([
  [NR.poll, (args) => isNegativeInt(args[2])],
  [NR.nanosleep, () => false],
  [NR.clock_nanosleep, (args) => (args[1] & TIMER_ABSTIME) !== 0],
  [NR.futex, restartsFutex],
  [NR.restart_syscall, () => false],
]);

function restartsFutex(args: Arguments): boolean {
  const command = args[1] & FUTEX_COMMAND_MASK;
  return command === FUTEX_WAIT_BITSET || command !== FUTEX_WAIT || isNull(args[3]);
}

/** Calls that wait for a signal, which they must not miss. */
const AWAITS_SIGNAL = new Map<number, (args: Arguments) => boolean>([
  [NR.pause, () => true],
  [NR.rt_sigsuspend, () => true],
  [NR.ppoll, (args) => !isNull(args[3])],
  [NR.pselect6, (args) => !isNull(args[5])],
]);

/**
 * How well a thread may be stopped where it is; less is better. 0: the call that it waits in goes on,
 * whatever becomes of us. 1: it runs. 2: it waits for signals. 3: the stop shows as EINTR if we die
 * meanwhile. 4: it shows.
 */
export function interruptionRank(number: number | undefined, args: Arguments): 0 | 1 | 2 | 3 | 4 {
  if (number === undefined) return 1;
  const endedByStop = ENDED_BY_STOP.get(number);
  if (endedByStop !== undefined) return endedByStop(args) ? 3 : 4;
  if (USES_RESTART_BLOCK.get(number)?.(args) === false) return 3;
  return AWAITS_SIGNAL.get(number)?.(args) === true ? 2 : 0;
}

const ARGUMENT_REGISTERS = [REG.rdi, REG.rsi, REG.rdx, REG.r10, REG.r8, REG.r9];

/**
 * In a system call, or out of one; an interrupt or a fault, and a call that is not to be started again, have
 * -1.
 */
function callOf(registers: Registers): number | undefined {
  const number = BigInt.asIntN(64, registers[REG.orig_rax]);
  return number < 0n ? undefined : Number(number);
}

/** Whether the thread was stopped in user code, and not on its way out of the kernel. */
export function wasRunning(registers: Registers): boolean {
  return callOf(registers) === undefined;
}

const argumentsOf = (registers: Registers) =>
  ARGUMENT_REGISTERS.map((register) => Number(BigInt.asUintN(53, registers[register])));

const isError = (registers: Registers, error: bigint) => BigInt.asIntN(64, registers[REG.rax]) === -error;

/**
 * Changes the registers that a thread stopped with, so that a call that was ended by the stop alone is
 * started again when the kernel takes them back. It still is EINTR if a handler runs before that. Returns
 * whether there was such a call.
 */
export function undoInterruption(registers: Registers): boolean {
  const call = callOf(registers);
  if (call === undefined || !isError(registers, EINTR)) return false;
  if (ENDED_BY_STOP.get(call)?.(argumentsOf(registers)) !== true) return false;
  registers[REG.rax] = BigInt.asUintN(64, -ERESTARTNOHAND);
  return true;
}

/** The length of `syscall` and of `int $0x80`. */
const SYSCALL_BYTES = 2n;

/**
 * The registers with which user code itself goes on: the same, or at the system call again. This is for
 * rt_sigreturn, behind which the kernel starts nothing again.
 */
export function resumedInUserMode(registers: Registers): Registers {
  const resumed = registers.slice();
  const call = callOf(registers);
  if (call === undefined) return resumed;
  const throughBlock = isError(registers, ERESTART_RESTARTBLOCK);
  const again = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND].some((error) => isError(registers, error));
  if (!again && !throughBlock) return resumed;
  const fromStart = again || USES_RESTART_BLOCK.get(call)?.(argumentsOf(registers)) === true;
  resumed[REG.rax] = fromStart ? registers[REG.orig_rax] : BigInt(NR.restart_syscall);
  resumed[REG.rip] -= SYSCALL_BYTES;
  return resumed;
}
