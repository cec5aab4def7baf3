import type { GraphNode, Initializer } from './model.ts';
import { numbersOf } from './values.ts';

const RANDOM = /^(Random(Normal|Uniform)(Like)?|Bernoulli|Multinomial)$/;

/** Whether a node makes something else at each run, by random numbers, in a network of these constants. */
export function isRandomOperator({ op, inputs }: GraphNode, initializers: ReadonlyMap<string, Initializer>): boolean {
  if (op !== 'Dropout') return RANDOM.test(op);
  // Whether it trains is its third input (since version 12; before, it does nothing in the runtime).
  const trains = inputs[2] ?? '';
  if (trains === '') return false;
  const constant = initializers.get(trains);
  return constant === undefined || numbersOf(constant)?.[0] !== 0;
}
