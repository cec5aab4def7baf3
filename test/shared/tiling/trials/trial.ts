import type { Dtype } from '../../../../shared/tensor/tensor.ts';
import type { Dice } from '../dice.ts';
import type { Network, Plain } from '../network.ts';

/** One operator with random attributes; `build` adds it after a new input and returns the outputs to compare. */
export interface Trial {
  readonly op: string;
  /** Operator sets to test: those that changed the operator, and some between. */
  readonly opsets: readonly number[];
  readonly build: (net: Network, dice: Dice) => string[];
}

/** Attributes by name; left out where a value is undefined. */
export type Attributes = Record<string, Plain | undefined>;

/** Leaves out what is undefined. */
export function given(attributes: Attributes): Record<string, Plain> {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as Record<
    string,
    Plain
  >;
}

export const FLOATS: readonly Dtype[] = ['float32', 'float16', 'float64'];
export const WHOLE: readonly Dtype[] = ['int32', 'int64', 'uint8', 'int8'];

/** A new input map [1, channels, rows, cols]. */
export function map(net: Network, dice: Dice, channels: number, dtype: Dtype = 'float32'): string {
  return net.input([1, channels, dice.int(5, 17), dice.int(5, 17)], dtype);
}

export const float = (value: number): Plain => ({ float: value });
