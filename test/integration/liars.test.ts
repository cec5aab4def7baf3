import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as computing } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient } from '../../cli/frames.ts';
import { parseCard } from '../../shared/model/card.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { leftOut } from '../../shared/protocol/messages/node.ts';
import { nodeReadmitted } from '../../shared/protocol/messages/requests.ts';
import type { WorkMessage } from '../../shared/protocol/messages/work.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { Liar, madeUp } from '../support/liar.ts';
import { recordingLog } from '../support/recording-log.ts';
import { heavyInput, heavyNetwork } from '../support/tiny-network.ts';

/**
 * One node of three sends well-formed results with wrong values. If this fails, predictions are wrong as long as that
 * node is online, and no user knows which node it is.
 */

const names = topics('tessera');
const { dtype, shape, data } = heavyInput();
const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d: data, tensors: true };
let folder: string;
let cluster: Cluster;
let log: ReturnType<typeof recordingLog>;
let bus: Bus;
let liar: Liar;
let camera: FrameClient;
/** The published list of excluded nodes, as it changes. */
let standing: string[];
let onLeftOut: (node: string) => void;
const buses: Bus[] = [];
let sent = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-liars-'));
  log = recordingLog();
  cluster = await frontCluster(folder, { nodes: 2, log });
  bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  const own = await connectBus({ ...cluster.bus, clientId: 'liar', log: silentLog });
  buses.push(bus, own);
  liar = new Liar(own, names, 'liar');
  await liar.start();
  standing = [];
  onLeftOut = () => {};
  await bus.subscribe(names.centralLeftOut('central'), 1, ({ payload }) => {
    standing = Object.keys(leftOut.parse(JSON.parse(Buffer.from(payload).toString())).nodes);
    for (const node of standing) onLeftOut(node);
  });
  camera = new FrameClient(bus, names, 'front');
  await camera.start();
  const card = parseCard({ name: 'heavy', task: 'raw' }, 'heavy');
  const request = { name: 'heavy', card, labels: [], model: heavyNetwork(), picture: false };
  const plan = choosePlan(await cluster.central.load(request), { nodeCount: 3, grid: { rows: 3, cols: 3 } });
  await cluster.central.offerPlan('heavy', plan);
  await untilReady(cluster, plan.plan, 3);
}, 60_000);
afterEach(async () => {
  await liar.stop();
  for (const one of buses.splice(0)) await one.stop();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Sends frames until a node is excluded. */
async function untilOneIsOut(): Promise<string> {
  const out = new Promise<string>((resolve) => {
    onLeftOut = resolve;
  });
  let found: string | undefined;
  void out.then((node) => {
    found = node;
  });
  for (let k = 0; found === undefined && k < 200; k++) await camera.send(`until-${sent++}`, frame, 30_000);
  return out;
}

test.each<[string, (work: WorkMessage) => Promise<void>]>([
  [
    'at once, and claims that it took no time',
    (work) =>
      liar.send(
        work,
        madeUp(work).map((tile) => ({ ...tile, compute_ms: 0 })),
      ),
  ],
  [
    'as fast as the others',
    async (work) => {
      await computing(30);
      await liar.send(work, madeUp(work));
    },
  ],
  [
    'with impossible times',
    (work) =>
      liar.send(
        work,
        madeUp(work).map((tile) => ({ ...tile, compute_ms: 1e-300 })),
        { queue_ms: 1e300 },
      ),
  ],
])(
  'a node that answers wrongly %s is named and gets no more work',
  async (_, answer) => {
    liar.answer = answer;
    expect(await untilOneIsOut()).toBe('liar');
    expect(standing).toEqual(['liar']);
    const asked = liar.asked;
    for (let k = 0; k < 10; k++) {
      const { result } = await camera.send(`after-${k}`, frame, 30_000);
      expect(result.status).toBe('ok');
      expect(Object.keys(result.tiles_per_node)).not.toContain('liar');
    }
    expect(liar.asked).toBe(asked);
    expect(log.lines.join('\n')).toContain('liar gets no more work');
    const readmit = { node: 'liar' };
    await askRequest(bus, names, 'node-readmit', readmit, nodeReadmitted);
    expect(await untilOneIsOut()).toBe('liar');
    const wrong = askRequest(bus, names, 'node-readmit', { node: 'node-1' }, nodeReadmitted);
    await expect(wrong).rejects.toMatchObject({ code: 'TESSERA_USAGE', message: 'node "node-1" is not left out' });
    // Nodes with right results stay.
    const { result } = await camera.send('last', frame, 30_000);
    expect(result.nodes).toEqual(expect.arrayContaining(['node-1', 'node-2']));
  },
  60_000,
);
