import { expect, it } from 'vitest';
import { codecNames, findCodec } from '../../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../../shared/codec/spec.ts';
import { measureCodecs } from '../../../shared/node/codec-times.ts';
import { RegionStore } from '../../../shared/node/region-store.ts';

it('the time of every codec is told per megabyte of values, without that of handing them over', async () => {
  const store = new RegionStore();
  let now = 0;
  const free: string[] = [];
  const measured = await measureCodecs(
    {
      keep: (iId, from, regions) => {
        store.keep(iId, from, regions);
        return true;
      },
      take: async (iId, asked) => {
        const made = store.take(iId, asked);
        // 1 ms to hand over, and 8 ms for 10^6 bytes of values.
        const values = asked.reduce((sum, { box }) => sum + 4 * box.reduce((all, [a, b]) => all * (b - a), 1), 0);
        now += 1 + (8 * values) / 1e6;
        return made;
      },
      free: (iIds) => {
        free.push(...iIds);
        store.free(iIds);
      },
    },
    () => now,
  );
  expect(measured.part_ms).toBeCloseTo(1, 3);
  expect(measured.codecs.map(({ name }) => name)).toEqual(codecNames());
  for (const { name, encode_ms, decode_ms } of measured.codecs) {
    expect(findCodec(name as CodecSpec['name'])).toBeDefined();
    expect(encode_ms).toBeCloseTo(8, 3);
    expect(decode_ms).toBeCloseTo(8, 3);
  }
  expect(new Set(free)).toEqual(new Set(['0-0']));
});
