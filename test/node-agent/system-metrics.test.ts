import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { parseThrottled, watchSystemMetrics } from '../../node-agent/system-metrics.ts';

describe('watchSystemMetrics', () => {
  it('measures this machine within plausible bounds, in MB and percent', async () => {
    const watch = watchSystemMetrics(50);
    while (watch.latest.memoryUsedMb === 0) await setImmediate();
    const { latest } = watch;
    watch.stop();
    expect(latest.cpuPercent).toBeGreaterThanOrEqual(0);
    expect(latest.cpuPercent).toBeLessThanOrEqual(100);
    expect(latest.memoryPercent).toBeGreaterThan(0);
    expect(latest.memoryPercent).toBeLessThan(100);
    // A process of Node alone takes 30 MB; kilobytes or bytes in place of MB would be far off.
    expect(latest.memoryUsedMb).toBeGreaterThan(30);
    expect(latest.memoryUsedMb).toBeLessThan(4e6);
    expect(latest.loadAverage).toHaveLength(3);
    expect(latest.throttled).toMatch(/^0x[0-9a-f]+$/);
    if (latest.temperatureC !== null) expect(latest.temperatureC).toBeLessThan(150);
  });

  it('reports zeros before its first sample and may be stopped at any time', () => {
    const watch = watchSystemMetrics();
    expect(watch.latest).toMatchObject({ cpuPercent: 0, temperatureC: null, throttled: '0x0' });
    watch.stop();
    watch.stop();
  });
});

describe('parseThrottled', () => {
  it.each([
    ['throttled=0x50005\n', '0x50005'],
    ['0x0', '0x0'],
    ['50000', '0x50000'],
    ['0', '0x0'],
    ['error', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j is %j', (text, bits) => {
    expect(parseThrottled(text)).toBe(bits);
  });
});
