import { describe, expect, it } from 'vitest';
import { decodeTask } from '../../../central/tasks/task.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { numbers } from '../../../shared/tensor/numbers.ts';
import type { Dtype } from '../../../shared/tensor/tensor.ts';
import { filled, floats, WIDE } from './request.ts';

const outputs = new Map([
  ['features', filled([1, 2, 3, 4], () => 0)],
  ['classes', floats([1, 2], [0.1, 0.9])],
]);

describe('decodeTask', () => {
  it('gives the decoder the outputs that the card names, in its order', () => {
    const card = parseCard({ name: 'm', task: 'classify', output: { tensors: ['classes'] } }, 'x');
    expect(decodeTask(outputs, card, ['a', 'b'], WIDE).top).toEqual({ label: 'b', score: 0.9 });
  });

  it('says which outputs there are when the card names another', () => {
    const card = parseCard({ name: 'm', task: 'classify', output: { tensors: ['logits'] } }, 'x');
    expect(() => decodeTask(outputs, card, [], WIDE)).toThrow(
      expect.objectContaining({ code: 'TESSERA_MODEL_CARD', hint: expect.stringContaining('features, classes') }),
    );
  });

  it('leaves images and raw outputs to those who ask for the tensors', () => {
    for (const task of ['image', 'raw'])
      expect(decodeTask(outputs, parseCard({ name: 'm', task }, 'x'), [], WIDE)).toEqual({
        top: null,
        predictions: [],
      });
  });

  it('asks for the input size where boxes need it', () => {
    const card = parseCard({ name: 'm', task: 'detect', output: { decoder: 'fastestdet' } }, 'x');
    const map = new Map([['y', filled([1, 7, 4, 4], () => 1)]]);
    expect(() => decodeTask(map, card, [], WIDE)).toThrow(expect.objectContaining({ code: 'TESSERA_SHAPE' }));
  });
});

describe('numbers', () => {
  const tensor = (dtype: Dtype, array: { buffer: ArrayBufferLike }) => ({
    dtype,
    shape: [2],
    data: new Uint8Array(array.buffer as ArrayBuffer),
  });

  it('reads every dtype', () => {
    expect([...Array.from(numbers(tensor('float32', Float32Array.of(1.5, -2))))]).toEqual([1.5, -2]);
    expect([...Array.from(numbers(tensor('float64', Float64Array.of(1.5, -2))))]).toEqual([1.5, -2]);
    expect([...Array.from(numbers(tensor('int8', Int8Array.of(1, -2))))]).toEqual([1, -2]);
    expect([...Array.from(numbers(tensor('int16', Int16Array.of(1, -2))))]).toEqual([1, -2]);
    expect([...Array.from(numbers(tensor('int32', Int32Array.of(1, -2))))]).toEqual([1, -2]);
    expect([...Array.from(numbers(tensor('int64', BigInt64Array.of(1n, -2n))))]).toEqual([1, -2]);
    expect([...Array.from(numbers(tensor('uint8', Uint8Array.of(1, 2))))]).toEqual([1, 2]);
    expect([...Array.from(numbers(tensor('bool', Uint8Array.of(1, 0))))]).toEqual([1, 0]);
    expect([...Array.from(numbers(tensor('uint16', Uint16Array.of(1, 65535))))]).toEqual([1, 65535]);
    expect([...Array.from(numbers(tensor('uint32', Uint32Array.of(1, 4294967295))))]).toEqual([1, 4294967295]);
    expect([...Array.from(numbers(tensor('uint64', BigUint64Array.of(1n, 2n))))]).toEqual([1, 2]);
  });

  it('reads half floats: normal, subnormal, infinite, not a number', () => {
    const bits = Uint16Array.of(0x3e00, 0xc000, 0x0001, 0x7c00, 0xfc00, 0x7e00, 0x0000);
    expect(Array.from(numbers({ ...tensor('float16', bits), shape: [7] }))).toEqual([
      1.5,
      -2,
      2 ** -24,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      0,
    ]);
  });
});
