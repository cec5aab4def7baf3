import { LogThrottle } from '../shared/log-throttle.ts';
import type { Bus, Log } from '../shared/ports.ts';
import { topics } from '../shared/protocol/topics.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import { connectBus, connectBusOver } from '../shared/runtime/mqtt.ts';
import { type BridgedTopics, bridgedTopics } from './bridged-topics.ts';
import type { RunningBroker } from './broker-options.ts';

/** What a bridge needs. */
export interface BridgeOptions {
  readonly broker: Pick<RunningBroker, 'connect' | 'onPublish'>;
  /** The other broker; credentials may be in the URL. */
  readonly remote: Pick<BusOptions, 'url' | 'ca' | 'rejectUnauthorized'>;
  readonly base: string;
  /** Home Assistant's discovery prefix. */
  readonly prefix?: string | undefined;
  readonly log: Log;
}

/** Bytes that may wait to be written to the other broker; beyond that messages are dropped. */
export const MAX_BACKLOG_BYTES = 16 * 2 ** 20;

/**
 * Carries results and states of this broker to another one, and settings back (bridged-topics.ts).
 *
 *   1. After every connection to the other broker everything that is retained here is published there.
 *   2. While that is not reached, messages are dropped: old events must not switch anything.
 *   3. Where the bridge ends, or loses the other broker, `<base>/status` is `offline` there.
 */
export class Bridge {
  readonly #options: BridgeOptions;
  readonly #bridged: BridgedTopics;
  readonly #throttledLog: LogThrottle;
  #local: Bus | undefined;
  #remote: Bus | undefined;

  constructor(options: BridgeOptions) {
    const { base, prefix = 'homeassistant', log } = options;
    this.#options = options;
    this.#bridged = bridgedTopics(base, prefix);
    this.#throttledLog = new LogThrottle(log, () => performance.now());
  }

  /** Connects, and goes on trying where the other broker does not answer. Throws TESSERA_BROKER where it refuses. */
  async start(): Promise<void> {
    const { broker, remote: to, base, log } = this.#options;
    const { status } = topics(base);
    const clientId = `${base}-bridge`;
    const will = { topic: status, payload: 'offline', qos: 1, retain: true } as const;
    const local = await connectBusOver({ openStream: () => broker.connect(), clientId, log });
    this.#local = local;
    const remote = await connectBus({ ...to, clientId, will, patient: true, log });
    this.#remote = remote;
    broker.onPublish(({ topic, payload, qos, retain }) => this.#out(topic, payload, qos, retain));
    for (const filter of this.#bridged.inward)
      void remote
        .subscribe(filter, 1, ({ topic, payload, retained }) => {
          if (!retained) void local.publish(topic, Uint8Array.from(payload), { qos: 1 }).catch(() => {});
        })
        .catch((error: unknown) => this.#throttledLog.warn('in', `the bridge gets no settings: ${error}`));
    remote.onConnect(() => void this.#publishRetained(local));
  }

  async stop(): Promise<void> {
    const { status } = topics(this.#options.base);
    if (this.#remote?.connected === true)
      void this.#remote.publish(status, 'offline', { qos: 1, retain: true }).catch(() => {});
    await Promise.all([this.#remote?.stop(), this.#local?.stop()]);
  }

  /** Publishes what is retained here: a new subscription gets all of it. */
  async #publishRetained(local: Bus): Promise<void> {
    for (const filter of this.#bridged.outward) {
      // What comes later comes by `onPublish`, which tells whether it is retained.
      await local
        .subscribe(filter, 0, ({ topic, payload, retained }) => {
          if (retained) this.#out(topic, Uint8Array.from(payload), 1, true);
        })
        .then((unsubscribe) => unsubscribe())
        .catch(() => {});
    }
  }

  #out(topic: string, payload: Uint8Array, qos: number, retain: boolean): void {
    const remote = this.#remote;
    if (remote === undefined || !remote.connected || !this.#bridged.goesOut(topic)) return;
    if (remote.backlogBytes > MAX_BACKLOG_BYTES) {
      this.#throttledLog.warn('slow', 'the bridge drops messages: the other broker takes them too slowly');
      return;
    }
    remote.publish(topic, payload, { qos: qos === 0 ? 0 : 1, retain }).catch((error: unknown) => {
      this.#throttledLog.warn(topic, `the bridge could not publish ${topic}: ${error}`);
    });
  }
}
