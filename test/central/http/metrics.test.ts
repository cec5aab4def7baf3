import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { Coordinator } from '../../../central/coordinator/coordinator.ts';
import { defaultOptions } from '../../../central/coordinator/options.ts';
import type { EndedFrame } from '../../../central/effects.ts';
import type { MetricSources } from '../../../central/http/metric-families.ts';
import { Metrics } from '../../../central/http/metrics.ts';
import { FrameTotals } from '../../../central/observers/frame-totals.ts';
import type { BrokerStats } from '../../../shared/protocol/messages/broker.ts';
import type { StatisticsMessage } from '../../../shared/protocol/messages/central.ts';
import type { NodeRecord } from '../../../shared/protocol/node-registry.ts';
import { examplesOf } from '../../support/examples.ts';
import { emptyResult } from '../../support/result-object.ts';

const example = <T>(schema: string): T =>
  examplesOf('docs/protocol.md').find((one) => one.schema === schema)!.value as T;

const stats = example<StatisticsMessage>('stats');
const frames = new FrameTotals(() => 0);
frames.frameArrived('front "door"');
frames.frameSkipped('front', 'newer-frame');
frames.frameEnded({ end: { camera: 'front', outcome: 'ok', latency_ms: 20, exit: null } as EndedFrame['end'] });
const snapshot = new Coordinator({ ...defaultOptions, epoch: 1 }).snapshot();
const node = { ...snapshot.nodes.central!, ...stats.nodes['pi-1'] };

const sources: MetricSources = {
  version: '1.2.3',
  phase: 'active',
  uptimeS: 5,
  brokerConnected: true,
  nodes: new Map([
    ['pi-1', { id: 'pi-1', online: true, info: undefined, heartbeat: example('heartbeat'), heardAt: 0 } as NodeRecord],
    ['pi-2', { id: 'pi-2', online: false, info: undefined, heartbeat: example('heartbeat'), heardAt: 0 } as NodeRecord],
  ]),
  bus: { connections: 1, droppedOffline: 0, rejected: 0 },
  wire: stats.wire,
  broker: example<BrokerStats>('broker-stats'),
  states: { models: { m: { state: 'served' } }, plans: { m: [example('plan-status')] } },
  active: { snapshot: { ...snapshot, nodes: { ...snapshot.nodes, 'pi-1': node } }, cameras: frames.cameras },
};

describe('metrics', () => {
  it('have a value for every counter of the statistics, of the broker and of heartbeats', async () => {
    const metrics = new Metrics();
    metrics.frameEnded({} as EndedFrame, emptyResult({ model: 'm', latency_ms: 250 }));
    metrics.frameEnded({} as EndedFrame, emptyResult({ model: 'm', status: 'error', latency_ms: 60_000 }));
    const text = await metrics.text(sources);
    for (const line of [
      'tessera_info{version="1.2.3"} 1',
      'tessera_central_phase{phase="standby"} 0',
      'tessera_frames_received_total{camera="front \\"door\\""} 1',
      'tessera_frames_total{camera="front",outcome="ok"} 1',
      'tessera_frames_skipped_total{camera="front",reason="newer-frame"} 1',
      'tessera_frame_latency_seconds_bucket{le="0.2",model="m"} 0',
      'tessera_frame_latency_seconds_bucket{le="0.3",model="m"} 1',
      'tessera_frame_latency_seconds_count{model="m"} 1',
      'tessera_node_tiles_total{node="pi-1"} 96',
      'tessera_node_up{node="pi-1"} 1',
      'tessera_wire_bytes_total{direction="sent"} 8921088',
      'tessera_model_served{model="m"} 1',
    ])
      expect(text).toContain(`\n${line}\n`);
    // A node that is offline has no load.
    expect(text).toMatch(/tessera_node_cpu_usage_ratio\{node="pi-1"\} 0\.\d+/);
    expect(text).not.toMatch(/usage_ratio\{node="pi-2"\}/);
    // Every key of the statistics is somewhere.
    const { refused, closed, dropped } = sources.broker!;
    for (const key of Object.keys({ ...refused, ...closed, ...dropped, ...snapshot.extra, ...snapshot.discarded }))
      expect(text).toContain(`"${key}"`);
  });

  it('are read again and again without adding up, and without an active central', async () => {
    const metrics = new Metrics();
    await metrics.text(sources);
    expect(await metrics.text(sources)).toContain('\ntessera_node_tiles_total{node="pi-1"} 96\n');
    const before = await metrics.text({ ...sources, phase: 'standby', active: undefined });
    expect(before).toContain('tessera_central_phase{phase="standby"} 1');
    expect(before).not.toContain('tessera_node_tiles_total{');
  });

  const hasPromtool = spawnSync('promtool', ['--version']).error === undefined;
  it.skipIf(!hasPromtool)('pass `promtool check metrics` (Debian package prometheus)', async () => {
    const metrics = new Metrics();
    metrics.frameEnded({} as EndedFrame, emptyResult({ model: 'm', latency_ms: 250 }));
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: await metrics.text(sources),
      encoding: 'utf8',
    });
    expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: '' });
  });
});
