/** Metrics of this machine. Memory in MB (10^6 bytes). */
export interface SystemMetrics {
  /** 0..100 over all cores, of the whole machine. */
  readonly cpuPercent: number;
  /** Over 1, 5 and 15 minutes. */
  readonly loadAverage: readonly [number, number, number];
  /** 0..100. */
  readonly memoryPercent: number;
  readonly memoryUsedMb: number;
  /** Degrees Celsius of the warmest sensor; null where there is none. */
  readonly temperatureC: number | null;
  /** The Raspberry Pi's bit field as `0x...` (bit 0: under-voltage now, 1: frequency capped, 2: throttled, 3: soft temperature limit, 16-19: the same since boot); `0x0` elsewhere. */
  readonly throttled: string;
}
