/**
 * The assignment of rows to columns with the least sum of costs: the Hungarian method with potentials (Kuhn 1955; the
 * shortest augmenting path of Jonker and Volgenant 1987), O(rows² columns).
 *
 * Returns for each row its column, or undefined where the row has none: a pair that costs `limit` or more is not made.
 * `cost[row][column]` are finite.
 */
export function assign(cost: readonly (readonly number[])[], limit: number): (number | undefined)[] {
  const rows = cost.length;
  const real = cost[0]?.length ?? 0;
  if (rows === 0 || real === 0) return Array.from({ length: rows }, () => undefined);
  // Every row has a column of its own beside the real ones, at which it stays alone for `limit`.
  const columns = real + rows;
  const costOf = (row: number, column: number): number =>
    column < real ? Math.min(cost[row]![column]!, limit) : limit;
  const rowPotential = new Float64Array(rows + 1);
  const columnPotential = new Float64Array(columns + 1);
  /** By column (from 1; 0 is where a search begins) the row (from 1) that has it; 0: free. */
  const rowOf = new Int32Array(columns + 1);
  for (let row = 1; row <= rows; row++) {
    const before = new Int32Array(columns + 1);
    const least = new Float64Array(columns + 1).fill(Number.POSITIVE_INFINITY);
    const isDone = new Uint8Array(columns + 1);
    rowOf[0] = row;
    let at = 0;
    do {
      isDone[at] = 1;
      const from = rowOf[at]!;
      let delta = Number.POSITIVE_INFINITY;
      let next = 0;
      for (let column = 1; column <= columns; column++) {
        if (isDone[column] === 1) continue;
        const reduced = costOf(from - 1, column - 1) - rowPotential[from]! - columnPotential[column]!;
        if (reduced < least[column]!) {
          least[column] = reduced;
          before[column] = at;
        }
        if (least[column]! < delta) {
          delta = least[column]!;
          next = column;
        }
      }
      for (let column = 0; column <= columns; column++) {
        if (isDone[column] === 1) {
          rowPotential[rowOf[column]!]! += delta;
          columnPotential[column]! -= delta;
        } else least[column]! -= delta;
      }
      at = next;
    } while (rowOf[at] !== 0);
    do {
      const previous = before[at]!;
      rowOf[at] = rowOf[previous]!;
      at = previous;
    } while (at !== 0);
  }
  const columnOf: (number | undefined)[] = Array.from({ length: rows }, () => undefined);
  for (let column = 1; column <= real; column++) {
    const row = rowOf[column]! - 1;
    if (row >= 0 && cost[row]![column - 1]! < limit) columnOf[row] = column - 1;
  }
  return columnOf;
}
