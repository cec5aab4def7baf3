import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient } from '../../cli/frames.ts';
import { type Agent, startAgent } from '../../node-agent/agent.ts';
import { parseCard } from '../../shared/model/card.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { CentralStatus } from '../../shared/protocol/messages/central.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encode } from '../../shared/runtime/cbor.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { recordingLog } from '../support/recording-log.ts';
import { tinyInput, tinyNetwork } from '../support/tiny-network.ts';

/**
 * A client that may act as central sends one message with a far higher epoch. If this fails, that message takes nodes
 * out of the cluster until they are restarted, without any notice.
 */

const { dtype, shape, data } = tinyInput();
const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d: data };
const log = recordingLog();
let folder: string;
let cluster: Cluster;
let agent: Agent;
let bus: Bus;
let camera: FrameClient;
let plan: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-epochs-'));
  cluster = await frontCluster(folder, { cameras: {}, acceptUnlistedCameras: true });
  const { bus: connection, central } = cluster;
  agent = await startAgent({
    bus: connection,
    base: 'tessera',
    id: 'n1',
    tier: 'edge',
    threads: 1,
    sessionMemoryMb: 500,
    stateDir: join(folder, 'n1'),
    log,
  });
  bus = await connectBus({ ...connection, clientId: 'stranger', log: silentLog });
  camera = new FrameClient(bus, topics('tessera'), 'front');
  await camera.start();
  const card = parseCard({ name: 'tiny', task: 'raw' }, 'tiny');
  const request = { name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false };
  const compiled = choosePlan(await central.load(request), { nodeCount: 1, grid: { rows: 2, cols: 2 } });
  await central.offerPlan('tiny', compiled);
  await untilReady(cluster, compiled.plan, 1);
  plan = compiled.plan.id;
}, 60_000);
afterAll(async () => {
  await agent.stop();
  await bus.stop();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

const nodesOf = async (id: string): Promise<readonly string[]> => (await camera.send(id, frame, 30_000)).result.nodes;
const control = (message: object) =>
  bus.publish('tessera-wire/1/n1/control/central', encode({ v: 1, ...message }), { qos: 1 });

test.each([Number.MAX_SAFE_INTEGER - 1, 999_999_999_999_999, 2e9])(
  'a release of epoch %d is ignored and said, and the node works on',
  async (epoch) => {
    await control({ type: 'release', plan, epoch });
    expect(await nodesOf(`after-${epoch}`)).toContain('n1');
    if (epoch > 9e15) expect(log.lines.join('\n')).toContain(`epoch ${epoch}`);
  },
);

test('work of a far higher epoch changes nothing either', async () => {
  await bus.publish(
    'tessera-wire/1/n1/work/central',
    encode({
      v: 1,
      plan,
      i_id: '999999999999999-1',
      stage: 0,
      attempt: 0,
      budget_ms: 1000,
      tiles: [{ t_id: 0, in: [], out: [] }],
    }),
  );
  expect(await nodesOf('after-work')).toContain('n1');
});

test('a claim of a silent central with the highest epoch affects neither central nor node', async () => {
  const status: CentralStatus = { v: 1, id: 'evil', boot_id: 'b', state: 'active', epoch: 2 ** 52, seq: 1 };
  for (const topic of [topics('tessera').centralStatus('evil'), topics('tessera').centralHeartbeat('evil')])
    await bus.publish(topic, JSON.stringify(status), { qos: 1 });
  await control({ type: 'release', plan, epoch: 2 ** 52 });
  expect(await nodesOf('after-claim')).toContain('n1');
});
