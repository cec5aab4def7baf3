import { expect, test } from 'vitest';
import { CameraFeeds } from '../../../central/ingest/feeds.ts';
import type { Shot } from '../../../shared/camera/source.ts';
import { sourceSettings } from '../../../shared/camera/source-settings.ts';
import type { Arrival } from '../../../shared/runtime/frame-parser.ts';

/** Lost if these fail: two frames have one id, or a rate that was set has no effect. */

const JPEG = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0);

/** Cameras that the test moves on. */
function feeds() {
  const opened: { readonly fps: number | undefined; send(shot: Shot | undefined): Promise<void>; stops: number }[] = [];
  const offered: Arrival[] = [];
  const warnings: string[] = [];
  let rate = 5;
  const one = new CameraFeeds({
    cameras: new Map([['front', sourceSettings({ kind: 'synthetic' }, {})]]),
    open: (_, { fps }) => {
      let resolve: (shot: Shot | undefined) => void = () => {};
      const camera = {
        fps,
        stops: 0,
        async send(shot: Shot | undefined) {
          resolve(shot);
          await new Promise(setImmediate);
        },
      };
      opened.push(camera);
      return {
        next: () =>
          new Promise((found) => {
            resolve = found;
          }),
        stop: async () => {
          camera.stops++;
          await camera.send(undefined);
        },
      };
    },
    work: { stop: async () => {} },
    rate: () => rate,
    offer: async (arrival) => void offered.push(arrival),
    epoch: 7,
    throttledLog: { warn: (_, text) => void warnings.push(text) },
  });
  const setRate = async (fps: number) => {
    rate = fps;
    one.rateChanged('front');
    await new Promise(setImmediate);
  };
  return { one, opened, offered, warnings, setRate };
}

test('pictures become frames whose ids differ, also of files with one name', async () => {
  const { one, opened, offered, warnings } = feeds();
  one.start();
  for (let count = 0; count < 2; count++) await opened[0]!.send({ id: 'a.jpg', bytes: JPEG });
  await opened[0]!.send({ id: 'b.txt', bytes: Uint8Array.of(1, 2, 3) });
  expect(offered.map(({ frame }) => frame)).toEqual(['a.jpg-7-0', 'a.jpg-7-1']);
  expect(offered[0]).toMatchObject({ camera: 'front', named: true, envelope: { format: 'jpeg', d: JPEG } });
  expect(warnings).toHaveLength(1);
  await one.stop();
  expect(opened[0]!.stops).toBe(1);
});

test('a rate that is set while frames flow opens the source again with it', async () => {
  const { one, opened, offered, setRate } = feeds();
  one.start();
  await opened[0]!.send({ id: 'a', bytes: JPEG });
  await setRate(2);
  await setRate(0);
  expect(opened.map(({ fps }) => fps)).toEqual([5, 2, undefined]);
  expect(opened.map(({ stops }) => stops)).toEqual([1, 1, 0]);
  await opened[2]!.send({ id: 'a', bytes: JPEG });
  expect(offered.map(({ frame }) => frame)).toEqual(['a-7-0', 'a-7-1']);
  await one.stop();
  await setRate(3);
  expect(opened).toHaveLength(3);
});
