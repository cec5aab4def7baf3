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
  const strides = new Array<number>(rank);
  let stride = DTYPE_BYTES[spec.dtype];
  for (let axis = rank - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= spec.shape[axis]!;
  }
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
