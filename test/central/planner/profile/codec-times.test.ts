import { expect, it } from 'vitest';
import { codecTimes } from '../../../../central/planner/profile/codec-times.ts';

it('times of codecs are found by name, with six digits', () => {
  const codecs = [
    { name: 'raw', encode_ms: 1, decode_ms: 0 },
    { name: 'packed', encode_ms: 12.34567891, decode_ms: 5 },
  ];
  expect(codecTimes({ part_ms: 0.5, codecs })).toEqual({
    part_ms: 0.5,
    codec_ms: { raw: { encode: 1, decode: 0 }, packed: { encode: 12.3457, decode: 5 } },
  });
});
