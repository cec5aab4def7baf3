import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Handler } from '../../shared/runtime/broker-connection.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';

/** What a connection for frames needs. */
export interface FrameConnectionOptions {
  /** How to reach the broker. */
  readonly broker: Omit<BusOptions, 'clientId' | 'will' | 'log'>;
  readonly connect: (options: BusOptions) => Promise<Bus>;
  readonly topics: Topics;
  /** Handles a message of an input topic, which is acknowledged when this returns or its promise resolves. */
  readonly onMessage: Handler;
  /** Whether this central is the active one. */
  readonly holds: () => boolean;
  readonly log: Log;
}

/**
 * How long the broker keeps frames for a central that is away (MQTT 5): long enough for a restart or for a standby, short
 * enough that the frames are not old (docs/decisions/0010).
 */
const SESSION_SEC = 60;
/** Time between two corrections of a late last will. */
const CORRECTION_MS = 1000;

/**
 * The connection on which frames arrive. Every active central of a base topic uses the same client id, so that it takes over
 * the broker's session of the central before it; a broker gives the id to one client at a time. The topic `<base>/status`
 * is `online` while this connection stands.
 */
export class FrameConnection {
  readonly #options: FrameConnectionOptions;
  #bus: Bus | undefined;
  #closed = false;
  #correctedAt = Number.NEGATIVE_INFINITY;

  constructor(options: FrameConnectionOptions) {
    this.#options = options;
  }

  /** Throws TESSERA_BROKER where the broker refuses the connection; retries in the background where it does not answer. */
  async open(): Promise<void> {
    if (this.#closed) return;
    const { broker, connect, topics, onMessage, holds, log } = this.#options;
    const bus = await connect({
      ...broker,
      clientId: `${topics.base}-central`,
      will: { topic: topics.status, payload: 'offline', qos: 1, retain: true },
      sessionSec: SESSION_SEC,
      subscriptions: [
        { filter: topics.inputAll, qos: 1, handler: onMessage },
        { filter: topics.status, qos: 1, handler: (message) => this.#onStatus(message) },
      ],
      mayConnect: holds,
      patient: true,
      log,
    });
    if (this.#closed) return bus.stop();
    this.#bus = bus;
    bus.onConnect(() => this.#publish('online'));
  }

  /** Publishes `offline`, unless another central has taken over (`relieved`). */
  async close(relieved: boolean): Promise<void> {
    this.#closed = true;
    const bus = this.#bus;
    this.#bus = undefined;
    if (bus === undefined) return;
    // Not awaited: `stop` waits for it; without a broker the last will says the same.
    if (!relieved) void bus.publish(this.#options.topics.status, 'offline', { qos: 1, retain: true }).catch(() => {});
    await bus.stop();
  }

  #publish(status: 'online'): void {
    const { topics, log } = this.#options;
    this.#bus
      ?.publish(topics.status, status, { qos: 1, retain: true })
      .catch((error: unknown) => log.warn(`"${status}" could not be published: ${error}`));
  }

  /** Corrects the last will of an earlier connection that the broker publishes after this one's `online`. */
  #onStatus({ payload, retained }: Message): void {
    const now = performance.now();
    if (retained || this.#bus === undefined || Buffer.from(payload).toString('utf8') !== 'offline') return;
    if (now - this.#correctedAt < CORRECTION_MS || !this.#options.holds()) return;
    this.#correctedAt = now;
    this.#publish('online');
  }
}
