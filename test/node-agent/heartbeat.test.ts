import { describe, expect, it } from 'vitest';
import { heartbeatOf } from '../../node-agent/heartbeat.ts';
import { heartbeat } from '../../shared/protocol/messages/node.ts';
import { MAX_HEARTBEAT_BYTES } from '../../shared/protocol/node-registry.ts';

const NONE = { bytes: 0, waiting: 0, dropped: 0 };

describe('heartbeatOf', () => {
  it('names as many of the newest plans as fit into a heartbeat, or else a node with long refusals looks silent', () => {
    const plans = Array.from({ length: 16 }, (_, k) => ({
      id: `p-${k}`,
      model: `m-${k}`,
      state: 'refused' as const,
      text: '\u0001ä'.repeat(150),
    }));
    const metrics = {
      cpuPercent: 0,
      loadAverage: [0, 0, 0] as const,
      memoryPercent: 0,
      memoryUsedMb: 0,
      temperatureC: null,
      throttled: '0x0',
    };
    const about = {
      time: 1,
      metrics,
      queue: 0,
      regions: NONE,
      partsPerSecond: 0,
      epoch: 0,
      loopDelayMs: 0,
      rssBytes: 0,
      uptimeSec: 0,
    };
    const made = heartbeatOf({ ...about, plans });
    expect(Buffer.byteLength(JSON.stringify(made))).toBeLessThanOrEqual(MAX_HEARTBEAT_BYTES);
    expect(made.plans!.length).toBeGreaterThan(1);
    expect(made.plans!.at(-1)!.id).toBe('p-15');
    expect(heartbeatOf({ ...about, plans: plans.slice(-2) }).plans).toEqual(plans.slice(-2));
  });

  it('makes a heartbeat that follows the protocol, with rounded numbers', () => {
    const made = heartbeatOf({
      time: 1763650000.12345,
      metrics: {
        cpuPercent: 12.3456,
        loadAverage: [0.123, 0.456, 0.789],
        memoryPercent: 45.678,
        memoryUsedMb: 1234.5678,
        temperatureC: 48.3129,
        throttled: '0x50005',
      },
      regions: { bytes: 0, waiting: 0, dropped: 0 },
      queue: 3,
      partsPerSecond: 17.12345,
      plans: [{ id: 'p-1', model: 'm', state: 'fetching', bytes: 34, of: 59 }],
      epoch: 1763650000,
      loopDelayMs: -3.2,
      rssBytes: 151_234_567,
      uptimeSec: 12.9,
    });
    expect(heartbeat.parse(made)).toEqual(made);
    expect(made).toEqual({
      v: 1,
      time: 1763650000.123,
      cpu_percent: 12.3,
      load_average: [0.12, 0.46, 0.79],
      memory_percent: 45.7,
      memory_used_mb: 1235,
      rss_mb: 151,
      temp_c: 48.3,
      throttled: '0x50005',
      regions: { bytes: 0, waiting: 0, dropped: 0 },
      queue: 3,
      tiles_per_s: 17.12,
      plans: [{ id: 'p-1', model: 'm', state: 'fetching', bytes: 34, of: 59 }],
      epoch: 1763650000,
      loop_delay_ms: 0,
      uptime_sec: 12,
    });
  });
});
