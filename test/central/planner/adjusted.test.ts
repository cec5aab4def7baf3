import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adjustmentOf } from '../../../central/planner/adjusted.ts';
import { choosePlan } from '../../../central/planner/default-plan.ts';
import { planningGraph } from '../../../central/planner/graph.ts';
import { type MeasuredFleet, reconsider } from '../../../central/planner/reconsider.ts';
import { BASELINES } from '../../../central/planner/strategies.ts';
import { loadServedModel, type ServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { CENTRAL, type Plan } from '../../../shared/plan/plan.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../../shared/runtime/signature.ts';
import { tinyNetwork } from '../../support/tiny-network.ts';

/** Lost if this fails: a small change of the machines moves layers that it does not affect, or none. */

let folder: string;
let model: ServedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-adjusted-'));
  const request = { name: 'tiny', card: parseCard({ name: 'tiny', task: 'raw' }, 'model.yaml'), labels: [] };
  const tiny = { ...request, model: tinyNetwork(), picture: false };
  model = await loadServedModel(tiny, await openBlobStore(folder), await openSigningKey(folder));
});
afterAll(() => rm(folder, { recursive: true }));

/** Central, where a layer takes 50 ms, and another machine, where it takes `ms`, with its link. */
function fleet(ms: number, rtt_ms = 1, id = 'a'): MeasuredFleet {
  const { layers } = planningGraph(model.resolved);
  const machine = { tier: 'edge', memory_mb: 1000, codecs: ['raw'], splits: ['whole', 'tiles', 'channels'] } as const;
  const times = (each: number) => ({ layer_ms: layers.map(() => each), runs: [], ratio: 1, error: null });
  return {
    nodes: [
      { id: CENTRAL, ...machine, times: times(50) },
      { id, ...machine, times: times(ms) },
    ],
    links: [
      { from: CENTRAL, to: id, rtt_ms, mbps: 100 },
      { from: id, to: CENTRAL, rtt_ms, mbps: 100 },
    ],
    fps: 1,
  };
}

const request = { nodeCount: 1 };
const madeFor = (asked: MeasuredFleet): Plan =>
  reconsider(
    model,
    { ...request, strategy: 'single' },
    asked,
    choosePlan(model, { ...request, ...BASELINES.central }).plan,
  ).best!.compiled.plan;
const places = ({ stages }: Plan) => stages.map(({ on }) => ('nodes' in on ? on.nodes : on.tier));

/** The best of the plan that was made for `before`, and what is adjusted of it for `now`. */
function adjusted(before: MeasuredFleet, now: MeasuredFleet, plan = madeFor(before)) {
  const band = { low: 1 / 1.5, high: 1.5 };
  return reconsider(model, request, now, plan, [adjustmentOf({ plan, ...before, band })]).best!.compiled.plan;
}

test('layers leave a machine whose link or processor became slow', () => {
  expect(places(madeFor(fleet(1)))).toEqual([['a']]);
  for (const now of [fleet(1, 5000), fleet(500)]) {
    const plan = adjusted(fleet(1), now);
    expect(places(plan)).toEqual([[CENTRAL]]);
    expect([plan.strategy, plan.reason]).toEqual([
      'adjust',
      'what changed was placed anew: the whole network on central',
    ]);
    // Nothing that the plan uses changes when the other machine is fast again: that is for a search among all plans.
    expect(adjusted(now, fleet(1), plan).id).toBe(plan.id);
  }
});

test('within the band nothing moves, even where another plan would be faster', () => {
  const plan = madeFor(fleet(40, 1));
  expect(adjusted(fleet(40), fleet(55), plan).id).toBe(plan.id);
});

test('a plan with tiles, and one on other machines, is not adjusted', () => {
  const tiles = choosePlan(model, { ...request, grid: { rows: 1, cols: 2 } }).plan;
  expect(adjusted(fleet(1), fleet(500), tiles).id).toBe(tiles.id);
  const plan = madeFor(fleet(1));
  const now = fleet(1, 5000);
  const strategy = adjustmentOf({ plan, ...fleet(1, 1, 'b'), band: { low: 1 / 1.5, high: 1.5 } });
  expect(reconsider(model, request, now, plan, [strategy]).best!.compiled.plan.id).toBe(plan.id);
});
