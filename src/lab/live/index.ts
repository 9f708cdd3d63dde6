/**
 * The lab's experiments on the running kernel. Linux on x86-64 only.
 *
 * @packageDocumentation
 */
export { type LiveAccuracy, LiveAccuracyLab } from "./accuracy.ts";
export { type LiveFaultAroundRow, measureLiveFaultAround } from "./fault-around.ts";
export { type LivePagemapCost, measureLivePagemap } from "./pagemap-cost.ts";
export { type LiveSwapIn, measureLiveSwapIn, type SwapDeviceKind } from "./swap-in.ts";
