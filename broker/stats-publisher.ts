import type { BrokerStats } from '../shared/protocol/messages/broker.ts';
import { topics } from '../shared/protocol/topics.ts';
import type { AedesParts } from './aedes-parts.ts';
import type { BrokerCounters } from './counters.ts';

const INTERVAL_MS = 10_000;

/** Publishes `counters` on `<base>/broker/stats` every ten seconds, retained, until the returned function is called. */
export function publishStats(aedes: Pick<AedesParts, 'publish'>, base: string, counters: BrokerCounters): () => void {
  const topic = topics(base).brokerStats;
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const stats: BrokerStats = { v: 1, uptime_s: Math.round((performance.now() - startedAt) / 1000), ...counters };
    const payload = Buffer.from(JSON.stringify(stats));
    aedes.publish({ cmd: 'publish', topic, payload, qos: 0, retain: true }, null);
  }, INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
