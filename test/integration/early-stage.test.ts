import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LAYER_BYTES, layeredFrame, layeredModel, layeredPlan } from '../../bench/distribution/layered-model.ts';
import { Relay } from '../../bench/testbed/relay.ts';
import { startAgentProcess } from '../../cli/agent-process.ts';
import { FrameClient } from '../../cli/frames.ts';
import { parseCard } from '../../shared/model/card.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import { silentLog } from '../../shared/ports.ts';
import { planPreparation } from '../../shared/protocol/messages/node.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { numbers } from '../support/tiny-network.ts';

/** The link of the node: 9.4 MB of weights take some six seconds. */
const BYTES_PER_SEC = 1_500_000;

it('a node computes the tiles of a first stage before the last weights of the second have arrived (IONN)', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-early-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const cluster = await frontCluster(join(folder, 'central'), { coordinator: { settle_ms: 100 } });
  onTestFinished(() => cluster.stop());
  const names = topics('tessera');
  const bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  onTestFinished(() => bus.stop());
  const camera = new FrameClient(bus, names, 'front');
  await camera.start();
  let pieces = 0;
  await bus.subscribe('tessera-wire/1/n1/blob-part/central', 1, ({ payload }) => {
    pieces += payload.byteLength;
  });
  const rates: number[] = [];
  await bus.subscribe(names.planProgress('layered'), 1, ({ payload }) => {
    const { n1 } = planPreparation.parse(JSON.parse(Buffer.from(payload).toString())).nodes;
    if (n1?.bytes_per_s !== undefined && n1.left_s !== undefined) rates.push(n1.bytes_per_s);
  });

  const card = parseCard({ name: 'layered', task: 'raw' }, 'layered');
  const model = layeredModel(1);
  const served = await cluster.central.load({ name: 'layered', card, labels: [], model, picture: false });
  const plan = layeredPlan(served.manifest.skeleton.sha, [
    { output: 'a', split: { kind: 'tiles', padding: 'halo', rows: [16, 16], cols: [32] } },
    { output: 'y', split: { kind: 'whole' } },
  ]);
  const relay = await Relay.open(Number(new URL(cluster.bus.url).port));
  onTestFinished(() => relay.close());
  relay.slow(BYTES_PER_SEC);
  const agent = startAgentProcess({
    id: 'n1',
    broker: relay.url,
    base: 'tessera',
    threads: 1,
    stateDir: join(folder, 'n1'),
    log: silentLog,
  });
  onTestFinished(() => agent.stop());
  await cluster.central.offerPlan('layered', compilePlan(plan, served.resolved));

  const d = new Uint8Array(numbers(3 * 32 * 32, 5).buffer);
  const frame = { v: 1 as const, format: 'tensor' as const, ...layeredFrame, shape: [...layeredFrame.shape], d };
  let sent = 0;
  const next = async (): Promise<ResultObject> => (await camera.send(`f-${sent++}`, frame, 60_000, 'layered')).result;
  let result = await next();
  while (!result.nodes.includes('n1')) result = await next();
  const before = pieces;
  expect(result).toMatchObject({ status: 'ok', tiles_per_node: { n1: 2 }, fallback: { reason: 'not-ready' } });
  expect(before).toBeLessThan(LAYER_BYTES);
  while (result.fallback !== undefined) result = await next();
  expect(result).toMatchObject({ status: 'ok', tiles_per_node: { n1: 3 } });
  expect(pieces).toBeGreaterThan(LAYER_BYTES);
  // While it travelled its progress was published.
  expect(Math.max(...rates)).toBeGreaterThan(BYTES_PER_SEC / 10);
}, 120_000);
