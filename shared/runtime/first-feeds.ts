import { byteLength, type Dtype, elementCount, type Tensor, type TensorSpec } from '../tensor/tensor.ts';

/** Input of a network's first run: zeros, or noise where it needs other values. */
export type FirstFeed = 'zeros' | 'noise';

/** Numbers from 0 to 255 that are the same in every run (a linear congruential generator). */
function noiseBytes(count: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

/** Bytes of small values of the type: floats from 0 to 1, integers of 0 and 1. */
function noiseOf(dtype: Dtype, count: number): Uint8Array {
  const values = noiseBytes(count);
  if (dtype === 'uint8') return values;
  if (dtype === 'float32') return new Uint8Array(Float32Array.from(values, (value) => value / 255).buffer);
  if (dtype === 'float64') return new Uint8Array(Float64Array.from(values, (value) => value / 255).buffer);
  // 1 and 0.5 as half precision.
  if (dtype === 'float16')
    return new Uint8Array(Uint16Array.from(values, (value) => (value & 1 ? 0x3c00 : 0x3800)).buffer);
  const bytes = new Uint8Array(byteLength({ dtype, shape: [count] }));
  const width = bytes.length / Math.max(1, count);
  values.forEach((value, i) => {
    bytes[i * width] = value & 1;
  });
  return bytes;
}

/** An input tensor for a trial run. */
export function firstFeed({ dtype, shape }: TensorSpec, kind: FirstFeed): Tensor {
  const data = kind === 'zeros' ? new Uint8Array(byteLength({ dtype, shape })) : noiseOf(dtype, elementCount(shape));
  return { dtype, shape, data };
}

/** Runs on zeros and, where that fails, on noise: some networks select non-zero elements and find none. */
export async function firstRun<T>(run: (kind: FirstFeed) => Promise<T>): Promise<T> {
  try {
    return await run('zeros');
  } catch (error) {
    return await run('noise').catch(() => {
      throw error;
    });
  }
}
