import type { Model } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';

/**
 * Tries native code in this process, which may die of it: `node trial-worker.js onnxruntime|sharp` prints one line of
 * JSON, `{ok, said}`. What is native is imported late, so that a module that does not load is an answer and no crash.
 */

const SIDE = 12;
const IN = 3;
const OUT = 8;

/** x [1, 3, 12, 12] -> 3x3 convolution with 8 channels -> ReLU -> y [1, 8, 10, 10]. */
function network(weights: Float32Array): Model {
  const bytes = new Uint8Array(weights.buffer);
  return newModel({
    producer: 'tessera-doctor',
    name: 'trial',
    nodes: [newNode('Conv', ['x', 'w'], ['c']), newNode('Relu', ['c'], ['y'])],
    initializers: new Map([
      ['w', { name: 'w', dtype: 'float32', elementType: 1, dims: [OUT, IN, 3, 3], data: { kind: 'inline', bytes } }],
    ]),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, IN, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, OUT, SIDE - 2, SIDE - 2] })],
  });
}

/** The same in plain arithmetic. */
function expected(x: Float32Array, w: Float32Array): Float32Array {
  const size = SIDE - 2;
  return Float32Array.from({ length: OUT * size * size }, (_, at) => {
    const [o, row, col] = [Math.floor(at / (size * size)), Math.floor(at / size) % size, at % size];
    let sum = 0;
    for (let c = 0; c < IN; c++)
      for (let k = 0; k < 9; k++)
        sum += x[(c * SIDE + row + Math.floor(k / 3)) * SIDE + col + (k % 3)]! * w[(o * IN + c) * 9 + k]!;
    return Math.max(0, sum);
  });
}

async function tryRuntime(): Promise<string> {
  const { loadSession, runtimeVersion } = await import('../../shared/runtime/ort.ts');
  const { writeModel } = await import('../../shared/onnx/write.ts');
  const wave = (length: number, step: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * step));
  const [x, w] = [wave(IN * SIDE * SIDE, 0.37), wave(OUT * IN * 9, 0.73)];
  const started = performance.now();
  const session = await loadSession(writeModel(network(w)), { threads: 1 });
  const feed = { dtype: 'float32', shape: [1, IN, SIDE, SIDE], data: new Uint8Array(x.buffer) } as const;
  const { data } = (await session.run(new Map([['x', feed]]))).get('y')!;
  const took = performance.now() - started;
  const y = new Float32Array(data.slice().buffer);
  const wanted = expected(x, w);
  const worst = Math.max(...wanted.map((value, i) => Math.abs(value - y[i]!)));
  if (!(worst < 1e-4)) throw new Error(`it computes wrong: a convolution is off by ${worst}`);
  return `${runtimeVersion} loads and computes right (${Math.round(took)} ms)`;
}

async function tryPictures(): Promise<string> {
  const { decodeFrame, encodeJpeg } = await import('../../shared/runtime/image.ts');
  const side = 64;
  const rgb = new Uint8Array(side * side * 3).map((_, i) => (i % 3 === 0 ? 200 : 40));
  const jpeg = await encodeJpeg(rgb, side, side, 90);
  const input = { width: side, height: side, color: 'rgb', resize: 'stretch', crop: 1 } as const;
  const { data } = await decodeFrame(jpeg, input);
  const [red = 0, green = 0] = [data[0], data[side * side]];
  if (Math.abs(red - 200) > 20 || Math.abs(green - 40) > 20) throw new Error('a JPEG comes out in wrong colours');
  return 'a JPEG is written and decoded right';
}

const what = process.argv[2];
const answer = await (what === 'onnxruntime' ? tryRuntime() : tryPictures()).then(
  (said) => ({ ok: true, said }),
  (error: unknown) => ({ ok: false, said: error instanceof Error ? error.message.split('\n')[0]! : String(error) }),
);
process.stdout.write(`${JSON.stringify(answer)}\n`);
