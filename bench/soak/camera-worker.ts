import { setTimeout as sleep } from 'node:timers/promises';
import { drawnPictures } from '../../cli/camera/source.ts';
import { silentLog } from '../../shared/ports.ts';
import { resultObject } from '../../shared/protocol/messages.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/**
 * Two cameras in a process of their own: first as fast as the cluster answers, to find what it can do, then at a share
 * of that rate, frame by frame on the clock whether answers come or not. Says `capacity N` and `steady` on the way, and
 * at the end one line of JSON.
 */
export interface SoakTask {
  readonly url: string;
  /** Share of the capacity, 0 to 1. */
  readonly load: number;
  readonly capacitySeconds: number;
  readonly steadySeconds: number;
}

/** What it says at the end, of the steady part. */
export interface SoakReport {
  readonly capacityFps: number;
  readonly sent: number;
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

const until = performance.now() + task.capacitySeconds * 1000;
const warm = performance.now() + task.capacitySeconds * 300;
let measured = 0;
await Promise.all(
  Array.from({ length: IN_FLIGHT }, async () => {
    while (performance.now() < until) {
      await send();
      if (performance.now() > warm) measured++;
    }
  }),
);
const capacityFps = measured / (task.capacitySeconds * 0.7);
process.stdout.write(`capacity ${capacityFps}\n`);

ended.ok = ended.degraded = ended.error = twice = 0;
latencies.length = 0;
process.stdout.write('steady\n');
const started = performance.now();
const everyMs = 1000 / (task.load * capacityFps);
let sent = 0;
for (; sent * everyMs < task.steadySeconds * 1000; sent++) {
  const wait = started + sent * everyMs - performance.now();
  if (wait > 0) await sleep(wait);
  void send();
}
const last = performance.now();
while (open.size > 0 && performance.now() - last < PATIENCE_MS) await sleep(50);
const sorted = latencies.sort((a, b) => a - b);
const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
const report: SoakReport = { capacityFps, sent, ended, lost: open.size, twice, p50Ms: at(0.5), p95Ms: at(0.95) };
process.stdout.write(`${JSON.stringify(report)}\n`);
await bus.stop();
