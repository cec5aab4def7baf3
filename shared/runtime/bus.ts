import { TesseraError } from '../errors.ts';
import type { Bus, BusCounters, Log, Message, PublishOptions } from '../ports.ts';
import { isFilter, matchesFilter } from '../protocol/filter.ts';
import { Backoff } from './backoff.ts';

/**
 * A bus that outlives its connections. One `Session` is one connection; this file decides when to open the next.
 *
 * States: opening -> connected -> waiting -> opening -> ... -> stopped (from any state, for good).
 *
 *   1. At most one session is in use; a session that was lost is never used again.
 *   2. `connected` is true only after every subscription stands again; then what waited is sent, then listeners run.
 *   3. A QoS 1 message is settled exactly once: acknowledged, or rejected. It is tried on at most three connections,
 *      because a message that a broker answers by closing (too large) would otherwise come back for ever.
 *   4. QoS 0 messages are never kept for a later connection.
 *   5. A handler or listener that throws is logged and costs nobody else a message.
 *   6. After the first connection none is opened while `mayConnect` says no.
 */

/** One connection, as `mqtt.ts` makes it. */
export interface Session {
  /** `lost` when the connection went away first; throws TesseraError TESSERA_BROKER when the broker refuses. */
  publish(topic: string, payload: Uint8Array | string, qos: 0 | 1, retain: boolean): Promise<'sent' | 'lost'>;
  subscribe(filter: string, qos: 0 | 1): Promise<'sent' | 'lost'>;
  unsubscribe(filter: string): Promise<'sent' | 'lost'>;
  readonly backlogBytes: number;
  /** The largest packet that the broker takes, where it says so (MQTT 5). */
  readonly maximumPacketBytes: number | undefined;
  /** Resolves with the reason once the connection is gone. */
  readonly lost: Promise<string>;
  /** Says goodbye, flushes, and closes within `timeoutMs`. */
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
export type OpenSession = (deliver: Deliver) => Promise<Session>;

const CONNECTIONS = 3;
/** QoS 1 bytes that may wait for an acknowledgement or a connection. */
const MAX_WAITING_BYTES = 64 * 2 ** 20;
/** A packet holds more than its payload: topic, lengths, properties. */
const PACKET_OVERHEAD_BYTES = 16;

interface Subscription {
  qos: 0 | 1;
  readonly handlers: Handler[];
  waiters: { resolve: () => void; reject: (error: Error) => void }[];
}

interface Waiting {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly retain: boolean;
  readonly bytes: number;
  readonly connections: number;
  attempts: number;
  readonly settle: (error?: Error) => void;
}

/** The `Bus` of shared/ports.ts over sessions. */
export class ReconnectingBus implements Bus {
  readonly counters: BusCounters = { connections: 0, droppedOffline: 0, rejected: 0 };
  readonly #open: OpenSession;
  readonly #log: Log;
  readonly #mayConnect: () => boolean;
  readonly #backoff: Backoff;
  readonly #maximumPacketBytes: number | undefined;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #waiting = new Set<Waiting>();
  #waitingBytes = 0;
  readonly #listeners: (() => void)[] = [];
  #session: Session | undefined;
  #connected = false;
  #stopping: Promise<void> | undefined;

  constructor(
    open: OpenSession,
    log: Log,
    maximumPacketBytes?: number,
    backoff = new Backoff(),
    mayConnect: () => boolean = () => true,
  ) {
    this.#open = open;
    this.#mayConnect = mayConnect;
    this.#log = log;
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
    return this.#session?.backlogBytes ?? 0;
  }

  /** As the port says; a promise that is rejected and not looked at is no fault of the process. */
  publish(topic: string, payload: Uint8Array | string, options: PublishOptions = {}): Promise<void> {
    const done = this.#publish(topic, payload, options);
    done.catch(() => {});
    return done;
  }

  subscribe(filter: string, qos: 0 | 1, handler: Handler): Promise<void> {
    if (!isFilter(filter)) return Promise.reject(new TesseraError('TESSERA_BROKER', `not a topic filter: ${filter}`));
    if (this.#stopping !== undefined) return Promise.reject(stopped());
    const entry = this.#subscriptions.get(filter) ?? { qos, handlers: [], waiters: [] };
    this.#subscriptions.set(filter, entry);
    entry.handlers.push(handler);
    if (qos > entry.qos) entry.qos = qos;
    const standing = new Promise<void>((resolve, reject) => entry.waiters.push({ resolve, reject }));
    if (this.#session !== undefined) void this.#ask(this.#session, filter, entry);
    return standing;
  }

  async unsubscribe(filter: string): Promise<void> {
    const entry = this.#subscriptions.get(filter);
    if (entry === undefined) return;
    this.#subscriptions.delete(filter);
    for (const waiter of entry.waiters) waiter.resolve();
    await this.#session?.unsubscribe(filter);
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
    if (this.#session !== undefined && this.#waiting.size > 0) await this.#settled(timeoutMs);
    await this.#session?.end(Math.max(100, end - performance.now()));
    this.#connected = false;
    this.#session = undefined;
    for (const message of [...this.#waiting]) message.settle(stopped());
    for (const { waiters } of this.#subscriptions.values()) for (const waiter of waiters) waiter.reject(stopped());
    this.#subscriptions.clear();
  }

  /** Waits until nothing waits for an acknowledgement, at most `timeoutMs`. */
  #settled(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#whenSettled = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  #whenSettled: () => void = () => {};

  async #publish(topic: string, payload: Uint8Array | string, options: PublishOptions): Promise<void> {
    const { qos = 0, retain = false, connections = CONNECTIONS } = options;
    // A broker closes the connection for such a topic.
    if (topic === '' || /[+#\0]/.test(topic)) throw new TesseraError('TESSERA_BROKER', `not a topic: "${topic}"`);
    const bytes = Buffer.byteLength(payload);
    const limit = Math.min(this.#maximumPacketBytes ?? Infinity, this.#session?.maximumPacketBytes ?? Infinity);
    if (bytes + Buffer.byteLength(topic) + PACKET_OVERHEAD_BYTES > limit) {
      throw new TesseraError('TESSERA_BROKER', `${bytes} bytes for ${topic}: the broker takes ${limit} in a packet`, {
        hint: 'send a smaller picture, or raise maximum_packet_size on both sides',
      });
    }
    if (qos === 1) return this.#publishAcknowledged({ topic, payload, retain, bytes, connections });
    if (!this.#connected || this.#session === undefined) {
      this.counters.droppedOffline += 1;
      return;
    }
    await this.#session.publish(topic, payload, 0, retain);
  }

  #publishAcknowledged(message: Omit<Waiting, 'attempts' | 'settle'>): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(stopped());
    if (this.#waitingBytes + message.bytes > MAX_WAITING_BYTES) {
      return Promise.reject(
        new TesseraError('TESSERA_BROKER', `${this.#waitingBytes} bytes already wait for the broker`, {
          hint: 'the broker is away or too slow; look at its log',
        }),
      );
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        ...message,
        attempts: 0,
        settle: (error) => {
          if (!this.#waiting.delete(waiting)) return;
          this.#waitingBytes -= waiting.bytes;
          if (error === undefined) resolve();
          else {
            this.counters.rejected += 1;
            reject(error);
          }
          if (this.#waiting.size === 0) this.#whenSettled();
        },
      };
      this.#waiting.add(waiting);
      this.#waitingBytes += waiting.bytes;
      if (this.#connected && this.#session !== undefined) void this.#send(this.#session, waiting);
    });
  }

  async #send(session: Session, message: Waiting): Promise<void> {
    message.attempts += 1;
    try {
      const outcome = await session.publish(message.topic, message.payload, 1, message.retain);
      if (outcome === 'sent') return message.settle();
      if (message.attempts < message.connections) return;
      const text = `the connection was lost ${message.attempts} times with ${message.bytes} bytes for ${message.topic} under way`;
      this.#log.error(text);
      message.settle(
        new TesseraError('TESSERA_BROKER', text, { hint: 'the message may be above what the broker takes' }),
      );
    } catch (error) {
      this.#log.warn(`the broker refused a message: ${String(error)}`, { topic: message.topic });
      message.settle(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #ask(session: Session, filter: string, entry: Subscription): Promise<void> {
    const waiters = entry.waiters;
    try {
      if ((await session.subscribe(filter, entry.qos)) === 'lost') return;
      entry.waiters = entry.waiters.filter((waiter) => !waiters.includes(waiter));
      for (const waiter of waiters) waiter.resolve();
    } catch (error) {
      this.#log.error(`the broker refused a subscription: ${String(error)}`, { filter });
      if (waiters.length === 0) return;
      this.#subscriptions.delete(filter);
      for (const waiter of waiters) waiter.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #adopt(session: Session): Promise<void> {
    if (this.#stopping !== undefined) return session.end(100);
    this.#session = session;
    let lost = false;
    void session.lost.then((reason) => {
      lost = true;
      this.#onLost(reason);
    });
    await Promise.all([...this.#subscriptions].map(([filter, entry]) => this.#ask(session, filter, entry)));
    if (lost || this.#stopping !== undefined) return;
    this.#connected = true;
    this.counters.connections += 1;
    this.#backoff.succeeded();
    for (const message of [...this.#waiting]) void this.#send(session, message);
    for (const listener of this.#listeners) this.#guarded('connect listener', listener);
  }

  #onLost(reason: string): void {
    this.#connected = false;
    this.#session = undefined;
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
        // Asked again soon: it is not the broker that needs time.
        this.#backoff.succeeded(Number.NEGATIVE_INFINITY);
        continue;
      }
      try {
        const session = await this.#open(this.#dispatch);
        await this.#adopt(session);
        if (this.#connected) this.#log.info('connected to the broker');
        return;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        // Each reason is news once; its repetitions are for those who look closer.
        this.#log[reason === told ? 'debug' : 'warn'](`still no connection to the broker: ${reason}`);
        told = reason;
      }
    }
  }

  readonly #dispatch: Deliver = (message, filters) => {
    const later: Promise<void>[] = [];
    for (const [filter, { handlers }] of this.#subscriptions) {
      if (filters !== undefined ? !filters.includes(filter) : !matchesFilter(filter, message.topic)) continue;
      for (const handler of handlers)
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
