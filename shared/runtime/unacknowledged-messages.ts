import { TesseraError } from '../errors.ts';
import type { BusCounters, Log } from '../ports.ts';
import type { BrokerConnection } from './broker-connection.ts';

/** QoS 1 bytes that may wait for an acknowledgement or a connection. */
const MAX_BYTES = 64 * 2 ** 20;

/** A message with QoS 1; given up when `connections` connections were lost with it. */
export interface AtLeastOnceMessage {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly retain: boolean;
  /** Of the payload. */
  readonly bytes: number;
  readonly connections: number;
  readonly traceparent: string | undefined;
}

interface Unacknowledged extends AtLeastOnceMessage {
  attempts: number;
  readonly settle: (error?: Error) => void;
}

/**
 * Messages with QoS 1 that the broker has not acknowledged. Each is settled exactly once: acknowledged, or rejected after
 * a refusal of the broker, after too many lost connections, or at the end of the bus.
 */
export class UnacknowledgedMessages {
  readonly #log: Log;
  readonly #counters: BusCounters;
  readonly #messages = new Set<Unacknowledged>();
  #bytes = 0;
  #onSettled: () => void = () => {};

  constructor(log: Log, counters: BusCounters) {
    this.#log = log;
    this.#counters = counters;
  }

  /** Sends a message, now or on the next connection; resolves when it is acknowledged, throws TESSERA_BROKER. */
  publish(message: AtLeastOnceMessage, connection: BrokerConnection | undefined): Promise<void> {
    if (this.#bytes + message.bytes > MAX_BYTES) {
      return Promise.reject(
        new TesseraError('TESSERA_BROKER', `${this.#bytes} bytes already wait for the broker`, {
          hint: 'the broker is away or too slow; look at its log',
        }),
      );
    }
    return new Promise((resolve, reject) => {
      const entry: Unacknowledged = {
        ...message,
        attempts: 0,
        settle: (error) => {
          if (!this.#messages.delete(entry)) return;
          this.#bytes -= entry.bytes;
          if (error === undefined) resolve();
          else {
            this.#counters.rejected += 1;
            reject(error);
          }
          if (this.#messages.size === 0) this.#onSettled();
        },
      };
      this.#messages.add(entry);
      this.#bytes += entry.bytes;
      if (connection !== undefined) void this.#send(connection, entry);
    });
  }

  /** Sends all of them on a new connection. */
  resend(connection: BrokerConnection): void {
    for (const message of [...this.#messages]) void this.#send(connection, message);
  }

  /** Resolves when all are settled, or after `timeoutMs`. */
  settled(timeoutMs: number): Promise<void> {
    if (this.#messages.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onSettled = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Rejects all of them. */
  reject(error: Error): void {
    for (const message of [...this.#messages]) message.settle(error);
  }

  async #send(connection: BrokerConnection, message: Unacknowledged): Promise<void> {
    message.attempts += 1;
    try {
      const { topic, payload, retain, traceparent } = message;
      const outcome = await connection.publish(topic, payload, 1, retain, traceparent);
      if (outcome === 'sent') return message.settle();
      if (message.attempts < message.connections) return;
      const text = `the connection was lost ${message.attempts} times while ${message.bytes} bytes for ${message.topic} were in flight`;
      this.#log.error(text);
      message.settle(
        new TesseraError('TESSERA_BROKER', text, { hint: 'the message may be larger than the broker accepts' }),
      );
    } catch (error) {
      this.#log.warn(`the broker refused a message: ${String(error)}`, { topic: message.topic });
      message.settle(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
