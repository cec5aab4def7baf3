/**
 * What `make` gives for each index, kept as long as all that is kept takes at most `budgetBytes`; the rest is made again
 * each time. Asked for in turn, so nothing is made twice at once.
 */
export function remembered<T>(
  budgetBytes: number,
  make: (index: number) => Promise<T>,
  bytesOf: (value: T) => number,
): (index: number) => Promise<T> {
  const kept = new Map<number, T>();
  let left = budgetBytes;
  return async (index) => {
    const known = kept.get(index);
    if (known !== undefined) return known;
    const made = await make(index);
    const bytes = bytesOf(made);
    if (bytes <= left) {
      left -= bytes;
      kept.set(index, made);
    }
    return made;
  };
}
