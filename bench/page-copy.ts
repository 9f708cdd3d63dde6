/** Ways to copy a page in JavaScript, to choose the one that the model's swap-in is built on. */
import { PAGE_BYTES } from "../src/lab/page-content.ts";
import { type Contender, interleave } from "../src/lab/statistics.ts";
import { hashWords, seededPermutation } from "./support/random.ts";
import { benchOptions, mebibytes, Report } from "./support/report.ts";

const options = benchOptions();
const sizePages = options.quick ? 1024 : 2 ** 18;
const rounds = options.rounds ?? (options.quick ? 3 : 7);
const lengthBytes = sizePages * PAGE_BYTES;
const report = new Report("page-copy", options);

/** (module (import "env" "m" (memory 1)) (func (export "copy") (param i32 i32 i32) (memory.copy ...))) */
const COPY_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0],
  ...[1, 7, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0],
  ...[2, 10, 1, 3, 101, 110, 118, 1, 109, 2, 0, 1],
  ...[3, 2, 1, 0],
  ...[7, 8, 1, 4, 99, 111, 112, 121, 0, 0],
  ...[10, 14, 1, 12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 10, 0, 0, 0x0b],
);

type WasmCopy = (to: number, from: number, lengthBytes: number) => void;

/** The part of WebAssembly's API used here, which the library types of this target do not have. */
interface WasmApi {
  Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: Record<string, unknown> };
}

interface Buffers {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** Copies the page at index order[i] of the source to index i of the target. */
type CopyAll = (order: Uint32Array) => void;

function copies(): { name: string; buffers: Buffers; copyAll: CopyAll }[] {
  const from = new Uint8Array(lengthBytes);
  const to = new Uint8Array(lengthBytes);
  const two: Buffers = { from, to };
  const both = new Uint8Array(2 * lengthBytes);
  const one: Buffers = { from: both.subarray(0, lengthBytes), to: both.subarray(lengthBytes) };
  const [fromFloats, toFloats] = [new Float64Array(from.buffer), new Float64Array(to.buffer)];
  const [fromBigs, toBigs] = [new BigUint64Array(from.buffer), new BigUint64Array(to.buffer)];
  const [fromWords, toWords] = [new Uint32Array(from.buffer), new Uint32Array(to.buffer)];

  const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;
  const memory = new Memory({ initial: (2 * lengthBytes) / 65536 });
  const wasmCopy = new Instance(new Module(COPY_MODULE), { env: { m: memory } }).exports.copy as WasmCopy;
  const wasm: Buffers = {
    from: new Uint8Array(memory.buffer, 0, lengthBytes),
    to: new Uint8Array(memory.buffer, lengthBytes),
  };

  return [
    {
      name: "set(subarray)",
      buffers: two,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          const at = order[i] * PAGE_BYTES;
          to.set(from.subarray(at, at + PAGE_BYTES), i * PAGE_BYTES);
        }
      },
    },
    {
      name: "set(new Uint8Array)",
      buffers: two,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          to.set(new Uint8Array(from.buffer, order[i] * PAGE_BYTES, PAGE_BYTES), i * PAGE_BYTES);
        }
      },
    },
    {
      name: "Float64Array set(subarray)",
      buffers: two,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          const at = order[i] * 512;
          toFloats.set(fromFloats.subarray(at, at + 512), i * 512);
        }
      },
    },
    {
      name: "copyWithin, one buffer",
      buffers: one,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          const at = order[i] * PAGE_BYTES;
          both.copyWithin(lengthBytes + i * PAGE_BYTES, at, at + PAGE_BYTES);
        }
      },
    },
    {
      name: "WebAssembly memory.copy",
      buffers: wasm,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          wasmCopy(lengthBytes + i * PAGE_BYTES, order[i] * PAGE_BYTES, PAGE_BYTES);
        }
      },
    },
    {
      name: "Float64Array loop",
      buffers: two,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          for (let j = 0; j < 512; j++) toFloats[i * 512 + j] = fromFloats[order[i] * 512 + j];
        }
      },
    },
    {
      name: "BigUint64Array loop",
      buffers: two,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          for (let j = 0; j < 512; j++) toBigs[i * 512 + j] = fromBigs[order[i] * 512 + j];
        }
      },
    },
    {
      name: "Uint32Array loop",
      buffers: two,
      copyAll: (order) => {
        for (let i = 0; i < order.length; i++) {
          for (let j = 0; j < 1024; j++) toWords[i * 1024 + j] = fromWords[order[i] * 1024 + j];
        }
      },
    },
  ];
}

/** Finite doubles, so that a copy through Float64Array keeps every bit of them. */
function fillSource(from: Uint8Array): void {
  const words = new Uint32Array(from.buffer, from.byteOffset, lengthBytes / 4);
  let state = options.seed | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state & 0x3fffffff;
  }
}

const orders = {
  sequential: new Uint32Array(sizePages).map((_, index) => index),
  "scattered source": seededPermutation(sizePages, options.seed),
};
const all = copies();
for (const source of new Set(all.map(({ buffers }) => buffers.from))) fillSource(source);
for (const [orderName, order] of Object.entries(orders)) {
  const contenders = all.map(
    ({ name, buffers, copyAll }): Contender => ({
      name,
      prepare: () => void buffers.to.fill(0),
      run: () => copyAll(order),
      check: () => hashWords(new Uint32Array(buffers.to.buffer, buffers.to.byteOffset, lengthBytes / 4)),
    }),
  );
  const series = await interleave(contenders, { rounds, unitsPerRun: sizePages, onRound: report.progress });
  if (new Set(series.map(({ hash }) => hash)).size > 1) throw new Error("the ways to copy do not agree");
  report.series(`Copying ${mebibytes(lengthBytes)} page by page, ${orderName}`, "page", series);
}
report.print();
