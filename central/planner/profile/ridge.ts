/** One observation: features, and the value that they should add up to, above 0. */
export interface Row {
  readonly features: readonly number[];
  readonly value: number;
}

/** Rounds of coordinate descent at most; the last digits do not matter. */
const ROUNDS = 500;
/** A round that changes every coefficient by less than this share is the last one. */
const SETTLED = 1e-6;

/**
 * The coefficients, none negative, with the least sum of squares of the rows' relative errors, and, `weight` times, of
 * the coefficients' own relative distances from `near`. A coefficient near 0 stays 0. By coordinate descent: each
 * coefficient in turn is set to its best value, or to 0 (Franc, Hlavac, Navara 2005).
 */
export function ridge(rows: readonly Row[], near: readonly number[], weight: number): number[] {
  const columns = near.map((_, j) =>
    rows.flatMap(({ features, value }, i) => (features[j] === 0 ? [] : [{ i, share: features[j]! / value }])),
  );
  const found = [...near];
  const left = rows.map(({ features, value }) => 1 - features.reduce((sum, f, j) => sum + f * near[j]!, 0) / value);
  for (let round = 0; round < ROUNDS; round++) {
    let change = 0;
    columns.forEach((column, j) => {
      const before = found[j]!;
      const prior = near[j]!;
      if (prior <= 0) return;
      let [pull, own] = [weight / prior, weight / prior ** 2];
      for (const { i, share } of column) {
        pull += share * (left[i]! + share * before);
        own += share * share;
      }
      const next = Math.max(0, pull / own);
      for (const { i, share } of column) left[i]! += share * (before - next);
      found[j] = next;
      change = Math.max(change, Math.abs(next - before) / prior);
    });
    if (change < SETTLED) break;
  }
  return found;
}
