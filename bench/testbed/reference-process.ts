import { decodeFrame, type PictureFrame } from '../../shared/runtime/image.ts';
import { loadSession, type Session } from '../../shared/runtime/ort.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { answerCalls } from './calls.ts';
import type { SentFrame } from './driver-process.ts';

/** A single device: bare ONNX Runtime, one thread, with the decoding of central; and work of a known length. */

let session: Session;
let shape: readonly number[];
let unit = 1;
let sink = 0;

/** Computes, for as long as `rounds` say. */
function spin(rounds: number): void {
  for (let i = 0; i < rounds; i++) sink = Math.imul(sink ^ i, 1_664_525) + 1_013_904_223;
}

function clocked(rounds: number): number {
  const began = performance.now();
  spin(rounds);
  return performance.now() - began;
}

/** What the single device does when called. */
export const reference = {
  async load({ path, input }: { readonly path: string; readonly input: readonly number[] }): Promise<void> {
    session = await loadSession(path, { threads: 1 });
    shape = input;
  },
  /** From the frame to the network's outputs, ms. */
  async frame({ format, base64 }: SentFrame): Promise<{ readonly ms: number; readonly cpuMs: number }> {
    const frame = { format, d: Buffer.from(base64, 'base64') };
    const cpu = process.cpuUsage();
    const began = performance.now();
    await session.run(new Map([[session.inputs[0]!.name, await pixels(frame)]]));
    const ms = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    return { ms, cpuMs: (user + system) / 1000 };
  },
  /** The network's first output for a frame, float32. */
  async output({ format, base64 }: SentFrame): Promise<string> {
    const outputs = await session.run(
      new Map([[session.inputs[0]!.name, await pixels({ format, d: Buffer.from(base64, 'base64') })]]),
    );
    return Buffer.from(outputs.get(session.outputs[0]!.name)!.data).toString('base64');
  },
  /** Finds how long a round takes; to be called while there is no limit. */
  measureUnit: (_: null): number => {
    for (let i = 0; i < 50; i++) spin(1_000_000);
    const times = Array.from({ length: 50 }, () => clocked(1_000_000));
    unit = Math.min(...times) / 1_000_000;
    return unit;
  },
  /** How long work of `workMs` takes, ms, right after other work of `before` ms. */
  work: ({ workMs, before }: { readonly workMs: number; readonly before: number }): number => {
    spin(Math.round(before / unit));
    return clocked(Math.round(workMs / unit));
  },
};

/** A picture as planes of float32, 0 to 1. */
async function pixels(frame: PictureFrame): Promise<Tensor> {
  const [, channels, height, width] = shape as [number, number, number, number];
  const color = channels === 1 ? 'gray' : 'rgb';
  const { data } = await decodeFrame(frame, { width, height, color, resize: 'stretch', crop: 1 });
  const area = width * height;
  const planes = new Float32Array(channels * area);
  for (let at = 0; at < area; at++)
    for (let channel = 0; channel < channels; channel++)
      planes[channel * area + at] = data[channels * at + channel]! / 255;
  return { dtype: 'float32', shape, data: new Uint8Array(planes.buffer) };
}

answerCalls(reference);
