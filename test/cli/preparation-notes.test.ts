import { expect, test } from 'vitest';
import { preparationText } from '../../cli/preparation-notes.ts';

test('a note says how many nodes are ready, and of the others how much they have, at which rate, and what is left', () => {
  const fetching = { state: 'fetching', bytes: 34e6, of: 59e6, bytes_per_s: 2.4e6, left_s: 11 } as const;
  const nodes = { a: { state: 'ready' }, b: fetching, c: { state: 'loading' } } as const;
  expect(preparationText('vgg16', { v: 1, plan: 'p', nodes })).toBe(
    'model vgg16: 1 of 3 nodes ready; b fetches 34 of 59 MB at 2.4 MB/s, 11 s left; c loads it',
  );
  const many = Object.fromEntries(Array.from({ length: 6 }, (_, k) => [`n${k}`, { state: 'waiting' as const }]));
  expect(preparationText('m', { v: 1, plan: 'p', nodes: many })).toMatch(/n3 waits its turn; 2 more prepare it$/);
  expect(preparationText('m', { v: 1, plan: 'p', nodes: { a: { state: 'ready' } } })).toBe(undefined);
});
