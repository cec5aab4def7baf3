import type { ClipSpec } from '../../shared/codec/spec.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { withCodePorts } from '../../shared/tiling/code-ports.ts';
import { newNode } from '../../shared/tiling/piece.ts';

/** x [n] -> Relu -> y [n], which with `quantises` leaves as codes: the difference in time is what that costs. */
export function quantisingModel(n: number, quantises: boolean, bits: number): Model {
  const clip: ClipSpec = { name: 'clip', a: 0.2, b: 2, bits };
  const model: Model = {
    irVersion: 8,
    producer: 'tessera-bench',
    opsets: new Map([['', 17]]),
    metadata: new Map(),
    graph: {
      name: 'relu',
      nodes: [newNode('Relu', ['x'], ['y'])],
      initializers: new Map(),
      inputs: [valueInfo('x', { dtype: 'float32', shape: [n] })],
      outputs: [valueInfo('y', { dtype: 'float32', shape: [n] })],
      unknown: new Uint8Array(0),
    },
    unknown: new Uint8Array(0),
  };
  return withCodePorts(model, new Map(), quantises ? new Map([['y', clip]]) : new Map());
}
