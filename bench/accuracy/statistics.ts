/** How sure a figure from a small sample is. */

/** Bounds between which the true figure lies with 95 % confidence. */
export type Interval = readonly [low: number, high: number];

/** Wilson's score interval of a share (Wilson 1927), z = 1.96. */
export function shareInterval(right: number, count: number): Interval {
  const z2 = 1.96 ** 2;
  const share = right / count;
  const centre = (share + z2 / (2 * count)) / (1 + z2 / count);
  const half = (1.96 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2))) / (1 + z2 / count);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * Percentile bootstrap: `measure` on `rounds` samples drawn with replacement from 0..count-1, the middle 95 %.
 * The draws are those of a fixed linear congruential generator (Numerical Recipes), so that a run can be repeated.
 */
export function bootstrapInterval(
  count: number,
  measure: (sample: readonly number[]) => number,
  rounds = 300,
): Interval {
  let state = 12345;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * count);
  };
  const values = Array.from({ length: rounds }, () => measure(Array.from({ length: count }, draw))).sort(
    (a, b) => a - b,
  );
  return [values[Math.floor(rounds * 0.025)]!, values[Math.ceil(rounds * 0.975) - 1]!];
}
