import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { OSUtils } from 'node-os-utils';
import { machineLimits } from '../shared/runtime/machine-limits.ts';
import { firstLine } from './identity.ts';
import type { SystemMetrics } from './system-metrics-types.ts';

/** On a Raspberry Pi this file has what `vcgencmd get_throttled` prints, without starting a process. */
const THROTTLED_FILE = '/sys/devices/platform/soc/soc:firmware/get_throttled';
/** The device through which vcgencmd asks the firmware; other machines do not have it. */
const FIRMWARE_DEVICE = '/dev/vcio';
/** Starting a process costs a small CPU about 10 ms: not every second. */
const SLOW_EVERY = 10;

/** Samples this machine's metrics. */
export interface SystemMetricsWatch {
  /** The last sample; zeros before the first. */
  readonly latest: SystemMetrics;
  stop(): void;
}

const UNKNOWN: SystemMetrics = {
  cpuPercent: 0,
  loadAverage: [0, 0, 0],
  memoryPercent: 0,
  memoryUsedMb: 0,
  temperatureC: null,
  throttled: '0x0',
};

/**
 * Samples CPU, memory, temperature and throttling every `intervalMs` without blocking the event loop; a figure that is
 * not available keeps its last or neutral value. Does not keep the process alive.
 */
export function watchSystemMetrics(intervalMs = 1000): SystemMetricsWatch {
  // Its cache would repeat figures for 5 s, and its temperature is off unless asked for.
  const machine = new OSUtils({ cacheEnabled: false });
  machine.cpu.withTemperature(true);
  let latest = UNKNOWN;
  let round = 0;
  let hasSensor = true;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const temperature = async (): Promise<number | null> => {
    // Temperature is read rarely on a machine without a sensor: its driver may be loaded later.
    if (!hasSensor && round % SLOW_EVERY !== 0) return null;
    const found = await machine.cpu.temperature();
    // The library reports 0 for a zone that cannot be read.
    const celsius = (found.success ? found.data : []).filter((value) => Number.isFinite(value) && value !== 0);
    hasSensor = celsius.length > 0;
    return hasSensor ? Math.max(...celsius) : null;
  };

  const sample = async (): Promise<void> => {
    const started = performance.now();
    try {
      // The CPU figure is the mean of 200 ms.
      const [cpu, memory, temperatureC, throttled] = await Promise.all([
        machine.cpu.usage(),
        machine.memory.info(),
        temperature(),
        round % SLOW_EVERY === 0 ? readThrottled() : latest.throttled,
      ]);
      const { usedBytes, memoryBytes } = machineLimits();
      const [one = 0, five = 0, fifteen = 0] = loadavg();
      latest = {
        cpuPercent: cpu.success ? cpu.data : latest.cpuPercent,
        loadAverage: [one, five, fifteen],
        ...(usedBytes === undefined
          ? {
              memoryPercent: memory.success ? memory.data.usagePercentage : latest.memoryPercent,
              memoryUsedMb: memory.success ? memory.data.used.toBytes() / 1e6 : latest.memoryUsedMb,
            }
          : { memoryPercent: (100 * usedBytes) / memoryBytes, memoryUsedMb: usedBytes / 1e6 }),
        temperatureC,
        throttled,
      };
    } catch {
      // If everything fails, the last sample stays: metrics are advice, not a reason to stop.
    }
    round++;
    if (!stopped) timer = setTimeout(sample, Math.max(0, intervalMs - (performance.now() - started))).unref();
  };

  void sample();
  return {
    get latest() {
      return latest;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** The Raspberry Pi's throttling bits as `0x...`; `0x0` on every other machine. */
async function readThrottled(): Promise<string> {
  const fromFile = parseThrottled(await firstLine(THROTTLED_FILE));
  if (fromFile !== undefined) return fromFile;
  if (
    !(await access(FIRMWARE_DEVICE).then(
      () => true,
      () => false,
    ))
  )
    return '0x0';
  return new Promise((resolve) => {
    execFile('vcgencmd', ['get_throttled'], { timeout: 2000 }, (error, stdout) =>
      resolve((error === null ? parseThrottled(stdout) : undefined) ?? '0x0'),
    );
  });
}

/** Throttling bits from `throttled=0x50005`, `0x50005` or `50005` (all hexadecimal), as `0x50005`. */
export function parseThrottled(text: string | undefined): string | undefined {
  const hex = text?.trim().match(/^(?:throttled=)?(?:0x)?([0-9a-f]{1,8})$/i)?.[1];
  return hex === undefined ? undefined : `0x${Number.parseInt(hex, 16).toString(16)}`;
}
