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
  /** Takes one message of an input topic; of QoS 1 it is acknowledged when this returns, or its promise resolves. */
  readonly onMessage: Handler;
  /** Whether this central is the active one. */
  readonly holds: () => boolean;
  readonly log: Log;
}

/**
 * How long the broker keeps frames for a central that is away (MQTT 5): for a restart and for a standby that takes
 * over, and not so long that it begins with pictures of the past (docs/decisions/0010).
 */
const SESSION_SEC = 60;
/** Between two corrections of a late last will. */
const CORRECTION_MS = 1000;

/**
 * The connection that frames come in on. Its client id is the same for every central of a base: whoever is active has
 * it, takes it from the one before together with what the broker keeps in its session, and a broker gives it to one
 * only. `<base>/status` belongs to it: `online` says that frames are taken.
 */
export class FrameConnection {
  readonly #options: FrameConnectionOptions;
  #bus: Bus | undefined;
  #closed = false;
  #correctedAt = Number.NEGATIVE_INFINITY;

  constructor(options: FrameConnectionOptions) {
    this.#options = options;
  }

  /** Throws TESSERA_BROKER where the broker refuses; one that is away is waited for in the background. */
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
    bus.onConnect(() => this.#say('online'));
  }

  /** `relieved`: another central has the post, and what it says of itself stands. */
  async close(relieved: boolean): Promise<void> {
    this.#closed = true;
    const bus = this.#bus;
    this.#bus = undefined;
    if (bus === undefined) return;
    // Not awaited: `stop` lets it get through, for as long as it waits; without a broker the last will speaks.
    if (!relieved) void bus.publish(this.#options.topics.status, 'offline', { qos: 1, retain: true }).catch(() => {});
    await bus.stop();
  }

  #say(status: 'online'): void {
    const { topics, log } = this.#options;
    this.#bus
      ?.publish(topics.status, status, { qos: 1, retain: true })
      .catch((error: unknown) => log.warn(`"${status}" could not be published: ${error}`));
  }

  /** The will of the connection before may be published after this one's `online`. */
  #onStatus({ payload, retained }: Message): void {
    const now = performance.now();
    if (retained || this.#bus === undefined || Buffer.from(payload).toString('utf8') !== 'offline') return;
    if (now - this.#correctedAt < CORRECTION_MS || !this.#options.holds()) return;
    this.#correctedAt = now;
    this.#say('online');
  }
}
