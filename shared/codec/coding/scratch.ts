/** Working buffers above this are made for one use and given back, bytes. */
const KEEP_BYTES = 16 * 2 ** 20;

interface Numbers {
  readonly byteLength: number;
  readonly length: number;
}

/**
 * A working buffer that lives as long as its thread: worker threads code thousands of tiles, and fresh memory for each
 * costs more than the coding. Contents are undefined; whoever takes it uses it up before the next take.
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
