/**
 * A cache of `make` by index, of at most `budgetBytes`: values that do not fit are made again at each call. Calls do not
 * overlap.
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
