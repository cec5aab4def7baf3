import { beforeEach, describe, expect, it } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, sketchPlan } from '../../../bench/sim/plans.ts';
import { Coordinator } from '../../../central/coordinator/coordinator.ts';
import type { FrameEnd } from '../../../central/coordinator/frame-end.ts';
import { defaultOptions } from '../../../central/coordinator/options.ts';
import type { Snapshot } from '../../../central/coordinator/snapshot.ts';
import { FrameTotals } from '../../../central/observers/frame-totals.ts';
import { StatisticsReader } from '../../../central/observers/statistics.ts';
import { stats as schema } from '../../../shared/protocol/messages/central.ts';

const nothing = new Coordinator({ ...defaultOptions, epoch: 1 }).snapshot();
const pi = {
  ...nothing.nodes.central!,
  tiles: 5,
  errors: 1,
  bytes_up: 1000,
};

let now: number;
let frames: FrameTotals;
let snapshot: Snapshot;
const wire = { sent: 0, sent_bytes: 0, received: 0, received_bytes: 0, invalid: 0, unhandled: 0, dropped: 0 };
const bus = { connections: 1, droppedOffline: 0, rejected: 0 };
const opened = () => new StatisticsReader({ frames, snapshot: () => snapshot, wire, bus });
let reader: StatisticsReader;
beforeEach(() => {
  now = 0;
  frames = new FrameTotals(() => now);
  snapshot = nothing;
  reader = opened();
});
const report = (from = reader) => schema.parse(from.report(10));

describe('the report of statistics', () => {
  it('follows the protocol, also before the first frame', () => {
    expect(report()).toMatchObject({ cameras: {}, nodes: {} });
    frames.frameArrived('front');
    frames.frameSkipped('front', 'newer-frame');
    snapshot = { ...nothing, nodes: { 'pi-1': pi } };
    const { cameras, nodes } = report();
    expect(cameras.front).toMatchObject({
      camera_fps: 0.1,
      skipped: { 'newer-frame': 1 },
      latency_ms: { p50: null },
    });
    expect(nodes['pi-1']).toMatchObject({ tiles: 5, errors: 1, bytes_up: 1000, bytes_down: 0 });
  });

  it('counts frames that ended early beside how they ended', () => {
    const cluster = new Cluster();
    const early = sketchPlan([{ tiles: 2 }, { tiles: 1, on: atCentral, exit: true }, { tiles: 2 }]);
    cluster.start('a');
    cluster.plan('m', early);
    cluster.confident = 1;
    cluster.offer('front');
    cluster.settle();
    cluster.confident = 0;
    cluster.offer('front');
    cluster.settle();
    for (const end of cluster.published) frames.frameEnded({ end });
    expect(report().cameras.front).toMatchObject({ frames: { ok: 2 }, left_early: 1 });
  });

  it('counts from the last report of its reader, independently of other readers', () => {
    frames.frameArrived('front');
    wire.dropped = 7;
    snapshot = { ...nothing, discarded: { ...nothing.discarded, late: 3 }, nodes: { 'pi-1': pi } };
    const other = opened();
    report();
    snapshot = { ...snapshot, nodes: { 'pi-1': { ...pi, tiles: 7 } }, open_frames: 2 };
    wire.dropped = 9;
    bus.droppedOffline = 1;
    const second = report();
    expect(second).toMatchObject({ cameras: {}, tiles: { late: 0 }, buffers: { open_frames: 2 } });
    expect(second.nodes).toMatchObject({ 'pi-1': { tiles: 2, errors: 0, bytes_up: 0 } });
    expect(second).toMatchObject({ wire: { dropped: 2 }, bus: { connections: 0, dropped_offline: 1 } });
    const all = { tiles: { late: 3 }, wire: { dropped: 9 }, nodes: { 'pi-1': { tiles: 7 } } };
    expect(report(other)).toMatchObject({ ...all, cameras: { front: { camera_fps: 0.1 } } });
  });

  it('gives latencies of the frames since the last report, however many ended before', () => {
    const ended = (latency_ms: number) => {
      const end = { camera: 'front', outcome: 'ok', exit: null, latency_ms };
      frames.frameEnded({ end: end as FrameEnd });
    };
    for (let i = 0; i < 5000; i++) ended(1000);
    expect(report().cameras.front).toMatchObject({ frames: { ok: 5000 }, latency_ms: { p50: 1000, p95: 1000 } });
    for (let i = 1; i <= 100; i++) ended(i);
    expect(report().cameras.front).toMatchObject({ frames: { ok: 100 }, latency_ms: { p50: 51, p95: 96 } });
  });

  it('counts a node that was forgotten in between from zero', () => {
    snapshot = { ...nothing, nodes: { 'pi-1': pi } };
    report();
    snapshot = { ...nothing, nodes: { 'pi-1': { ...pi, tiles: 2 } } };
    expect(report().nodes['pi-1']!.tiles).toBe(2);
  });

  it('stays small when a client makes up camera names, and names new cameras once those are idle', () => {
    for (let i = 0; i < 5000; i++) frames.frameSkipped(`c${i}`, 'no-model');
    const { cameras } = report();
    expect(Object.keys(cameras).length).toBeLessThanOrEqual(1025);
    expect(cameras['']!.skipped['no-model']).toBe(5000 - 1024);
    now += 60_000;
    frames.frameArrived('front');
    expect(Object.keys(report().cameras)).toEqual(['front']);
  });
});
