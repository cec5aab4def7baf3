import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { atCentral, sketchPlan } from '../../bench/sim/plans.ts';
import { Central } from '../../central/central.ts';
import { compileFor } from '../../central/deployment.ts';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { planningGraph } from '../../central/planner/graph.ts';
import { reconsider } from '../../central/planner/reconsider.ts';
import { loadServedModel, type ServedModel } from '../../central/served-model.ts';
import { parseCard } from '../../shared/model/card.ts';
import { WIRE_VERSION } from '../../shared/protocol/topics.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { CentralWorld, compiledPlan, fakeModel } from '../support/central-world.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/**
 * Lost if these fail: a central serves before it is elected, or after another central was elected, or does not free
 * what it opened.
 */

const plan = compiledPlan(sketchPlan([{ tiles: 1, on: atCentral }]));
const request = { name: 'm', card: fakeModel.card, labels: [], model: {} as never, picture: true };

let world: CentralWorld;
let central: Central;
/** What the central opened, closed and published, in order. */
let story: string[];
/** Epochs that were written to the disk. */
let kept: Set<number>;
let onDataPlaneEnd: (error: Error) => void;
let recovered: () => void;
/** What `load` makes of every model. */
let loaded: ServedModel;
beforeEach(() => {
  loaded = fakeModel;
  world = new CentralWorld();
  story = [];
  kept = new Set();
  const { bus, results, wire, store, connect, publicKey, executor, pictures, settings, devices, journal } =
    world.parts();
  const data = Object.assign(world.data, {
    model: async ({ name }: { readonly name: string }) => void story.push(`model ${name}`),
    stop: async () => void story.push('data plane stops'),
  });
  central = new Central(
    { ...world.options, stateDir: world.folder, threads: 1, sessionMemoryMb: 1, isFirst: true },
    {
      bus: { ...bus, stop: async () => void story.push('bus stops') },
      results: { ...results, stop: async () => void story.push('results stop') },
      wire,
      store,
      connect,
      publicKey,
      pictures: { ...pictures, stop: async () => {} },
      settings,
      devices,
      executor: { ...executor, stop: async () => void story.push('executor stops') } as never,
      journal,
      startDataPlane: (onEnd) => {
        onDataPlaneEnd = onEnd;
        return data;
      },
      load: async () => loaded,
      cutWeights: async (model) => model,
      window: undefined,
      planning: {
        choose: async (...args) => choosePlan(...args),
        graphOf: async ({ resolved }) => planningGraph(resolved),
        compile: async (...args) => compileFor(...args),
        reconsider: async (model, request, fleet, active) => reconsider(model, request, fleet, active),
      },
      profiles: { of: () => undefined, take: () => ({ received: 0, nodes: null }) },
      lock: { release: () => void story.push('lock released') },
      epochs: { last: 41, keep: (epoch) => void kept.add(epoch) },
      id: 'left',
      boot: 'b'.repeat(16),
      recovery: new Promise((resolve) => {
        recovered = resolve;
      }),
    },
  );
});
afterEach(async () => {
  await central.stop(0);
  world.end();
});

async function lead(): Promise<void> {
  recovered();
  await central.lead();
  await world.settle();
}

/** Leads with a plan that serves frames. */
async function serve(): Promise<void> {
  await central.load(request);
  await central.offerPlan('m', plan);
  await lead();
}

test('plans that were offered before the election are served after it, not before', async () => {
  await central.load(request);
  await central.offerPlan('m', plan);
  await world.settle();
  expect([world.isOpen, world.published(world.topics.plan('m'))]).toEqual([false, []]);
  await lead();
  expect(story).toEqual(['model m']);
  await world.frame('f1');
  await world.settle();
  expect(world.results).toMatchObject([{ frame: 'f1', status: 'ok' }]);
});

test('a plan that cannot be kept is not offered', async () => {
  await serve();
  const next = compiledPlan(sketchPlan([{ tiles: 1, on: atCentral }], 1));
  const keep = () => {
    throw new Error('the disk is full');
  };
  await expect(central.offerPlan('m', next, keep)).rejects.toThrow('the disk is full');
  await world.settle();
  await world.frame('f1');
  await world.settle();
  expect(world.results).toMatchObject([{ plan: plan.plan.id }]);
});

/** Loads a real network under the name `m`. */
async function loadTiny(): Promise<void> {
  const card = parseCard({ name: 'm', task: 'raw' }, 'model.yaml');
  const tiny = { name: 'm', card, labels: [], model: tinyNetwork(), picture: false };
  loaded = await loadServedModel(tiny, await openBlobStore(world.folder), await openSigningKey(world.folder));
  await central.load(request);
}

test('plans for the nodes that are online, and for as many as the user says until they are there', async () => {
  await loadTiny();
  const parts = async (nodeCount: number) =>
    (await central.choosePlan('m', { nodeCount, strategy: 'tiles-prefix' })).stages[0]!.parts.length;
  expect(await parts(2)).toBe(2);
  for (const id of ['a', 'b', 'c', 'd']) await world.node(id);
  expect(await parts(2)).toBe(4);
  await lead();
  expect(await parts(2)).toBe(4);
  expect(await parts(8)).toBe(8);
  await world.broker.publish(world.topics.nodeStatus('d'), 'offline');
  expect(await parts(2)).toBe(3);
});

test('plans for no node that speaks another version of the wire', async () => {
  await loadTiny();
  await world.node('a');
  for (const id of ['b', 'c']) await world.node(id, { wire: [WIRE_VERSION + 1, WIRE_VERSION + 1] });
  const { stages } = await central.choosePlan('m', { nodeCount: 1, strategy: 'tiles-prefix' });
  expect(stages[0]!.parts).toHaveLength(1);
});

test('chooses its plan again for the nodes that come online before it is elected', async () => {
  await loadTiny();
  const first = await central.servePlan('m', { nodeCount: 2, strategy: 'tiles-prefix' });
  expect(first.stages[0]!.parts).toHaveLength(2);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  for (const id of ['a', 'b', 'c', 'd']) await world.node(id);
  vi.advanceTimersByTime(2000);
  vi.useRealTimers();
  await lead();
  expect(world.preparedPlans('a')).toMatchObject([{ stages: [{ split: { rows: [4, 4], cols: [4, 4] } }] }]);
});

test('takes part in the election only after it has ended the frames of its last run', async () => {
  const leading = central.lead();
  await world.settle();
  expect(world.broker.published).toEqual([]);
  recovered();
  await leading;
  expect(kept.size).toBe(1);
  expect(Math.min(...kept)).toBeGreaterThan(41);
});

test('publishes which model it refuses, and serves the others', async () => {
  await serve();
  central.refuse('broken', { code: 'TESSERA_MODEL_INVALID', message: 'no graph' });
  await world.settle();
  const models = JSON.parse(world.published(world.topics.centralModels('central')).at(-1)!).models;
  expect(models).toMatchObject({
    m: { state: 'served' },
    broken: { state: 'refused', error: { message: 'no graph' } },
  });
});

test('ends open frames when the data plane ends, and says so in the log', async () => {
  await serve();
  world.executor.hold();
  await world.frame('f1');
  await world.settle();
  onDataPlaneEnd(new Error('out of memory'));
  world.executor.letGo();
  await world.settle();
  expect(world.results).toMatchObject([{ frame: 'f1', status: 'error', error: { code: 'TESSERA_INTERNAL' } }]);
  expect(world.log.lines).toContain('error the data plane ended and is restarted: out of memory');
});

test('steps down when another central claims a higher epoch, after its frames have ended', async () => {
  await serve();
  world.executor.hold();
  await world.frame('f1');
  await world.settle();
  const other = { v: 1, id: 'right', boot_id: 'c'.repeat(16), state: 'active', epoch: 1e13, seq: 1 };
  await world.broker.publish(world.topics.centralStatus('right'), JSON.stringify(other), { qos: 1, retain: true });
  expect(await central.relieved).toMatchObject({ code: 'TESSERA_CENTRAL_ACTIVE' });
  await world.settle();
  world.executor.letGo();
  expect(world.results).toMatchObject([{ frame: 'f1', status: 'error' }]);
  expect(world.published(world.topics.status)).toEqual(['online']);
});

test('that stops frees everything once, and the lock last, when nothing writes the journal any more', async () => {
  await lead();
  await Promise.all([central.stop(), central.stop()]);
  expect(story).toEqual(['results stop', 'bus stops', 'executor stops', 'data plane stops', 'lock released']);
});

test('that stops before it was elected stops waiting for the election', async () => {
  const leading = central.lead();
  leading.catch(() => {});
  await central.stop();
  recovered();
  await expect(leading).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
  expect([story.at(-1), kept.size, world.isOpen]).toEqual(['lock released', 0, false]);
});
