import type { TensorSpec } from '../../tensor/tensor.ts';
import type { Operator } from '../shapes/operator.ts';

/** Computes the values of a node's outputs from constant inputs; undefined where it cannot. */
export type FoldRule = (
  op: Operator,
  outputs: readonly (TensorSpec | undefined)[],
) => readonly (readonly number[] | undefined)[] | undefined;
