import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Cluster, startCluster } from '../cli/cluster.ts';
import { integer, oneOf, positive, type Values, valueOr } from '../cli/options.ts';
import { drawnPictures } from '../shared/camera/live/scene-source.ts';
import { silentLog } from '../shared/ports.ts';
import { resultObject } from '../shared/protocol/messages/result.ts';
import { topics } from '../shared/protocol/topics.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { compiledFile } from '../shared/runtime/worker-entry.ts';
import type { FloodTask } from './flood/flooder.ts';
import { FLOOD_KINDS, type FloodKind } from './flood/kinds.ts';
import { defineBenchmark, list } from './harness/benchmark.ts';
import { serveScenes } from './testbed/serve-scenes.ts';

/** During a flood frames may take at most so many times as long, or so many ms more on a small machine. */
const TARGET = 3;
const SLACK_MS = 150;
const FRAME_MS = 100;
const NODES = 2;

interface Round {
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly frames: number;
  readonly lost: number;
  readonly sent_per_s: number;
}

const options = {
  kinds: valueOr(`--kinds <list>`, 'what the node sends', list(oneOf(...FLOOD_KINDS)), [...FLOOD_KINDS]),
  perSecond: valueOr('--per-second <n>', 'messages a second', positive, 4000),
  bytes: valueOr('--bytes <n>', 'bytes of each', integer(1), 16_384),
  seconds: valueOr('--seconds <n>', 'length of each round', positive, 8),
};

export const { description, usage, run } = defineBenchmark({
  question: 'does one node that floods central with unrequested messages slow the others?',
  method:
    'Broker and central in this process, two node agents in processes of their own, ten frames a second of the bundled ' +
    'model; in every second round another process, which may say what a node may, floods central with one kind of ' +
    `message. Passed: no frame is lost, and the median of a round is at most ${TARGET} times that of the quiet round before ` +
    `it, or ${SLACK_MS} ms longer.`,
  notMeasured: 'floods of several nodes; machines with more cores, where the flooding process has a core of its own.',
  options,
  quick: { kinds: ['result', 'heartbeat'], seconds: 5 },
  run: measureAll,
});

async function measureAll({ kinds, perSecond, bytes, seconds }: Values<typeof options>) {
  const stateDir = await mkdtemp(join(tmpdir(), 'tessera-flood-'));
  let cluster: Cluster | undefined;
  try {
    cluster = await startCluster({
      nodes: NODES,
      base: 'tessera',
      stateDir,
      maximumPacketSize: 1_000_000,
      cameras: { front: { models: [], hold: 1, offline_after_s: 60, keep: 'every' } },
      acceptUnlistedCameras: false,
      idPrefix: 'node',
      log: silentLog,
    });
    await serveScenes(cluster, NODES);
    const { url } = cluster.bus;
    const film = await filmOf(url);
    await film.round(2);
    const rounds: Record<string, { quiet: Round; flood: Round }> = {};
    let pass = true;
    for (const kind of kinds) {
      const quiet = { ...(await film.round(seconds)), sent_per_s: 0 };
      const flooder = await flood({ url, kind, perSecond, bytes });
      const during = await film.round(seconds);
      const flooded = { ...during, sent_per_s: await flooder.stop() };
      rounds[kind] = { quiet, flood: flooded };
      pass &&= flooded.lost === 0 && flooded.p50_ms <= Math.max(TARGET * quiet.p50_ms, quiet.p50_ms + SLACK_MS);
      console.log(
        `${kind.padEnd(10)} p50 ${quiet.p50_ms.toFixed(0)} -> ${flooded.p50_ms.toFixed(0)} ms, p95 ${quiet.p95_ms.toFixed(0)} -> ` +
          `${flooded.p95_ms.toFixed(0)} ms, ${flooded.lost} of ${flooded.frames} frames lost, ${flooded.sent_per_s.toFixed(0)} messages/s`,
      );
    }
    await film.stop();
    return { pass, bytes, rounds };
  } finally {
    await cluster?.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** A camera at ten frames a second, and a reader of its results. */
async function filmOf(url: string) {
  const names = topics('tessera');
  const bus = await connectBus({ url, clientId: `bench-flood-camera-${process.pid}`, log: silentLog });
  const pictures = await drawnPictures(8);
  const open = new Map<string, (latencyMs: number) => void>();
  await bus.subscribe(names.resultAll, 1, ({ payload }) => {
    const { frame, latency_ms } = resultObject.parse(JSON.parse(Buffer.from(payload).toString()));
    open.get(frame)?.(latency_ms);
    open.delete(frame);
  });
  let count = 0;
  return {
    async round(seconds: number): Promise<Omit<Round, 'sent_per_s'>> {
      const took: number[] = [];
      const frames = Math.round((1000 * seconds) / FRAME_MS);
      const answers = Array.from({ length: frames }, async (_, k) => {
        await new Promise((resolve) => setTimeout(resolve, k * FRAME_MS));
        const frame = `f-${count++}`;
        const began = performance.now();
        const answered = new Promise<void>((resolve) => {
          open.set(frame, () => {
            took.push(performance.now() - began);
            resolve();
          });
        });
        await bus.publish(names.input('front', frame), pictures[k % pictures.length]!, { qos: 1 });
        await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, 30_000).unref())]);
      });
      await Promise.all(answers);
      const sorted = took.sort((a, b) => a - b);
      const at = (q: number): number =>
        sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
      return { p50_ms: at(0.5), p95_ms: at(0.95), frames, lost: frames - took.length };
    },
    stop: () => bus.stop(),
  };
}

/** Starts a flood; `stop` ends it and says how many messages a second it was. */
async function flood(task: FloodTask & { readonly kind: FloodKind }) {
  const script = compiledFile(import.meta.url, './flood/flooder.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    async stop(): Promise<number> {
      const gone = once(child, 'exit');
      child.stdin.end();
      const last = await lines.next();
      await gone;
      if (last.done === true) return 0;
      const { sent, seconds } = JSON.parse(last.value) as { sent: number; seconds: number };
      return sent / seconds;
    },
  };
}
