import type { LoadRequest } from '../../central/served-model.ts';
import { drawnPictures } from '../../cli/demo/scene-source.ts';
import { loadRequestFor } from '../../cli/models.ts';
import { resolveConfig } from '../../shared/config/layers.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { Attribute, Initializer } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import type { CameraTask } from './camera-worker.ts';

/** A network to measure, and the frame that the camera sends. */
export interface Network {
  readonly name: string;
  readonly request: LoadRequest;
  readonly frame: CameraTask['frame'];
}

/** x [1, 3, 32, 32] -> two 3x3 convolutions with 8 channels, tiled -> global average and a dense layer: 0.8 MMAC. */
export function tiny(): Network {
  const side = 32;
  const ints = (value: number[]): Attribute => ({ kind: 'ints', value });
  const attributes = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) };
  const weight = (name: string, dims: number[]): [string, Initializer] => {
    const values = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i) / 4);
    const data = { kind: 'inline', bytes: new Uint8Array(values.buffer) } as const;
    return [name, { name, dtype: 'float32', elementType: 1, dims, data }];
  };
  const model = newModel({
    producer: 'tessera-bench',
    name: 'tiny',
    nodes: [
      newNode('Conv', ['x', 'w1'], ['c1'], attributes),
      newNode('Relu', ['c1'], ['r1']),
      newNode('Conv', ['r1', 'w2'], ['c2'], attributes),
      newNode('Relu', ['c2'], ['r2']),
      newNode('GlobalAveragePool', ['r2'], ['g']),
      newNode('Flatten', ['g'], ['f']),
      newNode('MatMul', ['f', 'w3'], ['y']),
    ],
    initializers: new Map([weight('w1', [8, 3, 3, 3]), weight('w2', [8, 8, 3, 3]), weight('w3', [8, 10])]),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, side, side] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, 10] })],
  });
  const input = new Float32Array(3 * side * side).map((_, i) => Math.sin(i));
  return {
    name: 'tiny',
    request: {
      name: 'tiny',
      card: parseCard({ name: 'tiny', task: 'raw' }, 'tiny'),
      labels: [],
      model,
      picture: false,
    },
    frame: { format: 'tensor', base64: Buffer.from(input.buffer).toString('base64'), shape: [1, 3, side, side] },
  };
}

/** The bundled network on a drawn picture. */
export async function bundled(): Promise<Network> {
  const { request } = await loadRequestFor('scenes', resolveConfig([]).config);
  const [picture] = await drawnPictures(1);
  return { name: 'scenes', request, frame: { format: 'jpeg', base64: Buffer.from(picture!).toString('base64') } };
}
