/**
 * What the broker keeps for one client that is away: the session of MQTT 3.1.1 (section 4.1), with a bound and an end,
 * which that version does not know. It holds what the client has to get with QoS 1 and has not acknowledged.
 *
 *   away ──begin──▶ catching up ──all is handed over──▶ live        catching up, live ──leave──▶ away
 *
 *   1. At most `bytes` and `messages` are kept, or one message. Beyond that the oldest one of the owner who has the most
 *      is dropped: one camera that floods pushes out its own frames. So that this holds for floods of small messages too,
 *      each weighs at least its share, `bytes / messages`.
 *   2. Messages are handed over in the order in which they came: while catching up, nothing passes those that wait.
 *   3. On one connection a message is handed over once. On a later one those that were not acknowledged come first,
 *      under the same packet identifier and with DUP (MQTT-4.4.0-1, MQTT-3.3.1-1).
 *   4. Nobody but the reader of the moment acknowledges, and only what was handed to it.
 *   5. While the client is away a message ends `ms` after it came, or after the client went if that was later.
 *   6. `Watcher` is told of each message once that it is about to be sent, and once that it is kept no more.
 */

/** Bounds of what is kept. */
export interface QueueLimits {
  readonly messages: number;
  /** Of payloads and topics. */
  readonly bytes: number;
  /** How long a message is kept while the client is away; not given: without end. */
  readonly ms?: number;
}

/** Whoever keeps the same on a disk. */
export interface Watcher {
  sent(brokerCounter: number): void;
  done(brokerCounter: number): void;
}

/** A message as a broker sends it. */
export interface QueuedMessage {
  /** Tells it from all others of this broker. */
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
  /** When it came, ms on the clock of the caller. */
  readonly at: number;
  /** On this connection: not yet, about to be, written to it. */
  stage: 'stored' | 'taken' | 'sent';
  /** Its packet identifier, from when it is first sent. */
  id: number | undefined;
  /** On an earlier connection. */
  wasSent: boolean;
  /** The packet that carries it on this connection. */
  carrier: object | undefined;
}

/** A kept session; `reader` is whatever stands for one connection of its client. */
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

  /** Messages kept, and their weight. */
  get held(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#entries.size, bytes: this.#bytes };
  }

  /** Whether `reader` has this session now. */
  isReader(reader: object): boolean {
    return this.#reader === reader;
  }

  /** When the next message ends, if the client stays away; undefined while it is there, and where nothing ends. */
  get ends(): number | undefined {
    const [first] = this.#entries.values();
    const { ms } = this.#limits;
    if (this.#reader !== undefined || first === undefined || ms === undefined) return undefined;
    return Math.max(first.at, this.#awaySince) + ms;
  }

  /** Drops what has ended; returns how many messages that were. */
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
   * Keeps a message of `owner` until it is acknowledged; returns how many were dropped for it. `wasSent`: perhaps the
   * client has it from an earlier run of the broker.
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
   * A connection begins; what waits comes out one by one, each when the one before was handed over (`hand`) and `room`
   * says that the connection takes more. Ends when nothing waits, or when the reader is another one.
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
    // What comes meanwhile is at the end of the map, and is reached too.
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

  /** The connection of `reader` ended; what it did not acknowledge waits. */
  leave(reader: object, now = 0): void {
    if (this.#reader !== reader) return;
    this.#reader = undefined;
    this.#awaySince = now;
    this.#handedOver();
  }

  /** Whether a kept message goes to `reader` now: not one that waits its turn, was dropped, or has gone there. */
  passes(reader: object, packet: { readonly brokerCounter: number }): boolean {
    const entry = this.#entries.get(packet.brokerCounter);
    if (this.#reader !== reader || entry === undefined) return false;
    return entry.stage === 'sent' ? entry.carrier === packet : entry.stage === 'stored' && !this.#catchingUp;
  }

  /** `packet`, which carries a message to `reader`, is about to be written: it gets its identifier and DUP. */
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

  /** Drops the oldest message of the owner who has the most; returns how many messages that were. */
  dropOldest(): number {
    if (this.#entries.size === 0) return 0;
    this.#forget(this.#oldestOfMost());
    return 1;
  }

  /** Whether a message is kept. */
  has(brokerCounter: number): boolean {
    return this.#entries.has(brokerCounter);
  }

  /** Forgets everything; returns how many messages that were. */
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
    throw new Error(`no message of ${owner} is kept`);
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
