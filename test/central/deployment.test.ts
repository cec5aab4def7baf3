import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DeployedPlans } from '../../central/deployed-plans.ts';
import { compileFor, Deployments, type DeployOptions } from '../../central/deployment.ts';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { loadServedModel, type ServedModel } from '../../central/served-model.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import type { Deploy } from '../../shared/protocol/messages/requests.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/** Lost if these fail: a plan is put to work for the wrong network, or forgotten by the next run of central. */

let folder: string;
let model: ServedModel;
/** Ids of the plans that were offered, in order. */
let offered: string[];
let isServed: boolean;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-deploy-'));
  const card = parseCard({ name: 'm', task: 'raw' }, 'model.yaml');
  const tiny = { name: 'm', card, labels: [], model: tinyNetwork(), picture: false };
  model = await loadServedModel(tiny, await openBlobStore(folder), await openSigningKey(folder));
  offered = [];
  isServed = true;
});
afterEach(() => rmSync(folder, { recursive: true }));

const chosen = (strategy: string): CompiledPlan => choosePlan(model, { nodeCount: 2, strategy });

/** Central as it is after a start, with what earlier runs kept. */
function central(models: readonly ServedModel[] = [model]): DeployOptions & { deployed: DeployedPlans } {
  return {
    models: new Map(models.map((one) => [one.name, one])),
    deployed: new DeployedPlans(folder, () => {}),
    choose: async () => chosen('single'),
    compile: async (...args) => compileFor(...args),
    offer: async (_, { plan }, keep) => {
      keep();
      offered.push(plan.id);
    },
    whenServed: async () => ({ ready: ['a'], preparing: ['b'], refused: [], isServed }),
  };
}

const deploy = (options: DeployOptions, request: Deploy) => new Deployments(options).deploy(request);

test('a plan is offered, answered once it serves, and known to the next run of central', async () => {
  const { plan } = chosen('tiles-prefix');
  const answer = await deploy(central(), { transaction: 't', plan });
  expect(answer).toEqual({ model: 'm', plan: plan.id, reason: plan.reason, ready: ['a'], refused: [] });
  expect(offered).toEqual([plan.id]);
  expect(central().deployed.of('m')).toEqual({ current: plan, previous: null });
});

test("`--previous` goes back to the plan before, at last the planner's, and forward again", async () => {
  const [tiles, whole, own] = ['tiles-prefix', 'replicate', 'single'].map((name) => chosen(name).plan.id);
  await expect(deploy(central(), { transaction: 't' })).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
  await deploy(central(), { transaction: 't', plan: chosen('tiles-prefix').plan });
  expect((await deploy(central(), { transaction: 't' })).plan).toBe(own);
  await deploy(central(), { transaction: 't', plan: chosen('replicate').plan });
  await deploy(central(), { transaction: 't', plan: chosen('tiles-prefix').plan });
  // The same one twice is not the one before itself.
  await deploy(central(), { transaction: 't', plan: chosen('tiles-prefix').plan });
  expect((await deploy(central(), { transaction: 't' })).plan).toBe(whole);
  expect((await deploy(central(), { transaction: 't' })).plan).toBe(tiles);
});

test('a file that was edited is another plan, whatever id it has', async () => {
  const { plan } = chosen('tiles-prefix');
  const stages = plan.stages.map((stage) => ({ ...stage, fallback: 'none' as const }));
  await deploy(central(), { transaction: 't', plan });
  const { plan: id } = await deploy(central(), { transaction: 't', plan: { ...plan, stages } });
  expect(id).not.toBe(plan.id);
  expect(offered).toEqual([plan.id, id]);
});

test.each([
  ['of another network', (plan: Plan) => ({ ...plan, model: '1'.repeat(64) }), /serves no model with the network 1111/],
  ['that is no plan', () => ({ format: 'tessera-plan/1' }), /plan: id/],
  [
    'that does not make what the network makes',
    (plan: Plan) => ({ ...plan, stages: plan.stages.map((stage) => ({ ...stage, outputs: ['other'], codec: {} })) }),
    /no stage makes "y"/,
  ],
  [
    'whose tensors the network does not have',
    (plan: Plan) => ({
      ...plan,
      stages: plan.stages.map((stage) => ({ ...stage, outputs: [...stage.outputs, 'nothing'] })),
    }),
    /nothing/,
  ],
])('a plan %s is refused, and changes nothing', async (_, change, message) => {
  const plan = change(chosen('single').plan);
  await expect(deploy(central(), { transaction: 't', plan })).rejects.toThrow(message);
  expect(offered).toEqual([]);
  expect(central().deployed.of('m')).toBeUndefined();
});

test('where two models are the same network, one has to be named', async () => {
  const twice = central([model, { ...model, name: 'n' }]);
  const { plan } = chosen('tiles-prefix');
  await expect(deploy(twice, { transaction: 't', plan })).rejects.toMatchObject({
    code: 'TESSERA_USAGE',
    hint: expect.stringMatching(/^name one with --model: m \(.*, n \(/),
  });
  expect((await deploy(twice, { transaction: 't', plan, model: 'n' })).model).toBe('n');
});

test('a plan that does not serve in time is an error, and stays deployed', async () => {
  isServed = false;
  const { plan } = chosen('tiles-prefix');
  await expect(deploy(central(), { transaction: 't', plan })).rejects.toMatchObject({
    code: 'TESSERA_NO_NODES',
    message: expect.stringContaining('nodes that prepare it: b'),
  });
  expect(central().deployed.of('m')?.current).toEqual(plan);
});

test('a damaged file counts as empty, the reason is told, and the next plan moves it aside instead of replacing it', async () => {
  const file = join(folder, 'deployed-plans.json');
  writeFileSync(file, '{');
  const reasons: string[] = [];
  const deployed = new DeployedPlans(folder, (reason) => reasons.push(reason));
  expect(deployed.of('m')).toBeUndefined();
  expect(reasons).toEqual([
    expect.stringMatching(/deployed-plans\.json: SyntaxError.*moves the file to .*\.unreadable$/),
  ]);
  const [first, second] = ['tiles-prefix', 'replicate'].map((name) => chosen(name).plan);
  for (const plan of [first, second]) {
    await deploy({ ...central(), deployed }, { transaction: 't', plan });
    expect(readFileSync(`${file}.unreadable`, 'utf8')).toBe('{');
  }
  expect(new DeployedPlans(folder, () => {}).of('m')).toEqual({ current: second, previous: first });
});

test("plans of a model that cannot be read do no harm to other models', and stay in the file", async () => {
  const { plan } = chosen('tiles-prefix');
  const file = join(folder, 'deployed-plans.json');
  const newer = { current: { format: 'tessera-plan/2' }, previous: null };
  writeFileSync(file, JSON.stringify({ n: newer, m: { current: plan, previous: null } }));
  const reasons: string[] = [];
  const deployed = new DeployedPlans(folder, (reason) => reasons.push(reason));
  expect(deployed.of('m')).toEqual({ current: plan, previous: null });
  expect([deployed.of('n'), reasons]).toEqual([undefined, [expect.stringContaining('deployed-plans.json: model n: ')]]);
  await deploy({ ...central(), deployed }, { transaction: 't', plan: chosen('replicate').plan });
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ n: newer, m: { previous: plan } });
});

test('a plan that cannot be kept is not offered', async () => {
  const options = central();
  mkdirSync(join(folder, 'deployed-plans.json'));
  const { plan } = chosen('tiles-prefix');
  await expect(deploy(options, { transaction: 't', plan })).rejects.toMatchObject({ code: 'TESSERA_STORAGE' });
  expect(offered).toEqual([]);
});

test('of two plans that are deployed at a time, the first is the one before the second', async () => {
  const [first, second] = ['tiles-prefix', 'replicate'].map((name) => chosen(name).plan);
  const slow: DeployOptions = {
    ...central(),
    offer: async (_, { plan }, keep) => {
      await new Promise(setImmediate);
      keep();
      offered.push(plan.id);
    },
  };
  const deployments = new Deployments(slow);
  await Promise.all([first, second].map((plan) => deployments.deploy({ transaction: 't', plan })));
  expect(slow.deployed.of('m')).toEqual({ current: second, previous: first });
});
