import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient } from '../../cli/frames.ts';
import { parseCard } from '../../shared/model/card.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { resultMessage, workMessage } from '../../shared/protocol/messages/work.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { decode } from '../../shared/runtime/cbor.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { boxShape, byteLength } from '../../shared/tensor/tensor.ts';
import { node, sketch, weights } from '../shared/onnx/build.ts';
import { frontCluster } from '../support/front-cluster.ts';

/**
 * Small inputs, large results: the outstanding results of nodes are bounded, as measured on the wire. Without the bound
 * a central behind a slow link gets more than its broker queues, results are dropped, and frames are computed again and
 * again.
 */

const names = topics('tessera');
const SIDE = 64;
const CHANNELS = 32;
/** One of four tiles. */
const TILE_BYTES = (4 * CHANNELS * SIDE * SIDE) / 4;
const FRAMES = 12;

/** x [1, 1, 64, 64] -> convolution -> y [1, 32, 64, 64] */
const model = sketch({
  nodes: [node('Conv', ['x', 'w'], ['y'], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })],
  inputs: { x: [1, 1, SIDE, SIDE] },
  outputs: ['y'],
  constants: [weights('w', [CHANNELS, 1, 3, 3])],
});

let folder: string;
let cluster: Cluster | undefined;
let bus: Bus | undefined;
afterEach(async () => {
  await bus?.stop();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

it.each([
  { what: 'two results', owed_bytes: 2.5 * TILE_BYTES, most: 2 * TILE_BYTES },
  { what: 'one result, which is larger', owed_bytes: 0.5 * TILE_BYTES, most: TILE_BYTES },
])('outstanding results stay within $what, and every frame ends', async ({ owed_bytes, most }) => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-owed-'));
  cluster = await frontCluster(folder, {
    nodes: 2,
    // No tile is hedged: a second request would count a second result.
    coordinator: { owed_bytes, audit_share: 0, hedge_floor_ms: 60_000, answer_floor_ms: 60_000 },
  });
  bus = await connectBus({ ...cluster.bus, clientId: 'spy', log: silentLog });
  /** Bytes of requested results that have not arrived, by node, frame, stage and tile. */
  const owed = new Map<string, number>();
  let largest = 0;
  let answered = 0;
  await bus.subscribe('tessera-wire/1/+/work/central', 0, ({ topic, payload }) => {
    const work = decode(new Uint8Array(payload), workMessage, 'work');
    for (const { t_id, out } of work.tiles) {
      const bytes = out.map(({ box }) => byteLength({ dtype: 'float32', shape: boxShape(box) }));
      owed.set(`${topic.split('/')[2]} ${work.i_id} ${work.stage} ${t_id}`, bytes[0]!);
    }
    largest = Math.max(
      largest,
      [...owed.values()].reduce((a, b) => a + b, 0),
    );
  });
  await bus.subscribe('tessera-wire/1/central/result/+', 0, ({ payload }) => {
    const result = decode(new Uint8Array(payload), resultMessage, 'result');
    for (const { t_id } of result.tiles)
      if (owed.delete(`${result.n_id} ${result.i_id} ${result.stage} ${t_id}`)) answered++;
  });

  const { central } = cluster;
  const served = await central.load({
    name: 'wide',
    card: parseCard({ name: 'wide', task: 'raw' }, 'wide'),
    labels: [],
    model,
    picture: false,
  });
  const plan = choosePlan(served, { nodeCount: 2, grid: { rows: 2, cols: 2 } });
  await central.offerPlan('wide', plan);
  await untilReady(cluster, plan.plan, 2);
  const camera = new FrameClient(bus, names, 'front');
  await camera.start();
  const d = new Uint8Array(4 * SIDE * SIDE);
  const answers = await Promise.all(
    Array.from({ length: FRAMES }, (_, i) =>
      camera.send(`f${i}`, { v: 1, format: 'tensor', dtype: 'float32', shape: [1, 1, SIDE, SIDE], d }, 60_000),
    ),
  );
  expect(answers.map(({ result }) => result.status)).toEqual(new Array(FRAMES).fill('ok'));
  expect(answered).toBe(4 * FRAMES);
  expect(largest).toBe(most);
});
