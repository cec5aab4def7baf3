import { describe, expect, it } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, sketchPlan } from '../../../bench/sim/plans.ts';
import { Coordinator } from '../../../central/coordinator/coordinator.ts';
import { defaultOptions } from '../../../central/coordinator/options.ts';
import { Stats } from '../../../central/publish/stats.ts';
import { stats as schema } from '../../../shared/protocol/messages/central.ts';

const nothing = new Coordinator({ ...defaultOptions, epoch: 1 }).snapshot();
const pi = {
  ...nothing.nodes.central!,
  tiles: 5,
  errors: 1,
  bytes_up: 1000,
};

describe('the report of statistics', () => {
  it('is what the protocol says, also when nothing has happened', () => {
    const stats = new Stats();
    expect(schema.parse(stats.report(10, nothing))).toMatchObject({ cameras: {}, nodes: {} });
    stats.arrived('front');
    stats.skipped('front', 'newer-frame');
    const report = schema.parse(stats.report(10, { ...nothing, nodes: { 'pi-1': pi } }));
    expect(report.cameras.front).toMatchObject({
      camera_fps: 0.1,
      skipped: { 'newer-frame': 1 },
      latency_ms: { p50: null },
    });
    expect(report.nodes['pi-1']).toMatchObject({ tiles: 5, errors: 1, bytes_up: 1000, bytes_down: 0 });
  });

  it('counts frames that ended early beside how they ended', () => {
    const stats = new Stats();
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
    for (const end of cluster.published) stats.ended(end);
    const { front } = schema.parse(stats.report(10, nothing)).cameras;
    expect(front).toMatchObject({ frames: { ok: 2 }, left_early: 1 });
  });

  it('begins anew each time', () => {
    const stats = new Stats();
    stats.arrived('front');
    const first = { ...nothing, discarded: { ...nothing.discarded, late: 3 }, nodes: { 'pi-1': pi } };
    stats.report(10, first);
    const second = stats.report(10, { ...first, nodes: { 'pi-1': { ...pi, tiles: 7 } }, open_frames: 2 });
    expect(second).toMatchObject({ cameras: {}, tiles: { late: 0 }, buffers: { open_frames: 2 } });
    expect(second.nodes).toMatchObject({ 'pi-1': { tiles: 2, errors: 0, bytes_up: 0 } });
  });

  it('counts a node that was forgotten in between from the beginning', () => {
    const stats = new Stats();
    stats.report(10, { ...nothing, nodes: { 'pi-1': pi } });
    const { nodes } = stats.report(10, { ...nothing, nodes: { 'pi-1': { ...pi, tiles: 2 } } });
    expect(nodes['pi-1']!.tiles).toBe(2);
  });

  it('stays small when somebody makes up names of cameras', () => {
    const stats = new Stats();
    for (let i = 0; i < 5000; i++) stats.skipped(`c${i}`, 'no-model');
    const { cameras } = stats.report(10, nothing);
    expect(Object.keys(cameras).length).toBeLessThanOrEqual(1025);
    expect(cameras['']!.skipped['no-model']).toBe(5000 - 1024);
  });
});
