import { expect, it } from 'vitest';
import { piecesOf } from '../../../shared/node/pieces.ts';

it('knows the skeleton and the blobs of a model, and no other', () => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  const blobs = [{ sha: b, size: 7 }];
  const pieces = piecesOf({ format: 'tessera-model/1', name: 'm', skeleton: { sha: a, size: 3 }, blobs });
  expect([pieces.get(a), pieces.get(b), pieces.get('c'.repeat(64))]).toEqual([3, 7, undefined]);
});
