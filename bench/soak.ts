import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Cluster, startCluster } from '../cli/cluster.ts';
import { integer, positive, share, type Values, valueOr } from '../cli/options.ts';
import { silentLog } from '../shared/ports.ts';
import { compiledFile } from '../shared/runtime/worker-entry.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { residentBytes } from './overhead/processes.ts';
import type { SoakReport, SoakTask } from './soak/camera-worker.ts';
import { type Sample, type Trend, trendOfLows } from './soak/trend.ts';
import { serveScenes } from './testbed/serve-scenes.ts';

const WINDOWS = 12;
/** Length of warm-up and measurement together below which growth is not judged. */
const LEAST_MINUTES = 3;
/**
 * Growth that passes, MB (10^6 bytes) a minute, for each process: 1 MB a minute is what the lows of a healthy process
 * wander over ten minutes. In a shorter run they wander more: twice the line's own error is taken off first.
 */
const GROWTH_MB = 1;
const BOUND = { rss: GROWTH_MB, heap: GROWTH_MB };

const options = {
  minutes: valueOr('--minutes <n>', 'minutes that are measured', positive, 10),
  warmUp: valueOr('--warm-up <n>', 'minutes of the same load before them', positive, 5),
  ramp: valueOr('--ramp <s>', 'seconds of full load before the first measurement of the capacity', positive, 20),
  load: valueOr('--load <share>', 'share of what the cluster can do, as 0.8', share, 0.8),
  nodes: valueOr('--nodes <n>', 'node agents', integer(1, 64), 4),
};

export const { description, usage, run } = defineBenchmark({
  question: 'does memory stay flat and every frame end once, for ten minutes at 80 % load?',
  method:
    'Broker and central in this process, node agents and the cameras in processes of their own. The cameras measure ' +
    'what the cluster can do, again every half minute, and send a share of that. A process takes more memory until its ' +
    'heaps and arenas have seen everything, which was measured to take five minutes (175 to 210 MB, then flat); after ' +
    'that warm-up, under the same load, memory is sampled every second, and a line through the lows of twelve windows ' +
    'says whether it grows. Passed: every frame has one result, `ok`, and no process grows by more than 1 MB a minute, ' +
    "twice the line's own error taken off.",
  needs: 'Linux, and a machine with little else to do.',
  notMeasured: 'hours; below three minutes, as with --quick, whether memory grows: only that every frame ends once.',
  options,
  quick: { minutes: 0.2, warmUp: 0.1, ramp: 4 },
  run: soak,
});

async function soak({ minutes, warmUp, ramp, load, nodes }: Values<typeof options>) {
  const stateDir = await mkdtemp(join(tmpdir(), 'tessera-soak-'));
  let cluster: Cluster | undefined;
  try {
    const camera = { models: [], hold: 1, offline_after_s: 60, keep: 'every' } as const;
    cluster = await startCluster({
      nodes,
      base: 'tessera',
      stateDir,
      maximumPacketSize: 1_000_000,
      cameras: { a: camera, b: camera },
      acceptUnlistedCameras: false,
      idPrefix: 'node',
      log: silentLog,
    });
    await serveScenes(cluster, nodes);

    const pids = new Map<string, number>([['broker and central', process.pid]]);
    for (const { id, pid } of cluster.agents) pids.set(id, pid);
    const warmUpSeconds = warmUp * 60;
    const steadySeconds = warmUpSeconds + minutes * 60;
    const task: SoakTask = {
      url: cluster.bus.url,
      load,
      rampSeconds: ramp,
      steadySeconds,
    };
    const sampler = new Sampler(pids);
    const report = await runCameras(task, (line) => {
      if (line === 'steady') sampler.start();
      console.error(line);
    });
    const trends = sampler.stop(warmUpSeconds);
    for (const [name, { mean, perMinute, error }] of Object.entries(trends))
      console.log(
        `${name.padEnd(26)} ${mean.toFixed(1)} MB, ${signed(perMinute)} MB a minute (+- ${error.toFixed(2)})`,
      );
    const { sent, sentFps, heldBack, ended, lost, twice, capacityFps, p50Ms, p95Ms } = report;
    console.log(
      `${sent} frames at ${sentFps.toFixed(1)} a second (${((100 * sentFps) / capacityFps).toFixed(0)} % of ${capacityFps.toFixed(1)}, ${heldBack} held back): ` +
        `${ended.ok} ok, ${ended.degraded} degraded, ${ended.error} errors, ${lost} lost, ${twice} with two results; ` +
        `${p50Ms.toFixed(0)} ms, ${p95Ms.toFixed(0)} ms at the 95th percentile`,
    );
    const isFlat = ({ perMinute, error }: Trend, bound: number): boolean => perMinute - 2 * error <= bound;
    const flat = Object.entries(trends).every(([name, trend]) =>
      isFlat(trend, name.endsWith('heap') ? BOUND.heap : BOUND.rss),
    );
    // Shorter runs cannot show a leak: the heaps still grow to their normal size.
    const isLong = minutes + warmUp >= LEAST_MINUTES;
    const complete = lost === 0 && twice === 0 && ended.ok === sent;
    return {
      pass: (flat || !isLong) && complete,
      flat: isLong ? flat : null,
      complete,
      bound_mb_per_minute: BOUND,
      ...report,
      memory: trends,
    };
  } finally {
    await cluster?.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** Samples the memory of processes every second, MB. */
class Sampler {
  readonly #pids: ReadonlyMap<string, number>;
  readonly #samples = new Map<string, Sample[]>();
  #timer: NodeJS.Timeout | undefined;
  #started = 0;

  constructor(pids: ReadonlyMap<string, number>) {
    this.#pids = pids;
  }

  start(): void {
    this.#started = performance.now();
    this.#timer = setInterval(() => this.#sample(), 1000);
  }

  /** The trends of everything sampled after `warmUp` seconds. */
  stop(warmUp: number): Record<string, Trend> {
    clearInterval(this.#timer);
    return Object.fromEntries(
      [...this.#samples].map(([name, samples]) => [
        name,
        trendOfLows(
          samples.filter(({ at }) => at >= warmUp),
          WINDOWS,
        ),
      ]),
    );
  }

  #sample(): void {
    const at = (performance.now() - this.#started) / 1000;
    const add = (name: string, bytes: number): void => {
      const samples = this.#samples.get(name) ?? [];
      this.#samples.set(name, samples);
      samples.push({ at, value: bytes / 1e6 });
    };
    for (const [name, pid] of this.#pids) add(name, residentBytes(pid));
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    add('broker and central, heap', heapUsed + arrayBuffers);
  }
}

async function runCameras(task: SoakTask, onLine: (line: string) => void): Promise<SoakReport> {
  const script = compiledFile(import.meta.url, './soak/camera-worker.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) last = line;
    else onLine(line);
  }
  await ended;
  if (last === '') throw new Error(`the cameras ended with ${child.exitCode ?? child.signalCode}`);
  return JSON.parse(last) as SoakReport;
}

const signed = (value: number): string => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(2)}`;
