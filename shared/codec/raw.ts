import { TesseraError } from '../errors.ts';
import { byteLength } from '../tensor/tensor.ts';
import type { Codec } from './codec.ts';

/** The tensor's bytes, unchanged. */
export const raw: Codec<{ readonly name: 'raw' }> = {
  name: 'raw',
  lossless: true,
  carries: () => true,
  encode: (data) => data,
  decode(bytes, spec) {
    const expected = byteLength(spec);
    if (bytes.byteLength !== expected)
      throw new TesseraError('TESSERA_CODEC', `raw data has ${bytes.byteLength} bytes where ${expected} are expected`);
    return bytes;
  },
};
