import type { Model } from '../shared/onnx/model.ts';
import { valueInfo } from '../shared/onnx/value-info-proto.ts';
import { newNode } from '../shared/tiling/piece.ts';

const NOTHING = new Uint8Array(0);

/** x -> Relu -> y, both float32 of `shape`: a network that costs next to nothing. */
export function reluModel(shape: readonly number[]): Model {
  return {
    irVersion: 8,
    producer: 'tessera-bench',
    opsets: new Map([['', 17]]),
    metadata: new Map(),
    graph: {
      name: 'relu',
      nodes: [newNode('Relu', ['x'], ['y'])],
      initializers: new Map(),
      inputs: [valueInfo('x', { dtype: 'float32', shape })],
      outputs: [valueInfo('y', { dtype: 'float32', shape })],
      unknown: NOTHING,
    },
    unknown: NOTHING,
  };
}
