import { expect, test } from 'vitest';
import type { Snapshot } from '../../../central/coordinator/snapshot.ts';
import { PlanPreparations } from '../../../central/observers/plan-preparations.ts';
import { topics } from '../../../shared/protocol/topics.ts';

type NodeView = Snapshot['nodes'][string];
const node = (state: 'preparing' | 'ready' | 'refused') =>
  ({
    local: false,
    presence: 'online',
    plans: { p: state },
    refusals: { p: { code: 'X', text: 'too small' } },
  }) as unknown as NodeView;

test('the progress of each node is published where it changed, or else a long download looks like a hang', () => {
  const said: unknown[] = [];
  let nodes: Record<string, NodeView> = { a: node('preparing'), b: node('refused') };
  const preparations = new PlanPreparations({
    snapshot: () => ({ nodes }) as unknown as Snapshot,
    publisher: { retain: (topic, payload) => said.push([topic, JSON.parse(payload)]) },
    topics: topics(),
  });
  preparations.planOffered('m', 'p');
  const published = (): unknown[] => {
    said.length = 0;
    preparations.publish();
    return [...said];
  };
  const refused = { state: 'refused', text: 'too small' };
  const message = (a: unknown) => [['tessera/plan/m/progress', { v: 1, plan: 'p', nodes: { a, b: refused } }]];
  expect(published()).toEqual(message({ state: 'waiting' }));
  expect(published()).toEqual([]);
  const fetching = { state: 'fetching', bytes: 1, of: 2, bytes_per_s: 3, left_s: 4 } as const;
  preparations.progress('a', [{ id: 'p', model: 'm', ...fetching }]);
  expect(published()).toEqual(message(fetching));
  nodes = { ...nodes, a: node('ready') };
  expect(published()).toEqual(message({ state: 'ready' }));
  preparations.planOffered('m', 'q');
  expect(published()).toEqual([['tessera/plan/m/progress', { v: 1, plan: 'q', nodes: {} }]]);
});
