import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileFor } from '../../central/deployment.ts';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { planInThread } from '../../central/planning.ts';
import { loadServedModel, type ServedModel } from '../../central/served-model.ts';
import { parseCard } from '../../shared/model/card.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/** Lost if these fail: a deployment that takes long to plan costs central its lease, or gets another plan than elsewhere. */

let folder: string;
let model: ServedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-planning-'));
  const card = parseCard({ name: 'm', task: 'raw' }, 'model.yaml');
  const store = await openBlobStore(folder);
  const tiny = { name: 'm', card, labels: [], model: tinyNetwork(), picture: false };
  model = await loadServedModel(tiny, store, await openSigningKey(folder));
});
afterAll(() => rm(folder, { recursive: true }));

test.each(['tiles-prefix', 'replicate'])('a thread makes the plan that this one makes: %s', async (strategy) => {
  const request = { nodeCount: 3, strategy };
  const here = choosePlan(model, request);
  expect(await planInThread.choose(model, request)).toEqual(here);
  expect(await planInThread.compile(model, here.plan)).toEqual(compileFor(model, here.plan));
});

test('this thread goes on meanwhile', async () => {
  let turns = 0;
  const turn = (): void => {
    turns++;
    counting = setImmediate(turn);
  };
  let counting = setImmediate(turn);
  await planInThread.choose(model, { nodeCount: 2 });
  clearImmediate(counting);
  expect(turns).toBeGreaterThan(1);
});

test("the thread's errors have their codes", async () => {
  await expect(planInThread.choose(model, { nodeCount: 2, strategy: 'none' })).rejects.toMatchObject({
    code: 'TESSERA_USAGE',
    hint: expect.stringContaining('tiles-prefix'),
  });
  const plan = { ...choosePlan(model, { nodeCount: 2 }).plan, model: '0'.repeat(64) };
  await expect(planInThread.compile(model, plan)).rejects.toMatchObject({ code: 'TESSERA_PLAN_INVALID' });
});
