import { expect, it } from 'vitest';
import { PLANS_KEPT, Published } from '../../../central/http/published.ts';

it('has the last state of each topic, without those that were cleared, and the plans before the active one', () => {
  const published = new Published('home/tessera');
  const note = (topic: string, payload: unknown) =>
    published.note(`home/tessera/${topic}`, typeof payload === 'string' ? payload : JSON.stringify(payload));
  note('camera/front/status', 'online');
  note('camera/front/detect/state', 'ON');
  note('camera/front/max_fps/state', '5');
  note('camera/back/detect/state', 'OFF');
  note('camera/back/detect/state', '');
  note('result/front/m/label', 'cat');
  note('result/front/m/label', 'dog');
  note('camera/back/status', 'online');
  note('camera/back/status', '');
  note('result/back/m/label', '');
  expect([...published.cameras]).toEqual([['front', { status: 'online', labels: { m: 'dog' } }]]);
  expect(published.settings).toEqual({ front: { detect: 'ON', max_fps: '5' } });
  note('central/central/models', { v: 1, models: { m: { state: 'served' } } });
  note('central/central/left-out', { v: 1, nodes: { 'pi-1': { since: 1, reason: 'r', results: [] } } });
  note('central/central/key', 'ed25519:key');
  note('stats', { v: 1, window_s: 10 });
  note('plan/m/progress', { v: 1, plan: 'p', nodes: {} });
  note('plan/m/ranking', { v: 1, time: 1, active: 'p', plans: [] });
  for (let k = 0; k < 20; k++) note('plan/m', { id: `p-${k}`, since: k });
  note('plan/m', { id: 'p-19', since: 19, measured: { latency_ms: 5 } });
  const { models, left_out, stats, progress, rankings, plans } = published.states;
  expect({ models, left_out: Object.keys(left_out), stats, progress, rankings }).toEqual({
    models: { m: { state: 'served' } },
    left_out: ['pi-1'],
    stats: { v: 1, window_s: 10 },
    progress: { m: { v: 1, plan: 'p', nodes: {} } },
    rankings: { m: { v: 1, time: 1, active: 'p', plans: [] } },
  });
  expect(plans.m).toHaveLength(PLANS_KEPT);
  expect(plans.m?.at(-1)).toEqual({ id: 'p-19', since: 19, measured: { latency_ms: 5 } });
});
