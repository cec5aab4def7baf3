/**
 * The persistent session of one client (MQTT 3.1.1 section 4.1), with a bound and an expiry, which MQTT 3.1.1 lacks. It
 * holds the QoS 1 messages that the client has not acknowledged.
 *
 *   away ──begin──▶ catching up ──all are handed over──▶ live        catching up, live ──leave──▶ away
 *
 *   1. At most `bytes` and `messages` are held, or one message. Above that the oldest message of the owner with the
 *      most bytes is dropped: a camera that floods drops its own frames. Each message weighs at least its share,
 *      `bytes / messages`, so that floods of small messages are bounded, too.
 *   2. Messages are handed over in the order of their arrival: while catching up, no new message overtakes a queued
 *      one.
 *   3. On one connection a message is handed over once. On the next one unacknowledged messages come first, under the
 *      same packet identifier and with DUP (MQTT-4.4.0-1, MQTT-3.3.1-1).
 *   4. Only the present reader acknowledges, and only messages that were handed to it.
 *   5. While the client is away a message expires `ms` after its arrival, or after the client left if that was later.
 *   6. `Watcher` is told of each message once before it is sent, and once when it leaves the session.
 */

/** Bounds of a session. */
export interface QueueLimits {
  readonly messages: number;
  /** Of payloads and topics. */
  readonly bytes: number;
  /** How long a message is held while the client is away; without limit where not given. */
  readonly ms?: number;
}

/** Stores the same messages on disk. */
export interface Watcher {
  sent(brokerCounter: number): void;
  done(brokerCounter: number): void;
}

/** A message as a broker sends it. */
export interface QueuedMessage {
  /** Its number, unique in this broker. */
  readonly brokerCounter: number;
  readonly topic: string;
  readonly payload: Buffer;
  dup: boolean;
  messageId?: number | undefined;
}

interface Entry<M> {
  readonly message: M;
  readonly owner: string;
  /** Its weight. */
  readonly bytes: number;
  /** When it arrived, ms on the caller's clock. */
  readonly at: number;
  /** State on this connection: not sent, about to be sent, written to it. */
  stage: 'stored' | 'taken' | 'sent';
  /** Its packet identifier, once it was sent. */
  id: number | undefined;
  /** Whether it was sent on an earlier connection. */
  wasSent: boolean;
  /** The packet that carries it on this connection. */
  carrier: object | undefined;
}

/** A persistent session; `reader` stands for one connection of its client. */
export class PersistentSession<M extends QueuedMessage> {
  readonly #limits: QueueLimits;
  readonly #watcher: Watcher | undefined;
  readonly #entries = new Map<number, Entry<M>>();
  readonly #byId = new Map<number, Entry<M>>();
  readonly #owned = new Map<string, number>();
  #bytes = 0;
  #lastId = 0;
  #reader: object | undefined;
  #catchingUp = false;
  #handedOver: () => void = () => {};
  #awaySince: number;

  /** `now`: ms on any steady clock, as everywhere here. */
  constructor(limits: QueueLimits, watcher?: Watcher, now = 0) {
    this.#limits = limits;
    this.#watcher = watcher;
    this.#awaySince = now;
  }

  /** Messages held, and their weight. */
  get held(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#entries.size, bytes: this.#bytes };
  }

  /** Whether `reader` has this session now. */
  isReader(reader: object): boolean {
    return this.#reader === reader;
  }

  /** When the next message expires while the client is away; undefined while it is connected, and without expiry. */
  get ends(): number | undefined {
    const [first] = this.#entries.values();
    const { ms } = this.#limits;
    if (this.#reader !== undefined || first === undefined || ms === undefined) return undefined;
    return Math.max(first.at, this.#awaySince) + ms;
  }

  /** Drops expired messages; returns their number. */
  expire(now: number): number {
    let dropped = 0;
    for (let end = this.ends; end !== undefined && end <= now; end = this.ends) {
      const [first] = this.#entries.values();
      this.#forget(first!);
      dropped += 1;
    }
    return dropped;
  }

  /**
   * Holds a message of `owner` until it is acknowledged; returns how many were dropped for it. `wasSent`: the client
   * may have received it from an earlier run of the broker.
   */
  keep(owner: string, message: M, now = 0, wasSent = false): number {
    const { brokerCounter, payload, topic } = message;
    if (this.#entries.has(brokerCounter)) return 0;
    const share = Math.ceil(this.#limits.bytes / this.#limits.messages);
    const bytes = Math.max(share, payload.length + Buffer.byteLength(topic));
    let dropped = 0;
    while (this.#entries.size > 0 && this.#bytes + bytes > this.#limits.bytes) {
      this.#forget(this.#oldestOfMost());
      dropped += 1;
    }
    const fresh = { stage: 'stored', id: undefined, wasSent, carrier: undefined } as const;
    this.#entries.set(brokerCounter, { message, owner, bytes, at: now, ...fresh });
    this.#count(owner, bytes);
    return dropped;
  }

  /**
   * A connection begins: yields the queued messages, each after the one before was handed over (`hand`) and `room`
   * resolved. Ends when the queue is empty, or when the reader is another one.
   */
  begin(reader: object, room: () => Promise<void>): AsyncGenerator<M> {
    this.#handedOver();
    this.#reader = reader;
    this.#catchingUp = true;
    for (const entry of this.#entries.values()) {
      entry.wasSent ||= entry.stage === 'sent';
      entry.stage = 'stored';
      entry.carrier = undefined;
    }
    return this.#waiting(reader, room);
  }

  async *#waiting(reader: object, room: () => Promise<void>): AsyncGenerator<M> {
    // New messages are appended to the map, so this loop reaches them, too.
    for (const entry of this.#entries.values()) {
      await room();
      if (this.#reader !== reader) return;
      if (entry.stage !== 'stored' || !this.#entries.has(entry.message.brokerCounter)) continue;
      entry.stage = 'taken';
      const handedOver = new Promise<void>((resolve) => {
        this.#handedOver = resolve;
      });
      yield entry.message;
      await handedOver;
    }
    if (this.#reader === reader) this.#catchingUp = false;
  }

  /** The connection of `reader` ended; its unacknowledged messages stay queued. */
  leave(reader: object, now = 0): void {
    if (this.#reader !== reader) return;
    this.#reader = undefined;
    this.#awaySince = now;
    this.#handedOver();
  }

  /** Whether a held message goes to `reader` now: not one that waits its turn, was dropped, or was sent there. */
  passes(reader: object, packet: { readonly brokerCounter: number }): boolean {
    const entry = this.#entries.get(packet.brokerCounter);
    if (this.#reader !== reader || entry === undefined) return false;
    return entry.stage === 'sent' ? entry.carrier === packet : entry.stage === 'stored' && !this.#catchingUp;
  }

  /** Gives `packet`, which is about to be written to `reader`, its identifier and DUP. */
  hand(reader: object, packet: { readonly brokerCounter: number; dup: boolean; messageId?: number | undefined }): void {
    if (this.#reader !== reader) return;
    const entry = this.#entries.get(packet.brokerCounter);
    packet.messageId = entry?.id ?? this.#freeId();
    if (entry !== undefined) {
      if (!entry.wasSent && entry.stage !== 'sent') this.#watcher?.sent(packet.brokerCounter);
      entry.stage = 'sent';
      entry.carrier = packet;
      entry.id = packet.messageId;
      packet.dup = entry.wasSent;
      this.#byId.set(entry.id, entry);
    }
    this.#handedOver();
  }

  /** `reader` has acknowledged the message with that packet identifier. */
  acknowledge(reader: object, id: number): void {
    const entry = this.#byId.get(id);
    if (this.#reader === reader && entry?.stage === 'sent') this.#forget(entry);
  }

  /** Drops the oldest message of the owner with the most bytes; returns how many were dropped. */
  dropOldest(): number {
    if (this.#entries.size === 0) return 0;
    this.#forget(this.#oldestOfMost());
    return 1;
  }

  /** Whether a message is held. */
  has(brokerCounter: number): boolean {
    return this.#entries.has(brokerCounter);
  }

  /** Drops all messages; returns their number. */
  clear(): number {
    const all = [...this.#entries.values()];
    for (const entry of all) this.#forget(entry);
    return all.length;
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1;
    while (this.#byId.has(this.#lastId));
    return this.#lastId;
  }

  #oldestOfMost(): Entry<M> {
    const [owner] = [...this.#owned].reduce((a, b) => (b[1] > a[1] ? b : a));
    for (const entry of this.#entries.values()) if (entry.owner === owner) return entry;
    throw new Error(`no message of ${owner} is held`);
  }

  #forget(entry: Entry<M>): void {
    this.#entries.delete(entry.message.brokerCounter);
    if (entry.id !== undefined) this.#byId.delete(entry.id);
    this.#count(entry.owner, -entry.bytes);
    this.#watcher?.done(entry.message.brokerCounter);
  }

  #count(owner: string, bytes: number): void {
    this.#bytes += bytes;
    const sum = (this.#owned.get(owner) ?? 0) + bytes;
    if (sum === 0) this.#owned.delete(owner);
    else this.#owned.set(owner, sum);
  }
}
