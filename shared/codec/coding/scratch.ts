/** Larger working buffers are allocated for one use and released, bytes. */
const KEEP_BYTES = 16 * 2 ** 20;

interface Numbers {
  readonly byteLength: number;
  readonly length: number;
}

/**
 * A working buffer that is reused by all calls of a thread: worker threads code thousands of tiles, and allocating
 * memory for each costs more than the coding. Its contents are undefined, and valid only until the next call.
 */
export function scratch<T extends Numbers>(make: (length: number) => T): (length: number) => T {
  let held = make(0);
  return (length) => {
    if (held.length >= length) return held;
    const fresh = make(Math.ceil(length * 1.25));
    if (fresh.byteLength <= KEEP_BYTES) held = fresh;
    return fresh;
  };
}
