import { numbers } from './numbers.ts';
import type { Tensor } from './tensor.ts';

/** Difference of a tensor from a reference, as shares of the reference's range (largest minus smallest value). */
export interface Difference {
  readonly largest: number;
  readonly mean: number;
  /** Largest minus smallest value of the reference; 1 where the reference is constant. */
  readonly range: number;
}

/**
 * Compares tensors of one shape and dtype. A NaN where the reference has a number, and another shape or dtype, count as
 * an infinite difference. Equal infinities and NaNs count as equal.
 */
export function difference(reference: Tensor, tensor: Tensor): Difference {
  const infinite = { largest: Number.POSITIVE_INFINITY, mean: Number.POSITIVE_INFINITY, range: 1 };
  if (reference.dtype !== tensor.dtype || reference.shape.join() !== tensor.shape.join()) return infinite;
  const expected = numbers(reference);
  const given = numbers(tensor);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let largest = 0;
  let sum = 0;
  for (let i = 0; i < expected.length; i++) {
    const value = expected[i]!;
    if (value < low) low = value;
    if (value > high) high = value;
    // Subtracting equal infinities would give NaN.
    const distance = Object.is(value, given[i]) || value === given[i] ? 0 : Math.abs(value - given[i]!);
    if (!(distance <= largest)) largest = Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance;
    sum += distance;
  }
  const range = high > low && Number.isFinite(high - low) ? high - low : 1;
  return { largest: largest / range, mean: expected.length === 0 ? 0 : sum / expected.length / range, range };
}
