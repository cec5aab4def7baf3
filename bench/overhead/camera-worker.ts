import { FrameClient } from '../../cli/frames.ts';
import { silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/**
 * A camera in a process of its own: sends frames one after another, each when the last one's result is there. Says
 * `begin` after the warm-up, and at the end one line of JSON. With `watch` it also counts what others publish.
 */
export interface CameraTask {
  readonly url: string;
  readonly camera: string;
  readonly warmUp: number;
  readonly frames: number;
  readonly watch: boolean;
  readonly frame: { readonly format: 'jpeg' | 'tensor'; readonly base64: string; readonly shape?: readonly number[] };
}

/** The line that it prints at the end. Messages and bytes are sums over all frames, by kind. */
export interface CameraReport {
  readonly roundTripsMs: readonly number[];
  readonly failed: number;
  readonly messages: Readonly<Record<string, number>>;
  readonly bytes: Readonly<Record<string, number>>;
}

const task = JSON.parse(process.argv[2]!) as CameraTask;
const bus = await connectBus({ url: task.url, clientId: `bench-${task.camera}-${process.pid}`, log: silentLog });
const client = new FrameClient(bus, topics('tessera'), task.camera);
await client.start();
const d = new Uint8Array(Buffer.from(task.frame.base64, 'base64'));
const { format, shape } = task.frame;
const envelope: FrameEnvelope = {
  v: 1,
  format,
  d,
  ...(shape === undefined ? {} : { shape: [...shape], dtype: 'float32' as const }),
};
let failed = 0;
const send = async (i: number): Promise<number> => {
  const started = performance.now();
  const { result } = await client.send(`${process.pid}-${i}`, envelope, 60_000);
  if (result.status !== 'ok') failed++;
  return performance.now() - started;
};
for (let i = 0; i < task.warmUp; i++) await send(i);

const messages: Record<string, number> = {};
const bytes: Record<string, number> = {};
let counting = false;
const count = (kind: string, size: number): void => {
  if (!counting) return;
  messages[kind] = (messages[kind] ?? 0) + 1;
  bytes[kind] = (bytes[kind] ?? 0) + size;
};
if (task.watch) {
  await bus.subscribe('tessera-wire/#', 0, ({ topic, payload }) => count(topic.split('/')[3] ?? '?', payload.length));
  await bus.subscribe('tessera/input/#', 0, ({ payload }) => count('frame', payload.length));
  await bus.subscribe('tessera/result/+/+', 0, ({ payload, retained }) => {
    if (!retained) count('prediction', payload.length);
  });
}
counting = true;
process.stdout.write('begin\n');
const roundTripsMs: number[] = [];
for (let i = 0; i < task.frames; i++) roundTripsMs.push(await send(task.warmUp + i));
process.stdout.write(`${JSON.stringify({ roundTripsMs, failed, messages, bytes } satisfies CameraReport)}\n`);
await bus.stop();
