import { describe, expect, it } from 'vitest';
import { CameraSettings, type KeptSettings } from '../../../central/settings/camera-settings.ts';
import { CAMERA_DEFAULTS } from '../../../shared/config/schema.ts';

/** Lost if these fail: a switch of Home Assistant does nothing, or is forgotten with the next restart. */

function opened(kept: KeptSettings = {}) {
  const written: KeptSettings[] = [];
  const front = {
    ...CAMERA_DEFAULTS,
    max_fps: 5,
    publish: { ...CAMERA_DEFAULTS.publish, crop: { on: false, interval_s: 1 } },
  };
  const settings = new CameraSettings({
    known: (camera) => (camera === 'front' ? front : undefined),
    models: () => ['person', 'cat'],
    kept,
    keep: (all) => written.push(all),
  });
  return { settings, written };
}

describe('camera settings', () => {
  it('are those of the configuration until somebody sets them', () => {
    const { settings } = opened();
    expect([settings.isOn('front', 'detect'), settings.isOn('front', 'crop')]).toEqual([true, false]);
    expect([settings.text('front', 'max_fps'), settings.number('front', 'threshold')]).toEqual(['5', 0]);
    expect(settings.model('front')).toBeUndefined();
  });

  it('change at once and are kept, until they are what the configuration says again', () => {
    const { settings, written } = opened();
    expect(settings.set('front', 'detect', 'OFF')).toBeUndefined();
    expect(settings.set('front', 'model', 'cat')).toBeUndefined();
    expect([settings.isOn('front', 'detect'), settings.model('front')]).toEqual([false, 'cat']);
    expect(written.at(-1)).toEqual({ front: { detect: 'OFF', model: 'cat' } });
    expect(opened(written.at(-1)).settings.isOn('front', 'detect')).toBe(false);
    settings.set('front', 'detect', 'ON');
    settings.set('front', 'model', 'all');
    expect(written.at(-1)).toEqual({});
  });

  it('refuse what is no value of theirs, with what is', () => {
    const { settings, written } = opened();
    const said = [
      settings.set('front', 'detect', 'on'),
      settings.set('front', 'threshold', '2'),
      settings.set('front', 'max_fps', ''),
      settings.set('front', 'model', 'dog'),
      settings.set('back', 'detect', 'ON'),
    ].map((failure) => failure?.message);
    expect(said).toEqual([
      'detect is ON or OFF',
      'threshold is a number from 0 to 1',
      'max_fps is a number from 0 to 120',
      'model is one of all, person, cat',
      'there is no camera back',
    ]);
    expect(written).toEqual([]);
  });

  it('that were kept and are no values any more are those of the configuration', () => {
    const { settings } = opened({ front: { model: 'gone', max_fps: 'fast' } });
    expect([settings.model('front'), settings.number('front', 'max_fps')]).toEqual([undefined, 5]);
  });

  it('are forgotten with their camera', () => {
    const { settings, written } = opened({ front: { detect: 'OFF' } });
    settings.forget('front');
    expect([settings.isOn('front', 'detect'), written]).toEqual([true, [{}]]);
  });
});
