import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '../broker/broker.ts';
import { startAgentProcess } from '../cli/agent-process.ts';
import { startCluster } from '../cli/cluster.ts';
import { FrameClient } from '../cli/frames.ts';
import { integer, positive, type Values, valueOr } from '../cli/options.ts';
import { BlobFetch } from '../node-agent/blob-fetch.ts';
import { parseCard } from '../shared/model/card.ts';
import { piecesOf } from '../shared/node/pieces.ts';
import { compilePlan } from '../shared/plan/compile.ts';
import { silentLog } from '../shared/ports.ts';
import { blobPartMessage } from '../shared/protocol/messages/blob.ts';
import { topics as topicsOf } from '../shared/protocol/topics.ts';
import { BlobServer } from '../shared/runtime/blob-server.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { packModel } from '../shared/runtime/package.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { LAYER_BYTES, layeredFrame, layeredModel, layeredPlan } from './distribution/layered-model.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { Relay } from './testbed/relay.ts';

/** Most copies on central's link; time as a multiple of what the link takes for one copy, and for all; seconds. */
const TARGET = { copies: 1.1, elsewhere: 1.5, beside: 1.3, at_work_s: 12 };
const topics = topicsOf();

const options = {
  nodes: valueOr('--nodes <n>', 'nodes that want the model', integer(2, 32), 8),
  layers: valueOr('--layers <n>', 'layers of 9.4 MB each; six are 57 MB', integer(1, 32), 6),
  link: valueOr('--link <mbps>', 'Mbit/s of the slow links', positive, 40),
};

export const { description, usage, run } = defineBenchmark({
  question: 'how long do the weights of a network take to many nodes, and what do they cost the link of central?',
  method:
    'A network of many weights and little computing goes to several nodes at the same time, over links of this machine ' +
    'that are slowed down. With the broker elsewhere, central and each node have a link of their own of the given rate; ' +
    "with the broker on central's machine the nodes share its link evenly. Each is done twice: pieces sent to all that " +
    'want them, and to each node alone. Then central and agents as processes on loopback, each agent with an empty disk. ' +
    `Passed: central's link carries at most ${TARGET.copies} copies; with the broker elsewhere all have the model in ` +
    `${TARGET.elsewhere} times what one copy takes, with the broker beside central in ${TARGET.beside} times what all ` +
    `copies take; and on loopback all nodes are at work ${TARGET.at_work_s} s after the start of central.`,
  notMeasured: 'a real network, memory cards of small computers, nodes whose links differ.',
  options,
  quick: { nodes: 3, layers: 1 },
  run: measure,
});

type Settings = Values<typeof options>;

async function measure(settings: Settings) {
  const { nodes, layers, link } = settings;
  const folder = await mkdtemp(join(tmpdir(), 'tessera-bench-'));
  try {
    const bytesPerSec = (link * 1e6) / 8;
    const copyS = (layers * LAYER_BYTES) / bytesPerSec;
    console.log(`one copy: ${((layers * LAYER_BYTES) / 1e6).toFixed(1)} MB, ${copyS.toFixed(1)} s at ${link} Mbit/s`);
    const results: Record<string, Awaited<ReturnType<typeof distributed>>> = {};
    for (const [place, rates] of [
      ['elsewhere', { central: bytesPerSec, node: bytesPerSec }],
      ['beside', { central: Number.POSITIVE_INFINITY, node: bytesPerSec / nodes }],
    ] as const)
      for (const way of ['all', 'alone'] as const) {
        const result = await distributed(join(folder, `${place}-${way}`), settings, rates, way);
        results[`${place}_${way}`] = result;
        console.log(
          `broker ${place}, ${way === 'all' ? 'to all' : 'to each alone'}: ${result.seconds.toFixed(1)} s, ` +
            `${result.copies.toFixed(2)} copies from central`,
        );
      }
    const atWorkS = await loopback(join(folder, 'loopback'), settings);
    console.log(`loopback: all ${nodes} nodes at work after ${atWorkS.toFixed(1)} s`);
    const { elsewhere_all: elsewhere, beside_all: beside } = results;
    const pass =
      Math.max(elsewhere!.copies, beside!.copies) <= TARGET.copies &&
      elsewhere!.seconds <= TARGET.elsewhere * copyS &&
      beside!.seconds <= TARGET.beside * nodes * copyS &&
      atWorkS <= TARGET.at_work_s;
    return { pass, nodes, bytes: layers * LAYER_BYTES, one_copy_s: copyS, ...results, at_work_s: atWorkS };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Sends the pieces to nodes with an empty disk; the time, and the copies that central sent. */
async function distributed(
  folder: string,
  { nodes, layers }: Settings,
  rates: { readonly central: number; readonly node: number },
  way: 'all' | 'alone',
): Promise<{ readonly seconds: number; readonly copies: number }> {
  const ends: (() => Promise<unknown>)[] = [];
  try {
    const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    ends.push(() => broker.stop());
    const { port } = new URL(broker.urls[0]!);
    const wireOf = async (self: string, bytesPerSec: number) => {
      const relay = await Relay.open(Number(port));
      relay.slow(bytesPerSec);
      const bus = await connectBus({ url: relay.url, clientId: `tessera-${self}`, log: silentLog });
      ends.push(async () => {
        await bus.stop();
        await relay.close();
      });
      return new Wire({ bus, topics, self, log: silentLog, now: () => performance.now() });
    };
    const store = await openBlobStore(join(folder, 'central'));
    const manifest = await packModel({ name: 'layered', model: layeredModel(layers), store });
    const central = await wireOf('central', rates.central);
    const sizeOf = (sha: string) => piecesOf(manifest).get(sha);
    const server = new BlobServer({
      wire: central,
      store,
      sizeOf,
      ...(way === 'all' ? { holders: () => [] } : {}),
      log: silentLog,
      now: () => performance.now(),
    });
    server.start();
    await central.start();
    const fetches = await Promise.all(
      Array.from({ length: nodes }, async (_, k) => {
        const self = `node-${k}`;
        const wire = await wireOf(self, rates.node);
        const fetch: BlobFetch = new BlobFetch({
          self,
          store: await openBlobStore(join(folder, self), { isKept: false }),
          send: (to, message) => wire.send(to, 'blob-get', message),
          join: () => wire.join(),
          log: silentLog,
        });
        wire.on('blob-part', blobPartMessage, (from, part) => fetch.accept(from, part));
        await wire.start();
        return fetch;
      }),
    );
    const began = performance.now();
    const never = new AbortController().signal;
    await Promise.all(fetches.map((fetch) => fetch.fetch('central', manifest.blobs, never)));
    const seconds = (performance.now() - began) / 1000;
    const bytes = manifest.blobs.reduce((sum, { size }) => sum + size, 0);
    server.stop();
    return { seconds, copies: central.counters.sent_bytes / bytes };
  } finally {
    for (const end of ends.toReversed()) await end();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Seconds from the start of central until each of the agents, which are online, has computed a tile of a frame. */
async function loopback(folder: string, { nodes, layers }: Settings): Promise<number> {
  const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  const bus = await connectBus({ url: broker.urls[0]!, clientId: 'bench', log: silentLog });
  const online = new Set<string>();
  const agents = Array.from({ length: nodes }, (_, k) =>
    startAgentProcess({
      id: `n${k}`,
      broker: broker.urls[0]!,
      base: 'tessera',
      threads: 1,
      stateDir: join(folder, `n${k}`),
      log: silentLog,
    }),
  );
  try {
    await new Promise<void>((resolve) => {
      void bus.subscribe(topics.nodeStatusAll, 1, ({ topic, payload }) => {
        if (Buffer.from(payload).toString() === 'online') online.add(topic);
        if (online.size === nodes) resolve();
      });
    });
    const card = parseCard({ name: 'layered', task: 'raw' }, 'layered');
    const model = layeredModel(layers);
    const began = performance.now();
    const cluster = await startCluster({
      nodes: 0,
      bus: { url: broker.urls[0]! },
      base: 'tessera',
      stateDir: join(folder, 'central'),
      isTransient: true,
      maximumPacketSize: 1_000_000,
      cameras: { front: { models: [], hold: 1, offline_after_s: 60, keep: 'every' } },
      acceptUnlistedCameras: false,
      idPrefix: 'node',
      log: silentLog,
    });
    try {
      const served = await cluster.central.load({ name: 'layered', card, labels: [], model, picture: false });
      const eighths = new Array<number>(8).fill(1);
      const split = { kind: 'tiles', padding: 'halo', rows: eighths, cols: [8] } as const;
      const plan = layeredPlan(served.manifest.skeleton.sha, [{ output: 'y', split }]);
      await cluster.central.offerPlan('layered', compilePlan(plan, served.resolved));
      const camera = new FrameClient(bus, topics, 'front');
      await camera.start();
      const shape: number[] = [...layeredFrame.shape];
      const d = new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
      const atWork = new Set<string>();
      for (let k = 0; atWork.size < nodes; k++) {
        const frame = { v: 1 as const, format: 'tensor' as const, dtype: layeredFrame.dtype, shape, d };
        const { result } = await camera.send(`f-${k}`, frame, 120_000, 'layered');
        for (const node of result.nodes) if (node !== 'central') atWork.add(node);
      }
      return (performance.now() - began) / 1000;
    } finally {
      await cluster.stop();
    }
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await bus.stop();
    await broker.stop();
  }
}
