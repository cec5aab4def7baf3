import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { integer, oneOf, positive, type Values, valueOr } from '../cli/options.ts';
import { drawScene } from '../shared/camera/scenes/scene.ts';
import { type Bus, silentLog } from '../shared/ports.ts';
import { resultObject } from '../shared/protocol/messages/result.ts';
import { topics } from '../shared/protocol/topics.ts';
import { encodeJpeg } from '../shared/runtime/image.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { RunningCli } from './testbed/run-cli.ts';
import { openBrowsers, openStreams, type Readers } from './testbed/window-readers.ts';

/** The median with readers may be so much larger. */
const BOUND = 1.05;
const CAMERA = 'front';
/** Latencies of a round's first frames say what came before it. */
const WARM_UP = 3;

const options = {
  readers: valueOr('--readers <n>', 'browsers that look', integer(1, 32), 5),
  kind: valueOr(
    '--kind <kind>',
    'browser: pages of Chromium, on the processors of the cluster; stream: clients that ask what such a page asks',
    oneOf('browser', 'stream'),
    'browser',
  ),
  nodes: valueOr('--nodes <n>', 'node agents', integer(1, 16), 2),
  rounds: valueOr('--rounds <n>', 'rounds of each side', integer(1), 10),
  seconds: valueOr('--seconds <n>', 'length of each', positive, 8),
  fps: valueOr('--fps <n>', 'frames a second', positive, 5),
};

export const { description, usage, run } = defineBenchmark({
  question: 'do browsers that show the window slow frames?',
  method:
    'A cluster of `tessera up`, and a camera that publishes drawn scenes at a steady rate. In every second round so many ' +
    'readers have the view of the cameras open. Rounds with and without them take turns, so that whatever else the ' +
    'machine does hits both. The latency is from the publishing of a frame to its result at a client. Passed: the median ' +
    `with readers is at most ${BOUND} times the one without.`,
  needs: 'Chromium (Debian package chromium) for `--kind browser`.',
  notMeasured: 'browsers on machines of their own: here they share the processors of the cluster.',
  options,
  quick: { rounds: 2, seconds: 4 },
  run: measureAll,
});

async function measureAll({ readers: count, kind, nodes, rounds, seconds, fps }: Values<typeof options>) {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-window-'));
  const up = new RunningCli(['up', '--nodes', String(nodes), '--camera', 'none'], {
    env: { STATE_DIRECTORY: join(folder, 'state') },
  });
  const [, url = ''] = await up.printed(/window: (http:\S+)/);
  const [, broker = ''] = await up.printed(/broker: (mqtt:\S+)/);
  await up.printed(/waiting for frames/);
  const bus = await connectBus({ url: broker, clientId: 'bench-camera', log: silentLog });
  const camera = await Camera.open(bus, fps);
  const readers = await (kind === 'browser' ? openBrowsers : openStreams)(url, count);
  const without: number[][] = [];
  const looking: number[][] = [];
  try {
    await camera.frames(seconds);
    for (let k = 0; k < 2 * rounds; k++) {
      // without, with, with, without, ...: a drift of the machine falls on both.
      const looks = k % 4 === 1 || k % 4 === 2;
      const latencies = await round(camera, readers, looks, seconds);
      (looks ? looking : without).push(latencies);
      console.error(`${looks ? `${count} look` : 'nobody looks'}: median ${quantile(latencies, 0.5).toFixed(1)} ms`);
    }
  } finally {
    await readers.stop();
    await bus.stop();
    await up.stop();
    await rm(folder, { recursive: true });
  }
  const [before, after] = [sideOf(without), sideOf(looking)];
  const ratio = after.median_ms / before.median_ms;
  console.log(
    `median ${before.median_ms} ms while nobody looks, ${after.median_ms} ms with ${count} readers (${kind}): ${((ratio - 1) * 100).toFixed(1)} % more`,
  );
  return { pass: ratio < BOUND, bound: BOUND, ratio, kind, readers: count, nodes, without: before, with: after };
}

async function round(camera: Camera, readers: Readers, looks: boolean, seconds: number): Promise<number[]> {
  if (looks) await readers.look();
  const latencies = await camera.frames(seconds);
  if (looks) await readers.rest();
  return latencies.slice(WARM_UP);
}

/** The latencies of one side, ms: over all frames, and the smallest and largest median of its rounds. */
function sideOf(rounds: readonly (readonly number[])[]) {
  const medians = rounds.map((latencies) => quantile(latencies, 0.5));
  const all = rounds.flat();
  const [median_ms, p10_ms, p90_ms] = [0.5, 0.1, 0.9].map((share) => rounded(quantile(all, share)));
  const spread = [rounded(Math.min(...medians)), rounded(Math.max(...medians))];
  return { frames: all.length, median_ms: median_ms!, p10_ms: p10_ms!, p90_ms: p90_ms!, median_of_rounds_ms: spread };
}

const rounded = (ms: number): number => Math.round(ms * 100) / 100;

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** A camera that publishes the same scene at a steady rate and waits for its results. */
class Camera {
  readonly #bus: Bus;
  readonly #periodMs: number;
  readonly #scene: Uint8Array;
  readonly #sentAt = new Map<string, number>();
  #latencies: number[] = [];
  #count = 0;
  #onResult: () => void = () => {};

  private constructor(bus: Bus, periodMs: number, scene: Uint8Array) {
    this.#bus = bus;
    this.#periodMs = periodMs;
    this.#scene = scene;
  }

  static async open(bus: Bus, fps: number): Promise<Camera> {
    const { rgb, width, height } = drawScene(1);
    const camera = new Camera(bus, 1000 / fps, await encodeJpeg(rgb, width, height, 85));
    await bus.subscribe(topics().resultAll, 1, ({ payload, retained }) => {
      if (retained) return;
      const { frame, status } = resultObject.parse(JSON.parse(Buffer.from(payload).toString()));
      const sentAt = camera.#sentAt.get(frame);
      if (sentAt === undefined || !camera.#sentAt.delete(frame)) return;
      if (status !== 'error') camera.#latencies.push(performance.now() - sentAt);
      camera.#onResult();
    });
    return camera;
  }

  /** The latencies of the frames of so many seconds, ms, in the order of their results; a newer frame may displace one. */
  async frames(seconds: number): Promise<number[]> {
    this.#latencies = [];
    const began = performance.now();
    let frame = '';
    for (let k = 0; k * this.#periodMs < seconds * 1000; k++) {
      frame = `bench-${this.#count++}`;
      this.#sentAt.set(frame, performance.now());
      await this.#bus.publish(topics().input(CAMERA, frame), this.#scene, { qos: 1 });
      await sleep(Math.max(0, began + (k + 1) * this.#periodMs - performance.now()));
    }
    while (this.#sentAt.has(frame)) await new Promise<void>((resolve) => (this.#onResult = resolve));
    this.#sentAt.clear();
    return this.#latencies;
  }
}
