import { expect, test } from 'vitest';
import { halfToNumber, numberToHalf } from '../../../shared/tensor/numbers.ts';

const finite = Array.from({ length: 0x7c00 }, (_, bits) => bits);

test('every half keeps its bits when converted to a number and back', () => {
  expect(
    [...finite, ...finite.map((bits) => bits | 0x8000)].filter((b) => numberToHalf(halfToNumber(b)) !== b),
  ).toEqual([]);
  expect([Infinity, -Infinity, Number.NaN].map(numberToHalf)).toEqual([0x7c00, 0xfc00, 0x7e00]);
});

test('numbers between two halves go to the nearer one, half way to the even one', () => {
  const wrong = finite.slice(1).filter((bits) => {
    const [below, above] = [halfToNumber(bits - 1), halfToNumber(bits)];
    const at = (share: number) => numberToHalf(below + share * (above - below));
    return at(0.49) !== bits - 1 || at(0.51) !== bits || at(0.5) !== (bits % 2 === 0 ? bits : bits - 1);
  });
  expect(wrong).toEqual([]);
  expect([65_519, 65_520, -1e9].map(numberToHalf)).toEqual([0x7bff, 0x7c00, 0xfc00]);
});
