import { expect, test } from 'vitest';
import { bridgedTopics } from '../../broker/bridged-topics.ts';
import { matchesFilter } from '../../shared/protocol/filter.ts';
import { topics } from '../../shared/protocol/topics.ts';

/** Lost if these fail: messages go round between two brokers for ever, or frames and requests leave the house. */

const t = topics('home/edge');
const { inward, outward, goesOut } = bridgedTopics('home/edge', 'ha');

test('results and states go out', () => {
  const out = [
    t.status,
    t.result('front', 'person'),
    t.snapshot('front', 'person'),
    t.count('front', 'person', 'cat'),
    t.cameraStatus('front'),
    t.setting('front', 'detect'),
    t.nodeStatus('pi-1'),
    t.nodeHealth('pi-1'),
    t.objectEvent('front'),
    t.centralModels('central'),
    t.stats,
    'ha/device/tessera_central/config',
  ];
  for (const topic of out) expect(goesOut(topic), topic).toBe(true);
});

test('frames, the wire, heartbeats and requests stay, and no topic goes both ways', () => {
  const kept = [
    t.input('front'),
    t.wire('pi-1', 'work', 'central'),
    t.heartbeat('pi-1'),
    t.request('node-invite'),
    t.settingSet('front', 'detect'),
    'ha/status',
    'tessera/status',
  ];
  for (const topic of kept) expect(goesOut(topic), topic).toBe(false);
  const comesIn = (topic: string): boolean => inward.some((filter) => matchesFilter(filter, topic));
  expect(kept.filter(comesIn)).toEqual([t.settingSet('front', 'detect'), 'ha/status']);
  expect(outward.filter(comesIn)).toEqual([]);
});
