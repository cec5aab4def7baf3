import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient } from '../../cli/frames.ts';
import { startAgent } from '../../node-agent/agent.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { killBetweenRuns } from '../support/kill-worker.ts';
import { tinyInput, tinyNetwork } from '../support/tiny-network.ts';

/**
 * Plans that are released and offered again, at central and at nodes. If these fail, frequent plan changes lose frames,
 * or a node.
 */

const { dtype, shape, data } = tinyInput();
const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d: data };

let folder: string;
let cluster: Cluster;
let bus: Bus;
let camera: FrameClient;
let sent = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-plans-'));
  cluster = await frontCluster(folder);
  bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  camera = new FrameClient(bus, topics('tessera'), 'front');
  await camera.start();
});
afterEach(async () => {
  await bus.stop();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

const send = async (model = 'tiny'): Promise<ResultObject> =>
  (await camera.send(`f-${sent++}`, frame, 60_000, model)).result;

function agent(blobDir: string) {
  const own = { tier: 'edge', threads: 1, sessionMemoryMb: 500 } as const;
  return startAgent({ ...own, bus: cluster.bus, base: 'tessera', id: 'n1', stateDir: folder, blobDir, log: silentLog });
}

async function plansOf(...columns: number[]): Promise<CompiledPlan[]> {
  const card = parseCard({ name: 'tiny', task: 'raw' }, 'tiny');
  const request = { name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false };
  const served = await cluster.central.load(request);
  return columns.map((cols) => choosePlan(served, { nodeCount: 1, grid: { rows: 1, cols } }));
}

test('a plan that is served again while its last frame ends serves every later frame', async () => {
  const node = await agent(join(folder, 'node'));
  const [a, b] = (await plansOf(2, 4)) as [CompiledPlan, CompiledPlan];
  const { central } = cluster;
  await central.offerPlan('tiny', a);
  await untilReady(cluster, a.plan, 1);
  const failed: unknown[] = [];
  let switching = true;
  const film = async (): Promise<void> => {
    while (switching && failed.length === 0) {
      const { status, error } = await send();
      if (status !== 'ok') failed.push(error);
    }
  };
  const films = Array.from({ length: 6 }, film);
  for (let turn = 0; turn < 60 && failed.length === 0; turn++) {
    const next = turn % 2 === 0 ? b : a;
    // Both in one turn, so that the second arrives while the first is in progress and frames of the third are open.
    const other = next === a ? b : a;
    await Promise.all([central.offerPlan('tiny', other), central.offerPlan('tiny', next)]);
    while ((await send()).plan !== next.plan.id);
  }
  switching = false;
  await Promise.all(films);
  expect(failed).toEqual([]);
  await node.stop();
}, 60_000);

test('a node whose thread ended while a blob was missing downloads it again and works', async () => {
  const workers: Worker[] = [];
  const onWorker = (worker: Worker): void => void workers.push(worker);
  process.on('worker', onWorker);
  const blobs = join(folder, 'node');
  const node = await agent(blobs);
  process.off('worker', onWorker);
  const [plan] = (await plansOf(2)) as [CompiledPlan];
  await cluster.central.offerPlan('tiny', plan);
  await untilReady(cluster, plan.plan, 1);
  expect((await send()).nodes).toEqual(['n1']);
  let readies = 0;
  await bus.subscribe('tessera-wire/1/central/control/n1', 0, () => void readies++);
  await rm(blobs, { recursive: true });
  const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
  killBetweenRuns(workers.at(-1)!);
  await restarted;
  let result = await send();
  while (!result.nodes.includes('n1')) result = await send();
  expect(result.status).toBe('ok');
  expect(await readdir(blobs)).not.toEqual([]);
  // It was requested again once or twice, not with every frame.
  expect(readies).toBeLessThan(5);
  await node.stop();
}, 60_000);

test('one network under two names: each result is of the requested model', async () => {
  const request = { labels: [], model: tinyNetwork(), picture: false };
  const { central } = cluster;
  const [one, two] = ['one', 'two'].map((name) => ({
    ...request,
    name,
    card: parseCard({ name, task: 'raw' }, name),
    sha256: (name === 'one' ? '1' : '2').repeat(64),
  }));
  for (const each of [one!, two!]) {
    const served = await central.load(each);
    await central.offerPlan(each.name, choosePlan(served, { nodeCount: 1, grid: { rows: 1, cols: 2 } }));
  }
  expect((await send('one')).model_version).toBe(`sha256:${'1'.repeat(64)}`);
  expect((await send('two')).model_version).toBe(`sha256:${'2'.repeat(64)}`);
}, 60_000);
