import { LogThrottle } from '../shared/log-throttle.ts';
import type { Bus, Log } from '../shared/ports.ts';
import { topics } from '../shared/protocol/topics.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import { connectBus, connectBusOver } from '../shared/runtime/mqtt.ts';
import { BridgeOut } from './bridge-out.ts';
import { type BridgedTopics, bridgedTopics } from './bridged-topics.ts';
import type { RunningBroker } from './broker-options.ts';

/** What a bridge needs. */
export interface BridgeOptions {
  readonly broker: Pick<RunningBroker, 'connect' | 'onPublish' | 'retained' | 'counters'>;
  /** The other broker; credentials may be in the URL. */
  readonly remote: Pick<BusOptions, 'url' | 'ca' | 'rejectUnauthorized'>;
  readonly base: string;
  /** Home Assistant's discovery prefix. */
  readonly prefix?: string | undefined;
  readonly log: Log;
}

/**
 * Carries results and states of this broker to another one (bridge-out.ts), and settings back; bridged-topics.ts says which.
 * Where the bridge ends, or loses the other broker, `<base>/status` is `offline` there.
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
    const { outward, goesOut } = this.#bridged;
    const out = new BridgeOut({
      remote,
      retained: () => broker.retained(outward),
      counters: broker.counters.dropped,
      throttledLog: this.#throttledLog,
    });
    broker.onPublish((message) => {
      if (goesOut(message.topic)) out.take(message);
    });
    for (const filter of this.#bridged.inward)
      void remote
        .subscribe(filter, 1, ({ topic, payload, retained }) => {
          if (!retained) void local.publish(topic, Uint8Array.from(payload), { qos: 1 }).catch(() => {});
        })
        .catch((error: unknown) => this.#throttledLog.warn('in', `the bridge gets no settings: ${error}`));
    remote.onConnect(() => {
      out.synchronise().catch((error: unknown) => this.#throttledLog.warn('all', `the bridge is behind: ${error}`));
    });
  }

  async stop(): Promise<void> {
    const { status } = topics(this.#options.base);
    if (this.#remote?.connected === true)
      void this.#remote.publish(status, 'offline', { qos: 1, retain: true }).catch(() => {});
    await Promise.all([this.#remote?.stop(), this.#local?.stop()]);
  }
}
