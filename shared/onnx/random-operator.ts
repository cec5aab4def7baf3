import type { GraphNode, Initializer } from './model.ts';
import { numbersOf } from './values.ts';

const RANDOM = /^(Random(Normal|Uniform)(Like)?|Bernoulli|Multinomial)$/;

/**
 * Whether a node draws random numbers, so that its outputs differ from run to run. A Dropout does so only in training
 * mode; `initializers` are the graph's constants.
 */
export function isRandomOperator({ op, inputs }: GraphNode, initializers: ReadonlyMap<string, Initializer>): boolean {
  if (op !== 'Dropout') return RANDOM.test(op);
  // The third input switches to training mode (since version 12; ONNX Runtime ignores older training forms).
  const training = inputs[2] ?? '';
  if (training === '') return false;
  const constant = initializers.get(training);
  return constant === undefined || numbersOf(constant)?.[0] !== 0;
}
