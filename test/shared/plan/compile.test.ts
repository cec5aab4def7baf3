import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { choosePlan } from '../../../central/planner/default-plan.ts';
import { loadServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../../shared/runtime/signature.ts';
import { Network } from '../../shared/tiling/network.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-compiled-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A network of several convolutions, as central has it. */
async function halves(layers: number) {
  const net = new Network(17, 'float16');
  let x = net.input([1, 3, 16, 16]);
  for (let i = 0; i < layers; i++) x = net.conv(x, 3, 3, [3, 3], { pads: [1, 1, 1, 1] });
  const card = parseCard({ name: 'net', task: 'raw' }, 'model.yaml');
  const request = { name: 'net', card, labels: [], model: net.file(x), picture: false };
  return loadServedModel(request, await openBlobStore(folder), await openSigningKey(folder));
}

const grid = { rows: 2, cols: 2 };

test('tiles of a few layers in float16 have a bound of their own, and are not called approximate', async () => {
  const made = choosePlan(await halves(3), { nodeCount: 4, grid });
  expect(made).toMatchObject({ approximate: false, bound: { largest: 1e-2 } });
});

test('a part is linked to those parts of earlier stages whose outputs it reads, halo included, and no others', async () => {
  const deployment = await halves(2);
  const cuts = deployment.resolved.model.graph.nodes.map(({ outputs }) => outputs[0]!);
  const { stages } = choosePlan(deployment, {
    nodeCount: 4,
    grid: { rows: 4, cols: 1 },
    strategy: 'tile-stages',
    cuts,
  });
  expect(stages[0]!.parts.map(({ links }) => links)).toEqual([[], [], [], []]);
  expect(stages[1]!.parts.map(({ links }) => links.map(({ t_id }) => t_id))).toEqual([
    [0, 1],
    [0, 1, 2],
    [1, 2, 3],
    [2, 3],
  ]);
});

test('where no bound is known, results are approximate and the plan says why, once', async () => {
  const deployment = await halves(24);
  const made = choosePlan(deployment, { nodeCount: 4, grid, padding: 'halo' });
  expect(made.approximate).toBe(true);
  expect(made.plan.reason).toMatch(
    /; approximate: tiles compute \d+ layers in float16; their difference is bounded for at most 20$/,
  );
  expect(compilePlan(made.plan, deployment.resolved).plan).toEqual(made.plan);
  const whole = choosePlan(deployment, { nodeCount: 4, strategy: 'single' });
  expect(whole).toMatchObject({ approximate: false, bound: { largest: 1e-4 } });
});

test('a plan that reads what nobody makes is refused: its frames would be computed from zeros', async () => {
  const deployment = await halves(2);
  const { plan } = choosePlan(deployment, { nodeCount: 1, strategy: 'replicate' });
  const inner = deployment.resolved.model.graph.nodes[0]!.outputs[0]!;
  const stages = plan.stages.map((stage) => ({ ...stage, inputs: [inner] }));
  expect(() => compilePlan({ ...plan, stages }, deployment.resolved)).toThrow(
    `stages[0].inputs: "${inner}" is neither an input of the model nor made by an earlier stage`,
  );
});

test('a plan with a node as its source is refused, since that would change nothing', async () => {
  const deployment = await halves(1);
  const { plan } = choosePlan(deployment, { nodeCount: 2, grid });
  expect(() => compilePlan({ ...plan, source: 'pi-1' }, deployment.resolved)).toThrow(/source: "pi-1"/);
  expect(compilePlan({ ...plan, source: 'topic' }, deployment.resolved).plan.source).toBe('topic');
});
