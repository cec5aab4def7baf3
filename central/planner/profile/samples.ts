/** Repeats of one measurement, ms: the median, and where 10 % and 90 % of them were shorter. */
export interface SampledTime {
  readonly ms: number;
  readonly p10_ms: number;
  readonly p90_ms: number;
}

/** What samples of one time say, ms. There must be at least one. */
export function sampledTime(samples: readonly number[]): SampledTime {
  const sorted = [...samples].sort((a, b) => a - b);
  return { ms: quantile(sorted, 0.5), p10_ms: quantile(sorted, 0.1), p90_ms: quantile(sorted, 0.9) };
}

/** A quantile of sorted numbers, interpolated between neighbours; of which six digits are kept. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const [low, high] = [sorted[below]!, sorted[Math.ceil(at)]!];
  return rounded(low + (high - low) * (at - below));
}

/** A measured number without digits that mean nothing. */
export function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
