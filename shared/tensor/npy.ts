import type { Dtype, Tensor } from './tensor.ts';

/** NumPy's names of element types (numpy.lib.format): byte order, kind, bytes. */
const DESCRIPTIONS: Record<Dtype, string> = {
  bool: '|b1',
  uint8: '|u1',
  int8: '|i1',
  uint16: '<u2',
  int16: '<i2',
  float16: '<f2',
  uint32: '<u4',
  int32: '<i4',
  float32: '<f4',
  uint64: '<u8',
  int64: '<i8',
  float64: '<f8',
};

/**
 * A tensor as a .npy file of version 1.0, which `numpy.load` reads:
 *
 *     93 "NUMPY" 01 00, length of the header (two bytes, little-endian), header padded with spaces to 64 bytes and ended
 *     by a line feed, elements in C order
 */
export function npyOf({ dtype, shape, data }: Tensor): Uint8Array {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const header = `{'descr': '${DESCRIPTIONS[dtype]}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const total = Math.ceil((10 + header.length + 1) / 64) * 64;
  const padded = `${header.padEnd(total - 11)}\n`;
  const bytes = new Uint8Array(total + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, (total - 10) & 0xff, (total - 10) >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  bytes.set(data, total);
  return bytes;
}
