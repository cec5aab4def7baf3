import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileFor } from '../../../central/deployment.ts';
import { choosePlan } from '../../../central/planner/default-plan.ts';
import { planningGraph } from '../../../central/planner/graph.ts';
import { isOpenToReplan, type MeasuredFleet, reconsider } from '../../../central/planner/reconsider.ts';
import { BASELINES } from '../../../central/planner/strategies.ts';
import { loadServedModel, type ServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { CENTRAL } from '../../../shared/plan/plan.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../../shared/runtime/signature.ts';
import { tinyNetwork } from '../../support/tiny-network.ts';

/** Lost if this fails: a fleet that was measured gets a plan that is slow there, or one that cannot run. */

let folder: string;
let model: ServedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-reconsider-'));
  const request = { name: 'tiny', card: parseCard({ name: 'tiny', task: 'raw' }, 'model.yaml'), labels: [] };
  const tiny = { ...request, model: tinyNetwork(), picture: false };
  model = await loadServedModel(tiny, await openBlobStore(folder), await openSigningKey(folder));
});
afterAll(() => rm(folder, { recursive: true }));

/** Machines by the time of each layer, ms, and links to central. */
function fleet(ms: Readonly<Record<string, number>>, rtt_ms = 1, mbps = 100, fps = 1): MeasuredFleet {
  const { layers } = planningGraph(model.resolved);
  const agents = Object.keys(ms).filter((id) => id !== CENTRAL);
  return {
    nodes: Object.entries(ms).map(([id, each]) => ({
      id,
      tier: 'edge',
      memory_mb: 1000,
      codecs: ['raw'],
      splits: ['whole', 'tiles', 'channels'],
      times: { layer_ms: layers.map(() => each), runs: [], ratio: 1, error: null },
    })),
    links: agents.flatMap((id) => [
      { from: CENTRAL, to: id, rtt_ms, mbps },
      { from: id, to: CENTRAL, rtt_ms, mbps },
    ]),
    fps,
  };
}

const request = { nodeCount: 1 };
const whole = () => choosePlan(model, { nodeCount: 1, strategy: BASELINES.central.strategy }).plan;
const nodesOf = (found: ReturnType<typeof reconsider>): unknown[] =>
  found.best!.compiled.plan.stages.map(({ on }) => ('nodes' in on ? on.nodes : on.tier));

test('the network goes where it is fast, as far as the links allow it', () => {
  const there = reconsider(model, request, fleet({ [CENTRAL]: 50, a: 1 }), whole());
  expect(there.best!.ms).toBeLessThan(there.active_ms! / 2);
  expect(nodesOf(there)).not.toContainEqual([CENTRAL]);
  expect(there.best!.compiled.plan.predicted!.latency_ms).toBeCloseTo(there.best!.ms);
  expect(there.ranking[0]!.plan).toBe(there.best!.compiled.plan.id);
  expect(there.ranking.map(({ plan }) => plan)).toContain(whole().id);
  const here = reconsider(model, request, fleet({ [CENTRAL]: 50, a: 1 }, 1000), whole());
  expect(here.best!.compiled.plan.id).toBe(whole().id);
  expect(here.best!.ms).toBe(here.active_ms);
});

test('a plan that is slower than frames come counts as slower', () => {
  const slow = reconsider(model, request, fleet({ [CENTRAL]: 10, a: 9 }, 100), whole());
  expect(nodesOf(slow)).toEqual([[CENTRAL]]);
  const many = reconsider(model, request, fleet({ [CENTRAL]: 10, a: 9 }, 100, 1000, 1000), whole());
  expect(many.active_ms!).toBeGreaterThan(10 * slow.active_ms!);
});

test('a plan that needs a machine which is not there cannot run', () => {
  const { stages, ...rest } = whole();
  const gone = {
    ...rest,
    id: 'p-000001',
    stages: stages.map((stage) => ({ ...stage, on: { mode: 'share', nodes: ['b'] } as const })),
  };
  const found = reconsider(model, request, fleet({ [CENTRAL]: 10 }), gone);
  expect(found.active_ms).toBeNull();
  expect(nodesOf(found)).toEqual([[CENTRAL]]);
  expect(compileFor(model, found.best!.compiled.plan).plan).toEqual(found.best!.compiled.plan);
});

test('without machines whose times are known there is no plan', () => {
  expect(reconsider(model, request, { nodes: [], links: [], fps: 1 }, whole()).best).toBeNull();
});

test('tiles of the user, and those for which a network was retrained, stay', () => {
  const card = (tiles: object[]) => parseCard({ name: 'tiny', task: 'raw', tiles }, 'model.yaml');
  const plain = { card: card([]) };
  const retrained = { card: card([{ after: 'a', grid: [2, 2], padding: 'zero' }]) };
  expect(isOpenToReplan(plain, { nodeCount: 1 })).toBe(true);
  expect(isOpenToReplan(plain, { nodeCount: 1, padding: 'halo' })).toBe(true);
  expect(isOpenToReplan(plain, { nodeCount: 1, padding: 'zero' })).toBe(false);
  expect(isOpenToReplan(plain, { nodeCount: 1, grid: { rows: 2, cols: 2 } })).toBe(false);
  expect(isOpenToReplan(plain, { nodeCount: 1, cuts: ['a'] })).toBe(false);
  expect(isOpenToReplan(retrained, { nodeCount: 1 })).toBe(false);
});
