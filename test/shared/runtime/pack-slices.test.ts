import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { packSlices } from '../../../shared/runtime/pack-slices.ts';
import { crop } from '../../../shared/tensor/tensor.ts';
import { numbers, tinyNetwork } from '../../support/tiny-network.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-slices-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const rest = [
  [0, 3],
  [0, 3],
  [0, 3],
] as const;

it('stores each region of a weight as a blob with the bytes of the region, and leaves out what the skeleton has', async () => {
  const store = await openBlobStore(folder);
  const regions = [
    { tensor: 'w1', box: [[0, 12], ...rest] },
    { tensor: 'w1', box: [[12, 16], ...rest] },
    { tensor: 'b1', box: [[0, 12]] },
  ] as const;
  const packed = await packSlices(tinyNetwork(), regions, store);
  expect(packed.map(({ tensor, box, size }) => ({ tensor, box, size }))).toEqual([
    { ...regions[0], size: 12 * 27 * 4 },
    { ...regions[1], size: 4 * 27 * 4 },
  ]);
  const whole = new Uint8Array(numbers(16 * 27, 1).buffer);
  for (const { sha, size, box } of packed) {
    const expected = crop({ dtype: 'float32', shape: [16, 3, 3, 3], data: whole }, box);
    expect(Buffer.compare(await store.read(sha, 0, size), expected)).toBe(0);
  }
  expect((await readdir(folder)).sort()).toEqual(packed.map(({ sha }) => sha).sort());
});
