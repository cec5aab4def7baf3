import type { Model } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';

/** x -> Relu -> y, both float32 of `shape`: a network with almost no computation. */
export function reluModel(shape: readonly number[]): Model {
  return newModel({
    producer: 'tessera-bench',
    name: 'relu',
    nodes: [newNode('Relu', ['x'], ['y'])],
    initializers: new Map(),
    inputs: [valueInfo('x', { dtype: 'float32', shape })],
    outputs: [valueInfo('y', { dtype: 'float32', shape })],
  });
}
