import { expect, test } from 'vitest';
import { WantedResults } from '../../../central/publish/wanted-results.ts';
import { CAMERA_DEFAULTS } from '../../../shared/config/schema.ts';

test('every result is wanted, unless the camera has an interval or is switched off', () => {
  let now = 0;
  const { publish } = CAMERA_DEFAULTS;
  const slow = { ...CAMERA_DEFAULTS, publish: { ...publish, result: { on: true, interval_s: 2 } } };
  const wanted = new WantedResults({
    known: (camera) => (camera === 'slow' ? slow : CAMERA_DEFAULTS),
    settings: { isOn: (camera) => camera !== 'off' },
    now: () => now,
  });
  const taken = (camera: string): boolean[] =>
    [0, 1000, 2000, 2500, 4000].map((at) => {
      now = at;
      return wanted.take({ camera, model: 'm' });
    });
  expect(taken('front')).toEqual([true, true, true, true, true]);
  expect(taken('slow')).toEqual([true, false, true, false, true]);
  expect(taken('off')).toEqual([false, false, false, false, false]);
});
