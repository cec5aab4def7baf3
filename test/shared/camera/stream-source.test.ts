import { expect, test } from 'vitest';
import { streamSource } from '../../../shared/camera/stream-source.ts';

const JPEG = [0xff, 0xd8, 0xff, 0xe0, 0, 2, 0xff, 0xd9];

async function* chunks(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.from([...JPEG, ...JPEG.slice(0, 3)]);
  yield Uint8Array.from([...JPEG.slice(3), ...JPEG]);
}

test('a stream of JPEGs is a camera: pictures in order, wherever the stream is cut, until it ends', async () => {
  const source = streamSource(chunks());
  for (const id of ['stream-0', 'stream-1', 'stream-2'])
    expect(await source.next()).toEqual({ id, bytes: Uint8Array.from(JPEG) });
  expect(await source.next()).toBeUndefined();
});
