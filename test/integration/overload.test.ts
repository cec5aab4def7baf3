import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, startCluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient, publishFrame } from '../../cli/frames.ts';
import { parseCard } from '../../shared/model/card.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { stats } from '../../shared/protocol/messages/central.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import type { z } from '../../shared/schema.ts';
import { tinyInput, tinyNetwork } from '../support/tiny-network.ts';

/**
 * More frames than the cluster can compute, with real processes: which frames are served, which are skipped and why,
 * and that `tessera/stats` accounts for every frame that was sent. Without this an overloaded camera starves the
 * others, or frames vanish without a trace.
 */

const names = topics('tessera');
const { dtype, shape, data } = tinyInput();
const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d: data };
/** Frames that fit the waiting buffers, and frames of the camera that does not flood. */
const ROOM = 60;
const CALM = 30;

type Window = z.infer<typeof stats>;

let folder: string;
let cluster: Cluster;
let bus: Bus;
const results: ResultObject[] = [];
const windows: Window[] = [];
let onStats: () => void = () => {};
/** Frames of the camera that floods. */
let flooded = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-overload-'));
  const camera = { models: [], hold: 1, offline_after_s: 60 };
  cluster = await startCluster({
    nodes: 2,
    base: 'tessera',
    stateDir: folder,
    maximumPacketSize: 1_000_000,
    cameras: {
      flood: { ...camera, keep: 'every' },
      calm: { ...camera, keep: 'every' },
      newest: { ...camera, keep: 'newest' },
      paced: { ...camera, keep: 'every', max_fps: 5 },
      queued: { ...camera, keep: 'every', queue_max: 5 },
      odd: { ...camera, keep: 'every' },
    },
    acceptUnlistedCameras: false,
    coordinator: { max_payload_bytes: ROOM * data.byteLength },
    idPrefix: 'node',
    log: silentLog,
  });
  bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  await bus.subscribe('tessera/result/+/+', 1, ({ payload, retained }) => {
    if (!retained) results.push(resultObject.parse(JSON.parse(Buffer.from(payload).toString())));
  });
  await bus.subscribe(names.stats, 0, ({ payload }) => {
    windows.push(stats.parse(JSON.parse(Buffer.from(payload).toString())));
    onStats();
  });
  const { central } = cluster;
  const served = await central.load({
    name: 'tiny',
    card: parseCard({ name: 'tiny', task: 'raw' }, 'tiny'),
    labels: [],
    model: tinyNetwork(),
    picture: false,
  });
  const plan = choosePlan(served, { nodeCount: 2, grid: { rows: 2, cols: 2 } });
  await central.offerPlan('tiny', plan);
  await untilReady(cluster, plan.plan, 2);
  await floodAndCalm();
  await Promise.all([
    ...Array.from({ length: 100 }, (_, i) => send('newest', `n${i}`)),
    ...Array.from({ length: 30 }, (_, i) => send('paced', `p${i}`)),
    ...Array.from({ length: 60 }, (_, i) => send('queued', `q${i}`)),
  ]);
  await send('odd', 'twice');
  await send('odd', 'twice');
  await bus.publish(names.input('odd', 'junk'), 'hello', { qos: 1 });
  await send('unlisted', 'x');
  await bus.publish('tessera/input/odd/too/deep', 'hello', { qos: 1 });
  const sent = { flood: flooded, calm: CALM, newest: 100, paced: 30, queued: 60, odd: 3 };
  const open = (): boolean =>
    Object.entries(sent).some(([camera, count]) => counted(camera).ended + counted(camera).skips < count);
  while (open()) await nextWindow();
  for (const [camera, count] of Object.entries(sent))
    expect(counted(camera).ended + counted(camera).skips, camera).toBe(count);
});
afterAll(async () => {
  await bus?.stop();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

const send = (camera: string, id: string): Promise<void> => publishFrame(bus, names, camera, id, frame, 1);
const ended = (camera: string): ResultObject[] => results.filter((result) => result.camera === camera);

/** The sum of all `tessera/stats` of a camera so far. */
function counted(camera: string) {
  const sum = { arrived: 0, ended: 0, skipped: {} as Record<string, number>, skips: 0 };
  for (const { cameras, window_s } of windows) {
    const window = cameras[camera];
    if (window === undefined) continue;
    sum.arrived += Math.round(window.camera_fps * window_s);
    sum.ended += window.frames.ok + window.frames.degraded + window.frames.error;
    for (const [reason, count] of Object.entries(window.skipped)) {
      sum.skipped[reason] = (sum.skipped[reason] ?? 0) + count;
      sum.skips += count;
    }
  }
  return sum;
}

function nextWindow(): Promise<void> {
  return new Promise((resolve) => {
    onStats = resolve;
  });
}

/** One camera floods; meanwhile another one sends its frames. */
async function floodAndCalm(): Promise<void> {
  let flooding = true;
  const flood = async (): Promise<void> => {
    while (flooding) await Promise.all(Array.from({ length: 50 }, () => send('flood', `f${flooded++}`)));
  };
  const done = flood();
  const client = new FrameClient(bus, names, 'calm');
  await client.start();
  const frames = Array.from({ length: CALM }, (_, i) => client.send(`c${i}`, frame, 60_000));
  await Promise.all(frames);
  flooding = false;
  await done;
}

describe('more frames than the cluster can compute', () => {
  it('one camera floods: the other one is served in its turn, and nothing of it is skipped', () => {
    expect(counted('calm')).toMatchObject({ skips: 0, ended: CALM });
    expect(counted('flood').skipped['buffers-full']).toBeGreaterThan(0);
    const order = results.filter(({ camera }) => camera === 'calm' || camera === 'flood').map(({ camera }) => camera);
    const between = order.slice(order.indexOf('calm'), order.lastIndexOf('calm') + 1);
    const ofFlood = between.filter((camera) => camera === 'flood').length;
    // The flooding camera gets every other turn while both have frames waiting; several open frames at a time add a
    // few.
    expect(ofFlood).toBeLessThanOrEqual(2 * CALM);
    expect(ofFlood).toBeGreaterThan(CALM / 3);
    expect(results.every(({ status }) => status === 'ok')).toBe(true);
  });

  it('newest wins: the last frame sent is among those that ended, and the others were replaced by newer ones', () => {
    const { skipped, skips } = counted('newest');
    expect(skipped).toEqual({ 'newer-frame': skips });
    expect(skips).toBeGreaterThan(0);
    expect(ended('newest').at(-1)?.frame).toBe('n99');
  });

  it('max_fps: frames above the rate are skipped with that reason', () => {
    const { skipped, skips, ended: done } = counted('paced');
    expect(skipped).toEqual({ 'rate-limit': skips });
    expect(done).toBeGreaterThan(0);
    expect(skips).toBeGreaterThan(0);
  });

  it('a bounded queue: frames that do not fit are skipped with that reason', () => {
    const { skipped, skips } = counted('queued');
    expect(skipped).toEqual({ 'queue-full': skips });
    expect(skips).toBeGreaterThan(0);
    expect(ended('queued')).toHaveLength(60 - skips);
  });

  it('unacceptable messages are counted by their reason, also where they name no camera', () => {
    expect(counted('odd')).toMatchObject({ skipped: { duplicate: 1, invalid: 1 }, ended: 1 });
    expect(counted('unlisted').skipped).toEqual({ 'no-model': 1 });
    expect(counted('').skipped).toEqual({ invalid: 1 });
  });

  it('afterwards all buffers are empty', () => {
    for (const [buffer, held] of Object.entries(windows.at(-1)!.buffers)) expect(held, buffer).toBe(0);
    expect(windows.at(-1)!.tiles).toMatchObject({ stray: 0, 'stale-epoch': 0 });
  });
});
