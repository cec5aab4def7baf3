import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { type Answer, FrameClient } from '../../cli/frames.ts';
import { parseCard } from '../../shared/model/card.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { killBetweenRuns } from '../support/kill-worker.ts';
import { tinyInput, tinyNetwork } from '../support/tiny-network.ts';

/** Central's threads can end by a fault. If that ended central, one bad picture would end a deployment. */

const { dtype, shape, data } = tinyInput();
const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d: data, tensors: true };

let folder: string;
let cluster: Cluster;
let bus: Bus;
let camera: FrameClient;
/** In the order in which they were started: central's executor, its data plane, and their replacements. */
const threads: Worker[] = [];
let expected: Uint8Array;
let sent = 0;

const onThread = (worker: Worker): void => void threads.push(worker);

beforeAll(async () => {
  process.on('worker', onThread);
  folder = await mkdtemp(join(tmpdir(), 'tessera-threads-'));
  cluster = await frontCluster(folder, { nodes: 1 });
  bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  camera = new FrameClient(bus, topics('tessera'), 'front');
  await camera.start();
  const card = parseCard({ name: 'tiny', task: 'raw' }, 'tiny');
  const { central } = cluster;
  const served = await central.load({ name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false });
  const compiled = choosePlan(served, { nodeCount: 1, grid: { rows: 2, cols: 2 } });
  await central.offerPlan('tiny', compiled);
  await untilReady(cluster, compiled.plan, 1);
  expected = (await send()).tensors!.outputs[0]!.d.slice();
});
afterAll(async () => {
  process.off('worker', onThread);
  await bus.stop();
  await cluster.stop();
  await rm(folder, { recursive: true });
});

const send = (): Promise<Answer> => camera.send(`f-${sent++}`, frame, 60_000);

function endOf({ result, tensors }: Answer): string {
  if (result.status === 'ok') expect(Buffer.compare(tensors!.outputs[0]!.d, expected)).toBe(0);
  return result.error?.code ?? result.status;
}

/** Outcomes of 60 frames that are sent at once; `thread` is killed after the tenth. */
async function filmAndKill(thread: Worker): Promise<string[]> {
  let ended = 0;
  const answers = Array.from({ length: 60 }, async () => {
    const end = endOf(await send());
    if (++ended === 10) killBetweenRuns(thread);
    return end;
  });
  return Promise.all(answers);
}

describe('central continues', () => {
  test('when its data plane ends: open frames end with a coded error, the next ones are served', async () => {
    const ends = await filmAndKill(threads[1]!);
    expect(ends).toHaveLength(60);
    for (const end of ends) expect(['ok', 'TESSERA_INTERNAL']).toContain(end);
    expect(ends).toContain('TESSERA_INTERNAL');
    expect(ends.slice(-10)).toEqual(Array(10).fill('ok'));
    // And again, with its replacement.
    const second = await filmAndKill(threads[2]!);
    expect(second.slice(-10)).toEqual(Array(10).fill('ok'));
  });

  test('when its executor ends: its work is computed again, nothing is lost', async () => {
    // Without nodes central computes everything.
    await Promise.all(cluster.agents.map((agent) => agent.stop()));
    expect((await send()).result.nodes).toEqual(['central']);
    expect(await filmAndKill(threads[0]!)).toEqual(Array(60).fill('ok'));
  });
});
