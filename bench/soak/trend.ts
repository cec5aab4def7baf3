/** A straight line through samples (least squares), in units a minute. */
export interface Trend {
  readonly mean: number;
  readonly perMinute: number;
  /** Standard error of `perMinute`, as far as the lows are independent of each other. */
  readonly error: number;
  /** The lows, rounded. */
  readonly lows: readonly number[];
}

/** One value at one time, seconds. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

/**
 * The trend of the lows: what garbage collection will take back is no growth, so samples are cut into `windows` of equal
 * length, and a line is laid through the least value of each. Needs at least three windows with samples.
 */
export function trendOfLows(samples: readonly Sample[], windows: number): Trend {
  const first = samples[0]?.at ?? 0;
  const length = ((samples.at(-1)?.at ?? 0) - first) / windows;
  const lows = new Map<number, Sample>();
  for (const sample of samples) {
    const window = Math.min(windows - 1, Math.floor((sample.at - first) / length));
    const low = lows.get(window);
    if (low === undefined || sample.value < low.value) lows.set(window, sample);
  }
  const points = [...lows.values()].map(({ at, value }) => ({ x: at / 60, y: value }));
  const n = points.length;
  const mean = (pick: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + pick(point), 0) / n;
  const [mx, my] = [mean(({ x }) => x), mean(({ y }) => y)];
  const sxx = points.reduce((sum, { x }) => sum + (x - mx) ** 2, 0);
  const sxy = points.reduce((sum, { x, y }) => sum + (x - mx) * (y - my), 0);
  const perMinute = sxy / sxx;
  const rest = points.reduce((sum, { x, y }) => sum + (y - my - perMinute * (x - mx)) ** 2, 0);
  const error = Math.sqrt(rest / Math.max(1, n - 2) / sxx);
  return { mean: my, perMinute, error, lows: points.map(({ y }) => Math.round(y * 10) / 10) };
}
