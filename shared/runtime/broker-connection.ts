import type { Message } from '../ports.ts';

/** One connection to a broker. */
export interface BrokerConnection {
  /** `lost` when the connection went away first; throws TesseraError TESSERA_BROKER when the broker refuses. */
  publish(
    topic: string,
    payload: Uint8Array | string,
    qos: 0 | 1,
    retain: boolean,
    traceparent?: string,
  ): Promise<'sent' | 'lost'>;
  subscribe(filter: string, qos: 0 | 1): Promise<'sent' | 'lost'>;
  unsubscribe(filter: string): Promise<'sent' | 'lost'>;
  readonly backlogBytes: number;
  /** The largest packet that the broker accepts, where it announces it (MQTT 5). */
  readonly maximumPacketBytes: number | undefined;
  /** Resolves with the reason once the connection is gone. */
  readonly lost: Promise<string>;
  /** Sends DISCONNECT, flushes, and closes within `timeoutMs`. */
  end(timeoutMs: number): Promise<void>;
}

/** Processes a message; the promise, where it returns one, resolves once the message is durably accepted. */
export type Handler = ((message: Message) => void) | ((message: Message) => Promise<void> | undefined);

/**
 * Delivers a message. Brokers that deliver once per matching subscription (MQTT 5, section 3.3.4) name the `filters` of
 * a delivery; others deliver once for all. A QoS 1 message may be acknowledged at once, or when the promise resolves.
 */
export type Deliver = (message: Message, filters?: readonly string[]) => Promise<unknown> | undefined;

/** Opens a connection; throws TesseraError TESSERA_BROKER. */
export type OpenConnection = (deliver: Deliver) => Promise<BrokerConnection>;
