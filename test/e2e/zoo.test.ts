import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run as compare } from '../../bench/lossless.ts';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { run as survey } from '../../bench/zoo.ts';
import { withPrivateCluster } from '../../cli/private-cluster.ts';
import { parseCard } from '../../shared/model/card.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import { silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { byteLength } from '../../shared/tensor/tensor.ts';
import { GATED_FRAMES, GATED_MAP, GATED_NETWORK, gatedPlan } from '../support/gated-network.ts';
import { localBroker } from '../support/local-broker.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-zoo-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('a network of the zoo is a file that the commands take, and its tiles on nodes equal the whole', async () => {
  const file = join(folder, 'mobilenet.onnx');
  const listed = await survey(['--model', 'mobilenet-v2', '--width', '0.125', '--out', file]);
  expect(listed).toMatchObject({
    pass: true,
    networks: [{ name: 'mobilenet-v2', tiles_end: expect.stringContaining('7x7 cells') }],
  });
  const { code, stdout } = await runCli(['verify', '--model', file, '--grid', '2x2', '--json'], { cwd: folder });
  expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, pass: true });
});

test('lossless --zoo compares networks that no file holds: of two and of one dimension', async () => {
  const result = await compare(['--zoo', '--networks', 'gated,charcnn', '--grids', '2x2,1x4', '--width', '0.0625']);
  expect(result).toMatchObject({ pass: true, worst: { gated: expect.any(Number), charcnn: expect.any(Number) } });
  expect(result.rows.map(({ network, grid }) => `${network} ${grid}`)).toEqual([
    'charcnn 1x4',
    'gated 2x2',
    'gated 1x4',
  ]);
});

test('of a network with gates, only the node of the route that a frame chooses gets its map', async () => {
  const stops: (() => unknown)[] = [];
  const { url } = await localBroker(stops);
  const spy = await connectBus({ url, clientId: 'spy', log: silentLog });
  stops.push(() => spy.stop());
  const received = new Map<string, number>();
  await spy.subscribe(topics().wire('+', 'tensor', '+'), 0, ({ topic, payload }) => {
    const node = topic.split('/')[2]!;
    received.set(node, (received.get(node) ?? 0) + payload.length);
  });
  const cluster = { nodes: 4, base: 'tessera', maximumPacketSize: 1_000_000, bus: { url }, log: silentLog };
  try {
    await withPrivateCluster(cluster, async ({ central, agents, camera, serve }) => {
      const card = parseCard({ name: 'net', task: 'raw' }, 'net');
      const { model } = GATED_NETWORK;
      const served = await central.load({ name: 'net', card, labels: [], model, picture: false });
      const [gates, ...routes] = agents.map(({ id }) => id) as [string, ...string[]];
      const plan = gatedPlan(served.manifest.skeleton.sha, { gates, routes });
      await serve('net', compilePlan(plan, served.resolved));
      const bytes = byteLength(GATED_NETWORK.specs.get(GATED_MAP)!);
      const chosen: string[] = [];
      for (const [index, { dtype, shape, data: d }] of GATED_FRAMES.entries()) {
        received.clear();
        const frame = { v: 1 as const, format: 'tensor' as const, dtype, shape: [...shape], d, tensors: true };
        const { result, tensors } = await camera.send(`f-${index}`, frame, 60_000);
        expect([result.status, result.plan, tensors!.outputs.length]).toEqual(['ok', plan.id, 1]);
        await expect.poll(() => routes.every((node) => received.has(node)), { timeout: 60_000 }).toBe(true);
        const open = routes.filter((node) => received.get(node)! > 0.1 * bytes);
        expect(open).toHaveLength(1);
        for (const node of routes) if (node !== open[0]) expect(received.get(node)).toBeLessThan(0.01 * bytes);
        chosen.push(open[0]!);
      }
      expect(chosen.toSorted()).toEqual(routes);
    });
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
});
