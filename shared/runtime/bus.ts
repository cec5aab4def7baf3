import { TesseraError } from '../errors.ts';
import type { Bus, BusCounters, Log, PublishOptions, Unsubscribe } from '../ports.ts';
import { isFilter, matchesFilter } from '../protocol/filter.ts';
import { Backoff } from './backoff.ts';
import type { BrokerConnection, Deliver, Handler, OpenConnection } from './broker-connection.ts';
import { UnacknowledgedMessages } from './unacknowledged-messages.ts';

/**
 * A bus that outlives its connections. One `BrokerConnection` is one connection; this file decides when to open the
 * next.
 *
 * States: opening -> connected -> waiting -> opening -> ... -> stopped (from any state, for good).
 *
 * 1. At most one connection is in use; a lost connection is never used again.
 * 2. `connected` is true only after every subscription is restored; then waiting messages are sent, then listeners run.
 * 3. A QoS 1 message is settled exactly once: acknowledged, or rejected. It is tried on at most three connections,
 * because a message that a broker answers by closing the connection (too large) would otherwise be resent for ever.
 * 4. QoS 0 messages are never kept for a later connection.
 * 5. A handler or listener that throws is logged and costs no other handler a message.
 * 6. After the first connection none is opened while `mayConnect` returns false.
 * 7. The broker hears UNSUBSCRIBE for a filter when the last of its subscriptions ends, and SUBSCRIBE again only after it has
 *    answered: brokers may carry out the two in any order.
 */

const CONNECTIONS = 3;
/** A packet holds more than its payload: topic, lengths, properties. */
const PACKET_OVERHEAD_BYTES = 16;
/** Its user property for a trace context: identifier, two lengths, name and 55 characters. */
const TRACEPARENT_BYTES = 80;

interface Subscription {
  readonly handler: Handler;
  /** Until the broker has it. */
  waiter: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
}

/** The subscriptions with one filter. */
interface Filtered {
  qos: 0 | 1;
  readonly all: Set<Subscription>;
}

/** The `Bus` of shared/ports.ts over sessions. */
export class ReconnectingBus implements Bus {
  readonly counters: BusCounters = { connections: 0, droppedOffline: 0, rejected: 0 };
  readonly #open: OpenConnection;
  readonly #log: Log;
  readonly #mayConnect: () => boolean;
  readonly #backoff: Backoff;
  readonly #maximumPacketBytes: number | undefined;
  readonly #filters = new Map<string, Filtered>();
  /** UNSUBSCRIBEs under way, by filter. */
  readonly #endings = new Map<string, Promise<unknown>>();
  readonly #unacknowledged: UnacknowledgedMessages;
  readonly #listeners: (() => void)[] = [];
  #connection: BrokerConnection | undefined;
  #connected = false;
  #stopping: Promise<void> | undefined;

  constructor(
    open: OpenConnection,
    log: Log,
    maximumPacketBytes?: number,
    backoff = new Backoff(),
    mayConnect: () => boolean = () => true,
  ) {
    this.#open = open;
    this.#mayConnect = mayConnect;
    this.#log = log;
    this.#unacknowledged = new UnacknowledgedMessages(log, this.counters);
    this.#maximumPacketBytes = maximumPacketBytes;
    this.#backoff = backoff;
  }

  /** Makes the first connection; throws what `open` throws. */
  async start(): Promise<void> {
    await this.#adopt(await this.#open(this.#dispatch));
  }

  /** Makes the first connection in the background, trying for as long as it takes. */
  startLater(): void {
    void this.#reconnect();
  }

  get connected(): boolean {
    return this.#connected;
  }

  get backlogBytes(): number {
    return this.#connection?.backlogBytes ?? 0;
  }

  /** As in the port; an unhandled rejection of the promise does not end the process. */
  publish(topic: string, payload: Uint8Array | string, options: PublishOptions = {}): Promise<void> {
    const done = this.#publish(topic, payload, options);
    done.catch(() => {});
    return done;
  }

  subscribe(filter: string, qos: 0 | 1, handler: Handler): Promise<Unsubscribe> {
    if (!isFilter(filter)) return Promise.reject(new TesseraError('TESSERA_BROKER', `not a topic filter: ${filter}`));
    if (this.#stopping !== undefined) return Promise.reject(stopped());
    const filtered = this.#filters.get(filter) ?? { qos, all: new Set() };
    this.#filters.set(filter, filtered);
    if (qos > filtered.qos) filtered.qos = qos;
    return new Promise((resolve, reject) => {
      const end: Unsubscribe = async () => {
        if (!this.#forget(filter, filtered, subscription) || this.#connection === undefined) return;
        const ending = this.#connection.unsubscribe(filter);
        this.#endings.set(filter, ending);
        await ending.finally(() => {
          if (this.#endings.get(filter) === ending) this.#endings.delete(filter);
        });
      };
      const subscription: Subscription = { handler, waiter: { resolve: () => resolve(end), reject } };
      filtered.all.add(subscription);
      if (this.#connection !== undefined) void this.#ask(this.#connection, filter, filtered);
    });
  }

  /** Forgets a subscription; true where it was the last one with its filter. */
  #forget(filter: string, { all }: Filtered, subscription: Subscription): boolean {
    return all.delete(subscription) && all.size === 0 && this.#filters.delete(filter);
  }

  onConnect(listener: () => void): void {
    this.#listeners.push(listener);
    if (this.#connected) queueMicrotask(() => this.#guarded('connect listener', listener));
  }

  stop(timeoutMs = 2000): Promise<void> {
    this.#stopping ??= this.#stop(timeoutMs);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    this.#backoff.cancel();
    if (this.#connection !== undefined) await this.#unacknowledged.settled(timeoutMs);
    await this.#connection?.end(Math.max(100, end - performance.now()));
    this.#connected = false;
    this.#connection = undefined;
    this.#unacknowledged.reject(stopped());
    for (const { all } of this.#filters.values()) for (const { waiter } of all) waiter?.reject(stopped());
    this.#filters.clear();
  }

  async #publish(topic: string, payload: Uint8Array | string, options: PublishOptions): Promise<void> {
    const { qos = 0, retain = false, connections = CONNECTIONS, traceparent } = options;
    // A broker closes the connection for such a topic.
    if (topic === '' || /[+#\0]/.test(topic)) throw new TesseraError('TESSERA_BROKER', `not a topic: "${topic}"`);
    const bytes = Buffer.byteLength(payload);
    const limit = Math.min(this.#maximumPacketBytes ?? Infinity, this.#connection?.maximumPacketBytes ?? Infinity);
    const overhead = PACKET_OVERHEAD_BYTES + (traceparent === undefined ? 0 : TRACEPARENT_BYTES);
    if (bytes + Buffer.byteLength(topic) + overhead > limit) {
      throw new TesseraError('TESSERA_BROKER', `${bytes} bytes for ${topic}: the broker takes ${limit} in a packet`, {
        hint: 'send a smaller picture, or raise maximum_packet_size on both sides',
      });
    }
    if (qos === 1) {
      if (this.#stopping !== undefined) throw stopped();
      const connection = this.#connected ? this.#connection : undefined;
      return this.#unacknowledged.publish({ topic, payload, retain, bytes, connections, traceparent }, connection);
    }
    if (!this.#connected || this.#connection === undefined) {
      this.counters.droppedOffline += 1;
      return;
    }
    await this.#connection.publish(topic, payload, 0, retain);
  }

  async #ask(connection: BrokerConnection, filter: string, filtered: Filtered): Promise<void> {
    const ending = this.#endings.get(filter);
    if (ending !== undefined) await ending.catch(() => {});
    const asked = [...filtered.all].filter(({ waiter }) => waiter !== undefined);
    try {
      if ((await connection.subscribe(filter, filtered.qos)) === 'lost') return;
      for (const subscription of asked) {
        subscription.waiter?.resolve();
        subscription.waiter = undefined;
      }
    } catch (error) {
      this.#log.error(`the broker refused a subscription: ${String(error)}`, { filter });
      for (const subscription of asked) {
        this.#forget(filter, filtered, subscription);
        subscription.waiter?.reject(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  async #adopt(connection: BrokerConnection): Promise<void> {
    if (this.#stopping !== undefined) return connection.end(100);
    this.#connection = connection;
    let lost = false;
    void connection.lost.then((reason) => {
      lost = true;
      this.#onLost(reason);
    });
    await Promise.all([...this.#filters].map(([filter, filtered]) => this.#ask(connection, filter, filtered)));
    if (lost || this.#stopping !== undefined) return;
    this.#connected = true;
    this.counters.connections += 1;
    this.#backoff.succeeded();
    this.#unacknowledged.resend(connection);
    for (const listener of this.#listeners) this.#guarded('connect listener', listener);
  }

  #onLost(reason: string): void {
    this.#connected = false;
    this.#connection = undefined;
    if (this.#stopping !== undefined) return;
    this.#log.warn(`connection to the broker lost: ${reason}`);
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    let told = '';
    while (this.#stopping === undefined) {
      await this.#backoff.wait();
      if (this.#stopping !== undefined) return;
      if (!this.#mayConnect()) {
        // Retried soon, since the broker is not the reason.
        this.#backoff.succeeded(Number.NEGATIVE_INFINITY);
        continue;
      }
      try {
        const connection = await this.#open(this.#dispatch);
        await this.#adopt(connection);
        if (this.#connected) this.#log.info('connected to the broker');
        return;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        // Each reason is a warning once; repetitions are logged at debug level.
        this.#log[reason === told ? 'debug' : 'warn'](`still no connection to the broker: ${reason}`);
        told = reason;
      }
    }
  }

  readonly #dispatch: Deliver = (message, filters) => {
    const later: Promise<void>[] = [];
    for (const [filter, { all }] of this.#filters) {
      if (filters !== undefined ? !filters.includes(filter) : !matchesFilter(filter, message.topic)) continue;
      for (const { handler } of all)
        this.#guarded(message.topic, () => {
          const taken = handler(message);
          if (taken instanceof Promise) later.push(taken);
        });
    }
    return later.length === 0 ? undefined : Promise.all(later);
  };

  #guarded(what: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error(`a handler failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, {
        what,
      });
    }
  }
}

const stopped = () => new TesseraError('TESSERA_BROKER', 'the connection to the broker was closed by this process');
