import { z } from '../../schema.ts';
import { count } from './fields.ts';

/** `tessera/broker/stats`, every ten seconds: counters of the embedded broker since its start. */
export const brokerStats = z.object({
  v: z.literal(1),
  uptime_s: z.number().nonnegative(),
  /** Connections that are open now, authenticated or not. */
  connections: count,
  /** Messages that clients published. */
  published: count,
  /** Retained messages that were delivered and not stored: frames, and those above the quota. */
  not_retained: count,
  refused: z.object({
    connections: count,
    publishes: count,
    subscriptions: count,
    /** Packets above the size limit; each one closes its sender's connection. */
    packets: count,
    /** Frames that could not be stored for central, and so were not acknowledged. */
    frames: count,
  }),
  closed: z.object({
    /** Connections whose client did not authenticate in time. */
    unauthenticated: count,
    /** Connections whose client stopped reading. */
    slow_readers: count,
  }),
  dropped: z.object({
    /** Tensors and frames that were dropped for slow readers. */
    slow_readers: count,
    /** Messages of QoS 0 above the rate limit of their client. */
    rate_limit: count,
    /** Frames stored for an offline central: too many, or for too long. */
    central_session: count,
    /** Messages queued for other offline clients. */
    client_sessions: count,
    /** Messages that a bridge could not carry to the other broker; absent: a broker of before there was one. */
    bridge: count.optional(),
  }),
});
/** Counters of the embedded broker since its start. */
export type BrokerStats = z.infer<typeof brokerStats>;
