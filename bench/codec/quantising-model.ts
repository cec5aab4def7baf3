import type { ClipSpec } from '../../shared/codec/spec.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { withQuantisedIo } from '../../shared/tiling/quantised-io.ts';
import { reluModel } from '../harness/relu-model.ts';

/** x [n] -> Relu -> y [n], which with `quantises` leaves as codes: the difference in time is what that costs. */
export function quantisingModel(n: number, quantises: boolean, bits: number): Model {
  const clip: ClipSpec = { name: 'clip', a: 0.2, b: 2, bits };
  return withQuantisedIo(reluModel([n]), new Map(), quantises ? new Map([['y', clip]]) : new Map());
}
