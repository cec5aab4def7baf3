import { expect, it } from 'vitest';
import { publishFrame } from '../../cli/frames.ts';
import type { Bus } from '../../shared/ports.ts';
import { partMessage } from '../../shared/protocol/messages.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { decode } from '../../shared/runtime/cbor.ts';

it('parts of a large picture are ones that central reads, however long the name of the file', async () => {
  const sent: Uint8Array[] = [];
  const bus = { publish: async (_topic: string, body: Uint8Array) => void sent.push(body) } as unknown as Bus;
  const d = new Uint8Array(600_000);
  await publishFrame(bus, topics(), 'front', 'x'.repeat(110), { v: 1, format: 'jpeg', d });
  const parts = sent.map((body) => decode(body, partMessage, 'a part'));
  expect(parts.map(({ part }) => part)).toEqual([
    [0, 3],
    [1, 3],
    [2, 3],
  ]);
  expect(new Set(parts.map(({ m }) => m)).size).toBe(1);
});
