/** Throws an Error that names the invariant, unless the condition holds. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Error(`invariant ${invariant}`);
}
