import type { Duplex } from 'node:stream';
import type { TesseraError } from '../errors.ts';
import type { Log } from '../ports.ts';
import type { Handler } from './broker-connection.ts';

/** How to reach a broker, and as whom. */
export interface BusOptions {
  /** mqtt://, mqtts://, ws:// or wss://; credentials inside the URL are taken where `user` is not given. */
  readonly url: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** PEM texts. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly rejectUnauthorized?: boolean | undefined;
  readonly clientId: string;
  readonly will?: { topic: string; payload: string | Uint8Array; qos: 0 | 1; retain: boolean } | undefined;
  /** Default 10: the broker notices a dead client after 15 s, a client a dead broker within about 15 s. */
  readonly keepaliveSec?: number | undefined;
  /** Default auto: MQTT 5 where the broker speaks it, else 3.1.1. */
  readonly protocolVersion?: 4 | 5 | 'auto' | undefined;
  readonly log: Log;
  /** How long one attempt may take, default 10 000. */
  readonly connectTimeoutMs?: number | undefined;
  /** The largest packet to send, bytes; what the broker itself announces (MQTT 5) counts too. */
  readonly maximumPacketBytes?: number | undefined;
  /** Keep trying when the broker cannot be reached at first; wrong credentials or certificates still throw. */
  readonly patient?: boolean | undefined;
  /**
   * Have the broker keep this client's session for so long after a connection ended: QoS 1 messages that come meanwhile,
   * or were not acknowledged, are delivered on the next one. Only where the broker speaks MQTT 5 (section 3.1.2.11.2):
   * a session of MQTT 3.1.1 has no end, and would queue for ever for a client that never returns. The built-in broker
   * speaks 3.1.1 only, and says in its refusal of MQTT 5 for how long it keeps this client's session.
   */
  readonly sessionSec?: number | undefined;
  /** Subscribed from the first connection on, before anything that a kept session delivers can arrive. */
  readonly subscriptions?: readonly Subscribed[] | undefined;
  /** Told each time that the broker does not let this user in; it is tried again all the same, until `stop`. */
  readonly onRefused?: ((error: TesseraError) => void) | undefined;
  /** Asked before every connection after the first; while it says false none is tried. */
  readonly mayConnect?: (() => boolean) | undefined;
}

/**
 * A subscription for the life of a bus. A message of QoS 1 is acknowledged when `handler` has returned, or when the
 * promise that it returned resolves; until then a broker that keeps the session has it for the next connection.
 */
export interface Subscribed {
  readonly filter: string;
  readonly qos: 0 | 1;
  readonly handler: Handler;
}

/** As `BusOptions`, over streams that the caller opens: one per connection. */
export type StreamBusOptions = Omit<BusOptions, 'url'> & { readonly openStream: () => Duplex };
