import { expect, test } from 'vitest';
import { FrameHolder } from '../../../shared/node/frame-holder.ts';
import { RegionIndex } from '../../../shared/node/region-index.ts';
import type { WireRegion } from '../../../shared/protocol/messages/region.ts';
import { encodeJpeg } from '../../../shared/runtime/image.ts';

/** Lost if this fails: a part that runs where its frame was born finds no input there, or another one than central makes. */

const PICTURE = { tensor: 'x', width: 8, height: 4, color: 'rgb', resize: 'stretch', crop: 1 } as const;

function holder(limitBytes: number) {
  const kept: { iId: string; region: WireRegion }[] = [];
  const regions = new RegionIndex(limitBytes, () => {});
  const keep = (iId: string, from: string | undefined, made: readonly WireRegion[]): boolean => {
    // Parts that run here look for it as for what was made here.
    expect(from).toBeUndefined();
    kept.push({ iId, region: made[0]! });
    return true;
  };
  const plans = { pictureOf: (plan: string) => (plan === 'p-1' ? PICTURE : undefined) };
  return { kept, regions, frames: new FrameHolder({ plans, regions, executor: { keep }, now: () => 0 }) };
}

const picture = async () =>
  ({ v: 1, format: 'jpeg', d: await encodeJpeg(new Uint8Array(96).fill(90), 8, 4, 95) }) as const;

test('a picture is held as the whole input of the network, where parts find it', async () => {
  const { kept, regions, frames } = holder(1e6);
  await frames.hold('1-0', 'p-1', await picture());
  const [{ iId, region }] = kept as [(typeof kept)[0]];
  expect({ iId, ...region, d: region.d.byteLength }).toEqual({
    iId: '1-0',
    tensor: 'x',
    box: [
      [0, 1],
      [0, 4],
      [0, 8],
      [0, 3],
    ],
    dtype: 'uint8',
    shape: [1, 4, 8, 3],
    codec: { name: 'raw' },
    d: 96,
  });
  const tile = {
    tensor: 'x',
    box: [
      [0, 1],
      [1, 3],
      [2, 8],
      [0, 3],
    ] as [number, number][],
    bytes: 36,
  };
  expect(regions.begin({ iId: '1-0', plan: 'p-1', needs: [tile], makes: [] }, 0)).toBeUndefined();
});

test('without the plan, without room, or without a picture nothing is held', async () => {
  const { kept, frames } = holder(1e6);
  await expect(frames.hold('1-0', 'p-2', await picture())).rejects.toMatchObject({ code: 'TESSERA_PLAN_INVALID' });
  const broken = { v: 1, format: 'jpeg', d: Uint8Array.of(0xff, 0xd8, 0xff) } as const;
  await expect(frames.hold('1-0', 'p-1', broken)).rejects.toMatchObject({ code: 'TESSERA_INPUT_INVALID' });
  const full = holder(100);
  await expect(full.frames.hold('1-0', 'p-1', await picture())).rejects.toMatchObject({
    code: 'TESSERA_INPUT_TOO_LARGE',
  });
  expect([...kept, ...full.kept]).toEqual([]);
});

test('a frame that central has opened twice, since an answer was lost, is held once and not refused for want of room', async () => {
  const { kept, frames } = holder(300);
  await Promise.all([frames.hold('1-0', 'p-1', await picture()), frames.hold('1-0', 'p-1', await picture())]);
  await frames.hold('1-0', 'p-1', await picture());
  expect(kept).toHaveLength(1);
  await expect(frames.hold('1-1', 'p-1', await picture())).rejects.toMatchObject({ code: 'TESSERA_INPUT_TOO_LARGE' });
});

test('what another node sent of frames that nobody asked for makes room for one that is opened, which is not dropped for others', async () => {
  const { kept, regions, frames } = holder(400);
  const sent = [{ tensor: 'x', box: [[0, 1]] as [number, number][], bytes: 150 }];
  regions.receive('1-7', 'p-1', 'pi-2', sent, 0);
  await frames.hold('1-0', 'p-1', await picture());
  expect(kept).toHaveLength(1);
  expect(regions.receive('1-8', 'p-1', 'pi-2', sent, 0)).toEqual([]);
  const maker = { iId: '1-1', plan: 'p-1', needs: [], makes: sent };
  expect(regions.begin(maker, 0)).toMatchObject({ code: 'out-of-memory' });
  expect(regions.holds('1-0', 'x')).toBe(true);
});

test('a frame that another node sent under another plan is opened all the same', async () => {
  const { kept, regions, frames } = holder(1e6);
  regions.receive('1-0', 'p-2', 'pi-2', [{ tensor: 'x', box: [[0, 1]], bytes: 150 }], 0);
  await frames.hold('1-0', 'p-1', await picture());
  expect(kept).toHaveLength(1);
  expect(
    regions.begin(
      {
        iId: '1-0',
        plan: 'p-1',
        needs: [
          {
            tensor: 'x',
            box: [
              [0, 1],
              [0, 4],
              [0, 8],
              [0, 3],
            ],
            bytes: 96,
          },
        ],
        makes: [],
      },
      0,
    ),
  ).toBeUndefined();
});
