/** One observation: features, and the value that they should add up to. */
export interface Row {
  readonly features: readonly number[];
  readonly value: number;
}

/** The sums of least squares: of which rows can be taken out again. */
export interface NormalEquations {
  readonly matrix: readonly (readonly number[])[];
  readonly vector: readonly number[];
}

/** Each row counts by its relative error: it is divided by its value. Rows of no value do not count. */
function scaled({ features, value }: Row): readonly number[] | undefined {
  return value > 0 ? features.map((feature) => feature / value) : undefined;
}

/** The normal equations of rows. */
export function normalEquations(rows: readonly Row[], features: number): NormalEquations {
  const matrix = Array.from({ length: features }, () => new Array<number>(features).fill(0));
  const vector = new Array<number>(features).fill(0);
  for (const row of rows) {
    const own = scaled(row);
    own?.forEach((a, i) => {
      vector[i]! += a;
      own.forEach((b, j) => {
        matrix[i]![j]! += a * b;
      });
    });
  }
  return { matrix, vector };
}

/** The equations without one row. */
export function without({ matrix, vector }: NormalEquations, row: Row): NormalEquations {
  const own = scaled(row);
  if (own === undefined) return { matrix, vector };
  return {
    matrix: matrix.map((line, i) => line.map((value, j) => value - own[i]! * own[j]!)),
    vector: vector.map((value, i) => value - own[i]!),
  };
}

/** Rounds of coordinate descent; the features are few, and the last digits do not matter. */
const ROUNDS = 2000;
/** A round that changes every coefficient by less than this share is the last one. */
const SETTLED = 1e-9;

/**
 * The least squares solution of which no coefficient is negative, by coordinate descent: each coefficient in turn is set
 * to its best value, or to 0 (Franc, Hlavac, Navara 2005). More work never takes less time.
 */
export function nonNegative({ matrix, vector }: NormalEquations): number[] {
  const solution = vector.map(() => 0);
  for (let round = 0; round < ROUNDS; round++) {
    let change = 0;
    for (let i = 0; i < solution.length; i++) {
      const own = matrix[i]![i]!;
      if (!(own > 0)) continue;
      let rest = vector[i]!;
      for (let j = 0; j < solution.length; j++) if (j !== i) rest -= matrix[i]![j]! * solution[j]!;
      const next = Math.max(0, rest / own);
      change = Math.max(change, Math.abs(next - solution[i]!) / Math.max(next, solution[i]!, Number.MIN_VALUE));
      solution[i] = next;
    }
    if (change < SETTLED) break;
  }
  return solution;
}
