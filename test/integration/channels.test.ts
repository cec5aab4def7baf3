import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ServedModel } from '../../central/served-model.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient } from '../../cli/frames.ts';
import { type Agent, startAgent } from '../../node-agent/agent.ts';
import { parseCard } from '../../shared/model/card.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { Stage } from '../../shared/plan/plan.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { difference } from '../../shared/tensor/compare.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { tinyInput, tinyNetwork, tinyPlan } from '../support/tiny-network.ts';

/** Slices of channels where not every node has the weights of every part. */

let folder: string;
let cluster: Cluster;
let bus: Bus;
let camera: FrameClient;
let served: ServedModel;
let agents: Map<string, Agent>;
let whole: Tensor;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-channels-'));
  cluster = await frontCluster(folder);
  bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  camera = new FrameClient(bus, topicsOf('tessera'), 'front');
  await camera.start();
  const card = parseCard({ name: 'tiny', task: 'raw' }, 'tiny');
  served = await cluster.central.load({ name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false });
  const session = await loadSession(writeModel(tinyNetwork()), { threads: 1 });
  whole = (await session.run(new Map([['x', tinyInput()]]))).get('y')!;
  await session.release();
  const own = { tier: 'edge', threads: 1, base: 'tessera', sessionMemoryMb: 100, log: silentLog } as const;
  const started = ['a', 'b'].map(
    async (id) =>
      [id, await startAgent({ ...own, bus: cluster.bus, id, stateDir: join(folder, id) })] as [string, Agent],
  );
  agents = new Map(await Promise.all(started));
});
afterEach(async () => {
  await Promise.all([...agents.values()].map((agent) => agent.stop()));
  await bus.stop();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

/** x -> p on central, p -> y in slices of 5 and 3 channels on the nodes. */
async function offer(change: Partial<Stage>): Promise<void> {
  const { stages, ...plan } = tinyPlan(served.manifest.skeleton.sha, { kind: 'whole' });
  const [stage] = stages;
  const central = { mode: 'share', nodes: ['central'] } as const;
  const split = { kind: 'channels', sizes: [5, 3] } as const;
  const both = [
    { ...stage!, outputs: ['p'], on: central },
    { ...stage!, id: 1, inputs: ['p'], split, ...change },
  ];
  const compiled = compilePlan({ ...plan, stages: both }, served.resolved);
  await cluster.central.offerPlan('tiny', compiled);
  await untilReady(cluster, compiled.plan, 2, 60_000);
}

/** Sends a frame, expects the whole network's answer, and returns who computed what. */
async function tilesPerNode(): Promise<Record<string, number>> {
  const { dtype, shape, data } = tinyInput();
  const frame = { v: 1 as const, format: 'tensor' as const, dtype, shape: [...shape], d: data, tensors: true };
  const { result, tensors } = await camera.send(`f-${Math.random()}`, frame, 60_000, 'tiny');
  expect(result.error).toBeUndefined();
  const [y] = tensors!.outputs;
  expect(difference(whole, { dtype: y!.dtype, shape: y!.shape, data: y!.d }).largest).toBeLessThanOrEqual(1e-6);
  return result.tiles_per_node!;
}

const piecesOf = async (id: string): Promise<number> => (await readdir(join(folder, id, 'blobs'))).length;

test('central computes the slice of a pinned node that is gone; no other node has its weights', async () => {
  await offer({ on: { mode: 'share', nodes: '*', parts: ['a', 'b'] }, fallback: 'central' });
  expect(await tilesPerNode()).toEqual({ central: 1, a: 1, b: 1 });
  // The skeleton, and one slice.
  expect([await piecesOf('a'), await piecesOf('b')]).toEqual([2, 2]);
  await agents.get('b')!.stop();
  expect(await tilesPerNode()).toEqual({ central: 2, a: 1 });
}, 60_000);

test('another node computes it where the plan lets nodes stand in, since each then has all slices', async () => {
  await offer({ on: { mode: 'share', nodes: '*', parts: ['a', 'b'] }, fallback: 'nodes' });
  expect(await tilesPerNode()).toEqual({ central: 1, a: 1, b: 1 });
  expect([await piecesOf('a'), await piecesOf('b')]).toEqual([3, 3]);
  await agents.get('b')!.stop();
  expect(await tilesPerNode()).toEqual({ central: 1, a: 2 });
}, 60_000);
