import { afterAll, beforeAll, expect, test } from 'vitest';
import { DataPlane } from '../../central/data-plane/data-plane.ts';
import { parseCard } from '../../shared/model/card.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';

let data: DataPlane;
beforeAll(async () => {
  data = new DataPlane(
    () => {},
    () => [],
  );
  await data.model({
    name: 'm',
    card: parseCard({ name: 'm', task: 'raw' }, 'm'),
    labels: [],
    input: { name: 'x', dtype: 'uint8', shape: [1, 4, 8, 3] },
    picture: { tensor: 'x', width: 8, height: 4, color: 'rgb', resize: 'stretch', crop: 1 },
    outputs: ['x'],
    names: new Map(),
  });
});
afterAll(() => data.stop());

/** Lost if this fails: each frame that ends while central decodes it leaves its tensors in memory for good. */
test('a frame that is released while it is decoded is not kept', async () => {
  const d = await encodeJpeg(new Uint8Array(96).fill(90), 8, 4, 95);
  const open = (i_id: string) => data.open({ i_id, model: 'm', plan: 'p', frame: { v: 1, format: 'jpeg', d } });
  const released = open('1-0');
  await Promise.all([expect(released).rejects.toThrow('frame 1-0 has ended'), data.release('1-0')]);
  expect(await open('1-1')).toEqual({ width: 8, height: 4 });
});

/** Lost if this fails: cameras whose pictures central reads have no snapshots, and the window does not show them. */
test('the bytes of a picture that is decoded stay with those who show it', async () => {
  const d = await encodeJpeg(new Uint8Array(96).fill(90), 8, 4, 95);
  const { byteLength } = d;
  await data.open({ i_id: '1-2', model: 'm', plan: 'p', frame: { v: 1, format: 'jpeg', d } });
  expect(d.byteLength).toBe(byteLength);
});
