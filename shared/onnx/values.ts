import { halfToNumber, numberToHalf } from '../tensor/numbers.ts';
import { DTYPE_BYTES, type Dtype, elementCount } from '../tensor/tensor.ts';
import { elementNumber } from './element-types.ts';
import type { Initializer } from './model.ts';

/** Reads one element, for types whose values fit JavaScript numbers (int64 beyond 2^53 becomes the nearest double). */
function reader(dtype: Initializer['dtype'], view: DataView): ((offset: number) => number) | undefined {
  switch (dtype) {
    case 'float16':
      return (offset) => halfToNumber(view.getUint16(offset, true));
    case 'float32':
      return (offset) => view.getFloat32(offset, true);
    case 'float64':
      return (offset) => view.getFloat64(offset, true);
    case 'int64':
      return (offset) => Number(view.getBigInt64(offset, true));
    case 'uint64':
      return (offset) => Number(view.getBigUint64(offset, true));
    case 'int32':
      return (offset) => view.getInt32(offset, true);
    case 'uint32':
      return (offset) => view.getUint32(offset, true);
    case 'int16':
      return (offset) => view.getInt16(offset, true);
    case 'uint16':
      return (offset) => view.getUint16(offset, true);
    case 'int8':
      return (offset) => view.getInt8(offset);
    case 'uint8':
    case 'bool':
      return (offset) => view.getUint8(offset);
    default:
      return undefined;
  }
}

/** Values of an inline constant, order C; undefined for external data and for element types without plain numbers. */
export function numbersOf(tensor: Initializer): number[] | undefined {
  if (tensor.data.kind !== 'inline') return undefined;
  const { bytes } = tensor.data;
  const read = reader(tensor.dtype, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (read === undefined) return undefined;
  const width = DTYPE_BYTES[tensor.dtype as Dtype];
  return Array.from({ length: bytes.length / width }, (_, i) => read(i * width));
}

const INT64_MAX = 2n ** 63n - 1n;

function writer(dtype: Dtype, view: DataView): (offset: number, value: number) => void {
  switch (dtype) {
    case 'float32':
      return (offset, value) => view.setFloat32(offset, value, true);
    case 'float64':
      return (offset, value) => view.setFloat64(offset, value, true);
    case 'int64':
      return (offset, value) => view.setBigInt64(offset, value >= 2 ** 63 ? INT64_MAX : BigInt(value), true);
    case 'uint64':
      return (offset, value) => view.setBigUint64(offset, BigInt(value), true);
    case 'int32':
      return (offset, value) => view.setInt32(offset, value, true);
    case 'uint32':
      return (offset, value) => view.setUint32(offset, value, true);
    case 'int16':
      return (offset, value) => view.setInt16(offset, value, true);
    case 'uint16':
      return (offset, value) => view.setUint16(offset, value, true);
    case 'float16':
      return (offset, value) => view.setUint16(offset, numberToHalf(value), true);
    default:
      return (offset, value) => view.setInt8(offset, value);
  }
}

/** Makes a constant. Throws RangeError where the count of values does not fit `dims`. */
export function constantTensor(
  name: string,
  dtype: Dtype,
  dims: readonly number[],
  values: readonly number[],
): Initializer {
  if (values.length !== elementCount(dims)) throw new RangeError(`${values.length} values for shape [${dims}]`);
  const width = DTYPE_BYTES[dtype];
  const bytes = new Uint8Array(values.length * width);
  const write = writer(dtype, new DataView(bytes.buffer));
  values.forEach((value, i) => {
    write(i * width, value);
  });
  return { name, dtype, elementType: elementNumber(dtype), dims, data: { kind: 'inline', bytes } };
}
