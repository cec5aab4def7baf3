import { describe, expect, it } from 'vitest';
import { Stats } from '../../../central/publish/stats.ts';
import { stats as schema } from '../../../shared/protocol/messages.ts';

describe('the report of statistics', () => {
  it('is what the protocol says, also when nothing has happened', () => {
    const stats = new Stats();
    expect(schema.parse(stats.report(10))).toMatchObject({ cameras: {}, nodes: {} });
    stats.arrived('front');
    stats.skipped('front', 'newer-frame');
    stats.sent('pi-1', 1000);
    const report = schema.parse(stats.report(10));
    expect(report.cameras.front).toMatchObject({
      camera_fps: 0.1,
      skipped: { 'newer-frame': 1 },
      latency_ms: { p50: null },
    });
    expect(report.nodes['pi-1']).toEqual({ tiles: 0, bytes_up: 1000, bytes_down: 0 });
  });

  it('begins anew each time', () => {
    const stats = new Stats();
    stats.arrived('front');
    stats.report(10);
    expect(stats.report(10).cameras).toEqual({});
  });
});
