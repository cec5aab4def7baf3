import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { findCodec } from '../../../shared/codec/codecs.ts';

/**
 * training/tiles.py retrains networks for the decoded values of this codec; `training/test_tiles.py --write` made the
 * file from its formulas. One level off, and every retrained network would be less accurate than its model.yaml says.
 */
interface Vector {
  readonly clip: readonly [low: number, high: number];
  readonly bits: number;
  readonly x: readonly number[];
  readonly y: readonly number[];
}

const vectors = JSON.parse(readFileSync('test/data/clip-vectors.json', 'utf8')) as readonly Vector[];

it.each(vectors)('clip $clip with $bits bits decodes to what the network was trained on', ({ clip, bits, x, y }) => {
  const spec = { dtype: 'float32', shape: [x.length] } as const;
  const codec = { name: 'clip', a: clip[0], b: clip[1], bits } as const;
  const { encode, decode } = findCodec('clip')!;
  const bytes = encode(new Uint8Array(Float32Array.from(x).buffer), spec, codec);
  const given = new Float32Array(decode(bytes, spec, codec).slice().buffer);
  expect([...given]).toEqual(y);
});
