import type { Duplex } from 'node:stream';
import type { TesseraError } from '../errors.ts';
import type { Log } from '../ports.ts';
import type { Handler } from './broker-connection.ts';

/** Says where the broker is at each attempt to connect, and hears of each that succeeded. */
export interface Whereabouts {
  /** The address of the last attempt. */
  readonly url: string;
  next(): string;
  connected(): void;
  /** Whether a refusal at the last address ends the attempts; otherwise it may be another broker's. */
  isFinal(): boolean;
}

/** Address, credentials and options of a broker connection. */
export interface BusOptions {
  /** mqtt://, mqtts://, ws:// or wss://; credentials inside the URL are used where `user` is not given. */
  readonly url: string;
  /** Where the broker is, unless it is at `url` for good. */
  readonly whereabouts?: Whereabouts | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** PEM texts. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly rejectUnauthorized?: boolean | undefined;
  readonly clientId: string;
  readonly will?: { topic: string; payload: string | Uint8Array; qos: 0 | 1; retain: boolean } | undefined;
  /** Default 10: broker and client notice each other's failure within about 15 s. */
  readonly keepaliveSec?: number | undefined;
  /** Default auto: MQTT 5 where the broker supports it, else 3.1.1. */
  readonly protocolVersion?: 4 | 5 | 'auto' | undefined;
  readonly log: Log;
  /** Longest time of one attempt, default 10 000. */
  readonly connectTimeoutMs?: number | undefined;
  /** The largest packet to send, bytes; a limit that the broker announces (MQTT 5) applies too. */
  readonly maximumPacketBytes?: number | undefined;
  /** Retry when the broker is unreachable at first; wrong credentials or certificates still throw, once that is final. */
  readonly patient?: boolean | undefined;
  /**
   * Request a persistent session that outlives the connection by this time: QoS 1 messages that arrive meanwhile, or
   * were not acknowledged, are delivered on the next connection. Only where the broker supports MQTT 5 (section
   * 3.1.2.11.2): a session of MQTT 3.1.1 never expires, and would queue for ever for a client that never returns. The
   * built-in broker supports 3.1.1 only, and announces the expiry of this client's session in its refusal of MQTT 5.
   */
  readonly sessionSec?: number | undefined;
  /** Subscriptions that exist before a persistent session can deliver anything. */
  readonly subscriptions?: readonly Subscribed[] | undefined;
  /** Called each time that the broker refuses this user for good; the bus retries all the same, until `stop`. */
  readonly onRefused?: ((error: TesseraError) => void) | undefined;
  /** Called before every reconnection; while it returns false the bus does not connect. */
  readonly mayConnect?: (() => boolean) | undefined;
}

/**
 * A subscription for the life of a bus. A QoS 1 message is acknowledged when `handler` has returned, or when its
 * promise resolves; until then a broker with a persistent session redelivers it on the next connection.
 */
export interface Subscribed {
  readonly filter: string;
  readonly qos: 0 | 1;
  readonly handler: Handler;
}

/** As `BusOptions`, over streams that the caller opens, one per connection. */
export type StreamBusOptions = Omit<BusOptions, 'url' | 'whereabouts'> & { readonly openStream: () => Duplex };
