import type { BrokerStats } from '../shared/protocol/messages/broker.ts';

/** What the broker counts, as it publishes it. */
export type BrokerCounters = Omit<BrokerStats, 'v' | 'uptime_s'>;

/** Counters of a broker that has just started. */
export const newCounters = (): BrokerCounters => ({
  connections: 0,
  published: 0,
  not_retained: 0,
  refused: { connections: 0, publishes: 0, subscriptions: 0, packets: 0, frames: 0 },
  closed: { unauthenticated: 0, slow_readers: 0 },
  dropped: { slow_readers: 0, rate_limit: 0, central_session: 0, client_sessions: 0, bridge: 0 },
});
