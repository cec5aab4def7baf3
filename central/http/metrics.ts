import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { EndedFrame } from '../effects.ts';
import type { Observer } from '../observers/observer.ts';
import { METRIC_FAMILIES, type MetricSources } from './metric-families.ts';

/** Upper bounds of the histogram of latencies, s. */
const BUCKETS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 60];

/** Metrics for Prometheus; prom-client is imported here and nowhere else. Counters are read only when they are asked for. */
export class Metrics implements Observer {
  readonly #registry = new Registry();
  readonly #latency: Histogram<'model'>;

  constructor() {
    const registers = [this.#registry];
    for (const { name, help, kind, labels } of METRIC_FAMILIES) {
      const settings = { name: `tessera_${name}`, help, labelNames: [...labels], registers };
      if (kind === 'counter') new Counter(settings);
      else new Gauge(settings);
    }
    this.#latency = new Histogram({
      name: 'tessera_frame_latency_seconds',
      help: 'From the arrival of a frame to its result, errors left out.',
      labelNames: ['model'],
      buckets: BUCKETS,
      registers,
    });
  }

  frameEnded(_frame: EndedFrame, { model, status, latency_ms }: ResultObject): void {
    if (status !== 'error') this.#latency.observe({ model }, latency_ms / 1000);
  }

  /** The media type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in the text format of Prometheus. */
  text(sources: MetricSources): Promise<string> {
    for (const { name, labels, samples } of METRIC_FAMILIES) {
      const metric = this.#registry.getSingleMetric(`tessera_${name}`) as Counter | Gauge;
      metric.reset();
      for (const [value, ...said] of samples(sources))
        metric.inc(Object.fromEntries(labels.map((label, k) => [label, said[k]!])), value);
    }
    return this.#registry.metrics();
  }
}
