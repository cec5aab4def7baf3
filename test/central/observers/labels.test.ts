import { describe, expect, test } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import { Labels, NO_LABEL, StableLabel } from '../../../central/observers/labels.ts';
import type { ResultObject } from '../../../shared/protocol/messages/result.ts';
import { topics } from '../../../shared/protocol/topics.ts';

describe('stable label', () => {
  test('changes only when so many results in a row agree, and is published once', () => {
    const stable = new StableLabel(3);
    const said = ['cat', 'cat', 'dog', 'cat', 'cat', 'cat', 'cat', null, null, null].map((top) => stable.update(top));
    expect(said.map((label) => label ?? '-').join(' ')).toBe(`- - - - - cat - - - ${NO_LABEL}`);
  });

  test('is never empty and never longer than 255 characters', () => {
    expect(new StableLabel(1).update(null)).toBe('none');
    expect(new StableLabel(1).update('x'.repeat(300))).toHaveLength(255);
  });
});

describe('labels', () => {
  const known = new Map([
    ['front', 1],
    ['back', 2],
  ]);
  const said = (camera: string, label: string) => `tessera/result/${camera}/m/label ${label} of ${camera}`;
  const opened = () => {
    const published: string[] = [];
    const labels = new Labels({
      hold: (camera) => known.get(camera),
      publisher: { retain: (topic, label, camera) => published.push(`${topic} ${label} of ${camera}`) },
      topics: topics(),
    });
    const ended = (camera: string, label: string, facts: Partial<ResultObject> = {}) => {
      const result = { camera, model: 'm', status: 'ok', task: 'classify', top: { label, score: 1 }, ...facts };
      labels.frameEnded({} as EndedFrame, result as ResultObject);
    };
    return { labels, published, ended };
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
    const { labels, published, ended } = opened();
    ended('front', 'cat');
    labels.cameraForgotten('front');
    ended('front', 'cat');
    expect(published).toEqual([said('front', 'cat'), said('front', 'cat')]);
  });
});
