import { expect, test } from 'vitest';
import { judgeCamera } from '../../../cli/doctor/camera.ts';
import type { SourceReport } from '../../../shared/protocol/messages/camera.ts';

/** Lost if these fail: somebody whose camera cannot be read is not told why, or that it costs a whole processor. */

const report: SourceReport = {
  source: 'rtsp',
  state: 'online',
  source_fps: 5,
  frames_fps: 5,
  restarts: 0,
  warnings: [],
};
const picture = { width: 640, height: 360, bytes: 20_000, file: '/x/front.jpg' };

test('a camera that cannot be read fails with its reason', () => {
  const offline = { ...report, state: 'offline', reason: 'it refuses user or password' } as const;
  expect(judgeCamera({ name: 'front', report: offline, picture: undefined, waited_s: 20 })).toMatchObject([
    { area: 'camera', name: 'front', status: 'fail', text: 'it refuses user or password' },
  ]);
  expect(judgeCamera({ name: 'front', report: undefined, picture: undefined, waited_s: 20 })[0]!.text).toBe(
    'no picture came within 20 s',
  );
});

test('one that is read says where its picture lies, and what is needlessly expensive', () => {
  const said = {
    ...report,
    codec: 'hevc',
    width: 2560,
    height: 1440,
    cpu_percent: 80,
    warnings: ['it is H.265: set H.264'],
  };
  expect(
    judgeCamera({ name: 'front', report: said, picture, waited_s: 20 }).map(({ status, text }) => [status, text]),
  ).toEqual([
    ['ok', 'a picture of 640x360 pixels, 20 kB, of a stream of 2560x1440 in hevc: /x/front.jpg'],
    ['warn', 'it is H.265'],
    ['warn', 'decoding it takes 80 % of a core'],
  ]);
});
