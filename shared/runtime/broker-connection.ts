import type { Message } from '../ports.ts';

/** One connection to a broker. */
export interface BrokerConnection {
  /** `lost` when the connection went away first; throws TesseraError TESSERA_BROKER when the broker refuses. */
  publish(topic: string, payload: Uint8Array | string, qos: 0 | 1, retain: boolean): Promise<'sent' | 'lost'>;
  subscribe(filter: string, qos: 0 | 1): Promise<'sent' | 'lost'>;
  unsubscribe(filter: string): Promise<'sent' | 'lost'>;
  readonly backlogBytes: number;
  /** The largest packet that the broker takes, where it says so (MQTT 5). */
  readonly maximumPacketBytes: number | undefined;
  /** Resolves with the reason once the connection is gone. */
  readonly lost: Promise<string>;
  /** Sends DISCONNECT, flushes, and closes within `timeoutMs`. */
  end(timeoutMs: number): Promise<void>;
}

/** Takes a message in; the promise, where it returns one, resolves when it has it for good. */
export type Handler = ((message: Message) => void) | ((message: Message) => Promise<void> | undefined);

/**
 * Takes a message in. Brokers that deliver once per matching subscription (MQTT 5, section 3.3.4) say for which
 * `filters` a delivery is; others deliver once for all. Of QoS 1 it may be acknowledged at once, or when the promise
 * resolves.
 */
export type Deliver = (message: Message, filters?: readonly string[]) => Promise<unknown> | undefined;

/** Opens a connection; throws TesseraError TESSERA_BROKER. */
export type OpenConnection = (deliver: Deliver) => Promise<BrokerConnection>;
