import { describe, expect, test } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import { Labels } from '../../../central/observers/labels.ts';
import { PacedStates } from '../../../central/publish/paced-states.ts';
import { CAMERA_DEFAULTS } from '../../../shared/config/schema.ts';
import type { ResultObject } from '../../../shared/protocol/messages/result.ts';
import { topics } from '../../../shared/protocol/topics.ts';

describe('labels', () => {
  const known = new Map([
    ['front', 1],
    ['back', 2],
  ]);
  const said = (camera: string, label: string) => `tessera/result/${camera}/m/label ${label} of ${camera}`;
  const opened = () => {
    const published: string[] = [];
    const retain = (topic: string, label: string, camera?: string) =>
      void published.push(`${topic} ${label} of ${camera}`);
    const states = new PacedStates({ publisher: { retain }, now: () => 0 });
    const threshold = { least: 0, isOn: true };
    const labels = new Labels({
      known: (camera) => (known.has(camera) ? { ...CAMERA_DEFAULTS, hold: known.get(camera)! } : undefined),
      settings: { isOn: () => threshold.isOn, number: () => threshold.least },
      states,
      topics: topics(),
    });
    const ended = (camera: string, label: string, facts: Partial<ResultObject> = {}) => {
      const result = { camera, model: 'm', status: 'ok', task: 'classify', top: { label, score: 1 }, ...facts };
      labels.frameEnded({} as EndedFrame, result as ResultObject);
    };
    return { labels, states, threshold, published, ended };
  };

  test('are published when they change, as soon as so many results agree as the camera asks for', () => {
    const { published, ended } = opened();
    for (const label of ['cat', 'cat', 'dog']) ended('front', label);
    for (const label of ['cat', 'dog', 'dog']) ended('back', label);
    expect(published).toEqual([said('front', 'cat'), said('front', 'dog'), said('back', 'dog')]);
  });

  test('do not follow errors, models without labels, and cameras that are not known any more', () => {
    const { published, ended } = opened();
    ended('front', 'cat', { status: 'error' });
    ended('front', 'cat', { task: 'raw' });
    ended('gone', 'cat');
    expect(published).toEqual([]);
  });

  test('begin again with a camera that was forgotten and comes back', () => {
    const { labels, states, published, ended } = opened();
    ended('front', 'cat');
    labels.cameraForgotten('front');
    states.cameraForgotten('front');
    ended('front', 'cat');
    expect(published).toEqual([said('front', 'cat'), said('front', 'cat')]);
  });

  test('obey threshold and switch, and catch up once they are switched on again', () => {
    const { threshold, published, ended } = opened();
    threshold.least = 1;
    ended('front', 'cat', { top: { label: 'cat', score: 0.9 } });
    threshold.least = 0;
    threshold.isOn = false;
    ended('front', 'dog');
    threshold.isOn = true;
    ended('front', 'dog');
    expect(published).toEqual([said('front', 'none'), said('front', 'dog')]);
  });
});
