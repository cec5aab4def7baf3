import type { GraphNode, Model } from '../../shared/onnx/model.ts';
import { constantTensor } from '../../shared/onnx/values.ts';
import { node, sketch } from '../shared/onnx/build.ts';

/** Networks with constant outputs, whatever the picture: for heads whose right answer is known. */

/** The values of an output. */
export interface Emitted {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** x [1, 3, side, side] -> its mean times `share` -> added to what each output emits; a convolution of `weight` stands first. */
export function emitting(
  outputs: Readonly<Record<string, Emitted>>,
  { weight = 0.3, share = 0, side = 64 } = {},
): Model {
  const nodes: GraphNode[] = [
    node('Conv', ['x', 'w'], ['c']),
    node('GlobalAveragePool', ['c'], ['g']),
    node('Reshape', ['g', 'one'], ['r']),
    node('Mul', ['r', 'share'], ['z']),
    ...Object.keys(outputs).map((name) => node('Add', ['z', `${name}_emitted`], [name])),
  ];
  return sketch({
    nodes,
    inputs: { x: [1, 3, side, side] },
    outputs: Object.keys(outputs),
    constants: [
      constantTensor('w', 'float32', [1, 3, 1, 1], [weight, weight, weight]),
      constantTensor('one', 'int64', [1], [1]),
      constantTensor('share', 'float32', [1], [share]),
      ...Object.entries(outputs).map(([name, { shape, values }]) =>
        constantTensor(`${name}_emitted`, 'float32', shape, values),
      ),
    ],
  });
}
