import { setTimeout as sleep } from 'node:timers/promises';
import { drawnPictures } from '../../shared/camera/live/scene-source.ts';
import { silentLog } from '../../shared/ports.ts';
import { resultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/**
 * Two cameras in a process of their own: as fast as the cluster answers for a while, to find what it can do, then at a
 * share of that rate on the clock; every half minute the capacity is measured again, since other programs of this machine
 * come and go. Where so many frames are open that some would be skipped, the cameras wait and count it.
 * Prints `capacity N` and `steady` on the way, and at the end one line of JSON.
 */
export interface SoakTask {
  readonly url: string;
  /** Share of the capacity, 0 to 1. */
  readonly load: number;
  readonly rampSeconds: number;
  readonly steadySeconds: number;
}

/** The JSON line at the end, about the steady part. */
export interface SoakReport {
  /** Frames a second that the cluster could do, and that it was sent, over the steady part. */
  readonly capacityFps: number;
  readonly sentFps: number;
  readonly sent: number;
  /** Frames that waited until others had ended, because too many were open. */
  readonly heldBack: number;
  readonly ended: Readonly<Record<'ok' | 'degraded' | 'error', number>>;
  /** Frames without a result a minute after the last was sent, and frames with more than one. */
  readonly lost: number;
  readonly twice: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

const CAMERAS = ['a', 'b'] as const;
/** Frames under way while the capacity is measured: enough that no node waits for a camera. */
const IN_FLIGHT = 8;
/** Far below the 256 that may wait at central for each camera. */
const MOST_OPEN = 64;
const CYCLE_MS = 30_000;
const BURST_MS = 3000;
const PATIENCE_MS = 60_000;

const task = JSON.parse(process.argv[2]!) as SoakTask;
const names = topics('tessera');
const bus = await connectBus({ url: task.url, clientId: `bench-soak-${process.pid}`, log: silentLog });
const pictures = await drawnPictures(16);
const open = new Map<string, { at: number; done: () => void }>();
const seen = new Set<string>();
const ended = { ok: 0, degraded: 0, error: 0 };
const latencies: number[] = [];
let twice = 0;
await bus.subscribe(names.resultAll, 1, ({ payload, retained }) => {
  if (retained) return;
  const { frame, status } = resultObject.parse(JSON.parse(Buffer.from(payload).toString('utf8')));
  if (seen.has(frame)) twice++;
  seen.add(frame);
  const waiting = open.get(frame);
  if (waiting === undefined) return;
  open.delete(frame);
  ended[status]++;
  latencies.push(performance.now() - waiting.at);
  waiting.done();
});

let counter = 0;
/** Sends the next frame; resolves with its result. */
function send(): Promise<void> {
  const i = counter++;
  const id = `${process.pid}-${i}`;
  const done = new Promise<void>((resolve) => open.set(id, { at: performance.now(), done: resolve }));
  const picture = pictures[i % pictures.length]!;
  bus.publish(names.input(CAMERAS[i % CAMERAS.length]!, id), picture, { qos: 1 }).catch(() => {});
  return done;
}

/** As fast as answers come, for so long; returns frames a second. */
async function burst(ms: number): Promise<number> {
  const from = performance.now();
  let done = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - from < ms) {
      await send();
      done++;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return (1000 * done) / (performance.now() - from);
}

await burst(task.rampSeconds * 1000);
let capacity = await burst(BURST_MS);
process.stdout.write(`capacity ${capacity.toFixed(1)}\n`);

ended.ok = ended.degraded = ended.error = twice = 0;
latencies.length = 0;
process.stdout.write('steady\n');
const started = performance.now();
const firstSteady = counter;
const capacities: number[] = [];
let heldBack = 0;
while (performance.now() - started < task.steadySeconds * 1000) {
  capacities.push(capacity);
  const from = performance.now();
  for (let i = 0; performance.now() - from < CYCLE_MS - BURST_MS; i++) {
    const wait = from + (1000 * i) / (task.load * capacity) - performance.now();
    if (wait > 0) await sleep(wait);
    if (open.size >= MOST_OPEN) heldBack++;
    while (open.size >= MOST_OPEN) await sleep(5);
    void send();
  }
  for (const since = performance.now(); open.size > 0 && performance.now() - since < PATIENCE_MS; ) await sleep(5);
  capacity = await burst(BURST_MS);
}
const took = (performance.now() - started) / 1000;
const sent = counter - firstSteady;
const last = performance.now();
while (open.size > 0 && performance.now() - last < PATIENCE_MS) await sleep(50);
const sorted = latencies.sort((a, b) => a - b);
const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
const report: SoakReport = {
  capacityFps: capacities.reduce((sum, one) => sum + one, 0) / capacities.length,
  sentFps: sent / took,
  sent,
  heldBack,
  ended,
  lost: open.size,
  twice,
  p50Ms: at(0.5),
  p95Ms: at(0.95),
};
process.stdout.write(`${JSON.stringify(report)}\n`);
await bus.stop();
