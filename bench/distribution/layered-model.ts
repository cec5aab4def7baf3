import type { Attribute, Initializer, Model } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import type { Plan, Split, Stage } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';
import { createRandom } from '../../shared/random.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';

/** Width and height of the input, and of the layers behind the pooling. */
const SIDE = 32;
const SMALL = 8;
const CHANNELS = 512;

/** Bytes of one of the large layers' weights. */
export const LAYER_BYTES = CHANNELS * CHANNELS * 9 * 4;

/**
 * x [1, 3, 32, 32] -> conv `a` [1, 16, 32, 32] -> pooling -> conv to 512 channels -> `layers` convolutions of 3x3 with
 * 9.4 MB of weights each -> y [1, 512, 8, 8]: many bytes and little to compute. `seed` makes weights of its own.
 */
export function layeredModel(layers: number, seed = 1): Model {
  const ints = (value: number[]): Attribute => ({ kind: 'ints', value });
  const conv = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) };
  const weight = (name: string, dims: number[], stream: number): [string, Initializer] => {
    const random = createRandom(seed, stream);
    const count = dims.reduce((a, b) => a * b, 1);
    const scale = 2 / Math.sqrt(count / dims[0]!);
    const values = Float32Array.from({ length: count }, () => (random.next() - 0.5) * scale);
    return [
      name,
      { name, dtype: 'float32', elementType: 1, dims, data: { kind: 'inline', bytes: new Uint8Array(values.buffer) } },
    ];
  };
  const names = Array.from({ length: layers }, (_, k) => `l${k}`);
  const pool = { kernel_shape: ints([4, 4]), strides: ints([4, 4]) };
  return newModel({
    producer: 'tessera-bench',
    name: 'layered',
    nodes: [
      newNode('Conv', ['x', 'w'], ['c'], conv),
      newNode('Relu', ['c'], ['a']),
      newNode('MaxPool', ['a'], ['p'], pool),
      newNode('Conv', ['p', 'v'], ['s'], conv),
      ...names.flatMap((name, k) => [
        newNode('Conv', [k === 0 ? 's' : `r${k - 1}`, name], [`c${k}`], conv),
        newNode('Relu', [`c${k}`], [k === layers - 1 ? 'y' : `r${k}`]),
      ]),
    ],
    initializers: new Map([
      weight('w', [16, 3, 3, 3], 0),
      weight('v', [CHANNELS, 16, 3, 3], 1),
      ...names.map((name, k) => weight(name, [CHANNELS, CHANNELS, 3, 3], 2 + k)),
    ]),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, CHANNELS, SMALL, SMALL] })],
  });
}

/** A frame for the network. */
export const layeredFrame = { dtype: 'float32', shape: [1, 3, SIDE, SIDE] } as const;

/** A plan for the network, whose stages end at `ends`; all nodes share the tiles of each. */
export function layeredPlan(model: string, ends: readonly { readonly output: string; readonly split: Split }[]): Plan {
  const stages = ends.map(
    ({ output, split }, id): Stage => ({
      id,
      inputs: [id === 0 ? 'x' : ends[id - 1]!.output],
      outputs: [output],
      split,
      on: { mode: 'share', nodes: '*' },
      fallback: 'central',
      codec: {},
    }),
  );
  const body = { model, source: 'central', stages };
  return {
    format: 'tessera-plan/1',
    id: planId(body),
    ...body,
    strategy: 'bench',
    reason: 'pieces of models on their way',
    predicted: null,
  };
}
