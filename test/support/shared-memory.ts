export { SharedMemory, touchEveryPage } from "../../src/lab/live/shared-memory.ts";
