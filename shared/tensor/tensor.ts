/** Bytes of one element, by dtype name as in NumPy. Data is little endian, order C, everywhere. */
export const DTYPE_BYTES = {
  bool: 1,
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  float16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  uint64: 8,
  int64: 8,
  float64: 8,
} as const;

/** Element type of a tensor, named as in NumPy. */
export type Dtype = keyof typeof DTYPE_BYTES;

/** Whether a string from outside names a dtype. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && Object.hasOwn(DTYPE_BYTES, name);
}

/** Type and shape of a tensor. */
export interface TensorSpec {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** A dense tensor; `data` holds exactly `byteLength(spec)` bytes and its offset is a multiple of the element size. */
export interface Tensor extends TensorSpec {
  readonly data: Uint8Array;
}

/** A region of a tensor: one half-open range `[start, end)` per axis, in elements. */
export type Box = readonly (readonly [start: number, end: number])[];

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** Bytes of a tensor's data. */
export function byteLength(spec: TensorSpec): number {
  return elementCount(spec.shape) * DTYPE_BYTES[spec.dtype];
}

/** The box of a whole tensor. */
export function wholeBox(shape: readonly number[]): Box {
  return shape.map((size) => [0, size] as const);
}

/** The shape of a region. */
export function boxShape(box: Box): number[] {
  return box.map(([start, end]) => end - start);
}

/** Whether a box has the tensor's rank and lies inside it with no axis empty. */
export function boxFits(box: Box, shape: readonly number[]): boolean {
  return (
    box.length === shape.length && box.every(([start, end], axis) => start >= 0 && start < end && end <= shape[axis]!)
  );
}

/** Whether two boxes are the same region. */
export function sameBox(a: Box, b: Box): boolean {
  return a.length === b.length && a.every(([start, end], axis) => start === b[axis]![0] && end === b[axis]![1]);
}

/** Whether a box lies in another one, with no axis empty. */
export function contains(outer: Box, inner: Box): boolean {
  return (
    outer.length === inner.length &&
    inner.every(([start, end], axis) => outer[axis]![0] <= start && start < end && end <= outer[axis]![1])
  );
}

/** Whether two boxes of one tensor have an element in common. */
export function overlaps(a: Box, b: Box): boolean {
  return a.every(([start, end], axis) => Math.max(start, b[axis]![0]) < Math.min(end, b[axis]![1]));
}

/** Calls `visit(offset in the whole, offset in the region, length)` for each contiguous run of a region, in bytes. */
function forEachRun(
  spec: TensorSpec,
  box: Box,
  visit: (wholeOffset: number, regionOffset: number, length: number) => void,
): void {
  const rank = spec.shape.length;
  let run = DTYPE_BYTES[spec.dtype];
  let outer = rank;
  while (outer > 0) {
    const [start, end] = box[outer - 1]!;
    run *= end - start;
    outer--;
    if (start !== 0 || end !== spec.shape[outer]) break;
  }
  const strides = stridesOf(spec);
  let base = 0;
  for (let axis = outer; axis < rank; axis++) base += box[axis]![0] * strides[axis]!;
  let region = 0;
  const walk = (axis: number, offset: number): void => {
    if (axis === outer) {
      visit(offset, region, run);
      region += run;
      return;
    }
    const [start, end] = box[axis]!;
    for (let i = start; i < end; i++) walk(axis + 1, offset + i * strides[axis]!);
  };
  walk(0, base);
}

/** Copies a region of a tensor into new bytes, order C. The box must fit (`boxFits`). */
export function crop(tensor: Tensor, box: Box): Uint8Array {
  const region = new Uint8Array(byteLength({ dtype: tensor.dtype, shape: boxShape(box) }));
  forEachRun(tensor, box, (wholeOffset, regionOffset, length) => {
    region.set(tensor.data.subarray(wholeOffset, wholeOffset + length), regionOffset);
  });
  return region;
}

/** Writes a region's bytes, order C, into a tensor. The box must fit and `region` must have the region's length. */
export function paste(tensor: Tensor, box: Box, region: Uint8Array): void {
  forEachRun(tensor, box, (wholeOffset, regionOffset, length) => {
    tensor.data.set(region.subarray(regionOffset, regionOffset + length), wholeOffset);
  });
}

/**
 * Copies `box` from one region of a tensor to another. The regions' boxes contain it, and their tensors have the same
 * dtype.
 */
export function copyBox(from: Tensor, fromBox: Box, to: Tensor, toBox: Box, box: Box): void {
  let run = DTYPE_BYTES[from.dtype];
  let outer = box.length;
  // Trailing axes that the box spans in both regions are one contiguous run.
  while (outer > 0) {
    outer--;
    const [start, end] = box[outer]!;
    run *= end - start;
    const isSpanned = [fromBox, toBox].every((whole) => whole[outer]![0] === start && whole[outer]![1] === end);
    if (!isSpanned) break;
  }
  const fromStrides = stridesOf(from);
  const toStrides = stridesOf(to);
  const start = (whole: Box, strides: readonly number[]): number =>
    box.reduce((sum, [first], axis) => sum + (first - whole[axis]![0]) * strides[axis]!, 0);
  const walk = (axis: number, source: number, target: number): void => {
    if (axis === outer) {
      to.data.set(from.data.subarray(source, source + run), target);
      return;
    }
    const [first, end] = box[axis]!;
    for (let i = 0; i < end - first; i++)
      walk(axis + 1, source + i * fromStrides[axis]!, target + i * toStrides[axis]!);
  };
  walk(0, start(fromBox, fromStrides), start(toBox, toStrides));
}

/** A box of a region of a tensor as bytes of its own, order C. The region's box contains it. */
export function cropRegion(region: Tensor, regionBox: Box, box: Box): Uint8Array {
  const shape = boxShape(box);
  const cut: Tensor = { dtype: region.dtype, shape, data: new Uint8Array(byteLength({ dtype: region.dtype, shape })) };
  copyBox(region, regionBox, cut, box, box);
  return cut.data;
}

/** Bytes from one element to the next along each axis. */
function stridesOf({ dtype, shape }: TensorSpec): number[] {
  const strides = new Array<number>(shape.length);
  let stride = DTYPE_BYTES[dtype];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}
