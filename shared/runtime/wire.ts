import { randomUUID } from 'node:crypto';
import { TesseraError } from '../errors.ts';
import { LogThrottle } from '../log-throttle.ts';
import type { Bus, Log, Message } from '../ports.ts';
import { peekCbor } from '../protocol/cbor-peek.ts';
import { partMessage } from '../protocol/messages/part.ts';
import { PART_LIMIT_BYTES, Reassembler, type ReassemblyLimits, splitBody } from '../protocol/parts.ts';
import { parseWireTopic, type Topics, type WireKind } from '../protocol/topics.ts';
import { parse, z } from '../schema.ts';
import { TokenBuckets } from '../token-buckets.ts';
import { decode, encode } from './cbor.ts';

/**
 * The machine side of the protocol: CBOR messages to and from one inbox, `<base>-wire/1/<self>/#`.
 *
 *   1. The sender of a message is the last level of its topic; brokers see to it that nobody writes another's.
 *   2. What does not follow the protocol is counted, logged once per sender and minute, and never thrown.
 *   3. A message is handed over once it is whole and valid; its byte strings may alias buffers of the client.
 *   4. What nobody asked for costs a constant: it is dropped by its address and its first few values, undecoded (`Gate`).
 *   5. What is decoded and then turns out to be of no use costs its sender: beyond a share of this process's time nothing
 *      more of that sender is decoded until that has come back.
 *   6. A part costs its sender at once, and is given back when the body that it belongs to is whole and of use. The gate
 *      judges a body by its first part; where nobody asked for it, its other parts are dropped undecoded.
 */

/** What the wire counts; bytes are encoded bodies as they travel. */
export interface WireCounters {
  sent: number;
  sent_bytes: number;
  received: number;
  received_bytes: number;
  /** Not of this protocol: bad CBOR, wrong schema, lying parts, retained, foreign topics. */
  invalid: number;
  /** Of the protocol, but of a kind that nothing here handles. */
  unhandled: number;
  /** Dropped undecoded: nobody asked for it, or its sender has sent too much of no use. */
  dropped: number;
}

/** First values of a message as `peekCbor` reads them: texts and whole numbers before the first list or bytes. */
export type Head = Readonly<Record<string, string | number>>;
/** Says of a message what its first values tell: that nobody asked for it, or that they do not tell. */
export type Gate = (from: string, head: Head) => 'unasked' | 'unknown';

/** Time that a sender may cost by what is of no use, ms: at once, and a twentieth of all time. */
const USELESS = { burst: 1000, perSecond: 50 } as const;
/** Messages that nobody asked for, by sender, before that is said: late answers are a few now and then. */
const UNASKED = { burst: 200, perSecond: 10 } as const;

/** QoS by kind: bulk is repeated by the application, what must arrive is acknowledged (DESIGN section 4). */
const QOS: Readonly<Record<WireKind, 0 | 1>> = {
  work: 0,
  result: 0,
  tensor: 0,
  control: 1,
  'blob-get': 1,
  'blob-part': 1,
};

/** What a wire needs. `self` is this process's id in topics; `now` any steady clock, milliseconds. */
export interface WireOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly self: string;
  readonly log: Log;
  readonly now: () => number;
  readonly limits?: ReassemblyLimits;
  /** The only one who is listened to; everybody where it is absent. */
  readonly only?: string;
}

/** Senders whose last refused body is remembered. */
const MAX_REFUSED = 4096;

/** What a message was: a part of the body of this id, which is not whole yet, or a whole one whose parts cost `spentMs`. */
type Taken = { readonly part: string } | { readonly isUseful: boolean; readonly spentMs: number };
const USELESS_MESSAGE: Taken = { isUseful: false, spentMs: 0 };

/** Returns false where the message was of no use. */
type Handler = (from: string, body: Uint8Array, value: unknown) => boolean;

/** Sends and receives wire messages; see above. */
export class Wire {
  readonly counters: WireCounters = {
    sent: 0,
    sent_bytes: 0,
    received: 0,
    received_bytes: 0,
    invalid: 0,
    unhandled: 0,
    dropped: 0,
  };
  /** Told of each part of a body that is not whole yet: on a slow link nothing else may come from its sender for long. */
  onPart: (from: string) => void = () => {};
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #self: string;
  readonly #now: () => number;
  readonly #reassembler: Reassembler;
  readonly #handlers = new Map<WireKind, Handler>();
  readonly #gates = new Map<WireKind, Gate>();
  readonly #useless = new TokenBuckets(USELESS);
  readonly #unasked = new TokenBuckets(UNASKED);
  /** By sender, the last body in parts that nobody asked for: its id. */
  readonly #refused = new Map<string, string>();
  readonly #only: string | undefined;
  readonly #throttledLog: LogThrottle;
  /** Message ids differ between runs of a process too, so that parts of two runs are never put together. */
  readonly #run = randomUUID().slice(0, 8);
  #bodies = 0;

  constructor(options: WireOptions) {
    this.#bus = options.bus;
    this.#topics = options.topics;
    this.#self = options.self;
    this.#throttledLog = new LogThrottle(options.log, options.now);
    this.#now = options.now;
    this.#only = options.only;
    this.#reassembler = new Reassembler(options.limits);
  }

  /** Bytes of messages that are not whole yet. */
  get reassemblyBytes(): number {
    return this.#reassembler.bytes;
  }

  /** Opens the inbox; resolves when the subscription stands. */
  start(): Promise<void> {
    return this.#bus.subscribe(this.#topics.wireInbox(this.#self), 1, (message) => this.#receive(message));
  }

  /**
   * Handles messages of one kind; `bytes` is the encoded size of the whole message. One handler per kind; it returns false
   * for a message that was of no use. `gate` is asked before a message is decoded.
   */
  on<T>(
    kind: WireKind,
    schema: z.ZodType<T>,
    handler: (from: string, message: T, bytes: number) => unknown,
    gate?: Gate,
  ): void {
    if (gate !== undefined) this.#gates.set(kind, gate);
    this.#handlers.set(kind, (from, body, value) => {
      const message = parse(schema, value, 'TESSERA_MESSAGE_INVALID', `${kind} from ${from}`);
      return handler(from, message, body.byteLength) !== false;
    });
  }

  /** Encodes and sends, in parts where it is large; resolves to the encoded bytes once all is handed to the network. */
  async send(to: string, kind: WireKind, message: unknown): Promise<number> {
    const topic = this.#topics.wire(to, kind, this.#self);
    const qos = QOS[kind];
    const body = encode(message);
    if (body.byteLength <= PART_LIMIT_BYTES) {
      this.#count(body.byteLength);
      await this.#bus.publish(topic, body, { qos });
      return body.byteLength;
    }
    this.#bodies += 1;
    const parts = splitBody(body, `${this.#run}-${this.#bodies}`).map((part) => encode(part));
    const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    this.#count(bytes);
    await Promise.all(parts.map((part) => this.#bus.publish(topic, part, { qos })));
    return bytes;
  }

  #count(bytes: number): void {
    this.counters.sent += 1;
    this.counters.sent_bytes += bytes;
  }

  #receive({ topic, payload, retained }: Message): void {
    const address = parseWireTopic(topic);
    if (address === undefined || address.to !== this.#self) {
      this.#refuse('?', `foreign topic ${topic}`);
      return;
    }
    if (retained) {
      this.#refuse(address.from, `a retained ${address.kind} message`);
      return;
    }
    this.counters.received_bytes += payload.byteLength;
    const { kind, from } = address;
    const head = peekCbor(payload);
    if ('m' in head && this.#refused.get(from) === head.m) {
      this.counters.dropped += 1;
      return;
    }
    // A part says nothing of what it is part of.
    if (!this.#mayPass(kind, from, 'm' in head ? undefined : head)) return;
    const began = this.#now();
    let taken = USELESS_MESSAGE;
    try {
      taken = this.#take(kind, from, payload);
    } catch (error) {
      if (!(error instanceof TesseraError) || error.code !== 'TESSERA_MESSAGE_INVALID') throw error;
      this.#refuse(from, error.message);
    }
    const ended = this.#now();
    const cost = ended - began;
    if ('part' in taken) {
      this.#useless.spend(from, cost, ended);
      this.#reassembler.spend(from, taken.part, cost);
    } else if (!taken.isUseful) this.#useless.spend(from, cost, ended);
    else if (taken.spentMs > 0) this.#useless.spend(from, -taken.spentMs, ended);
  }

  /** Whether a message is worth decoding, as far as its address and, where they are known, its first values tell. */
  #mayPass(kind: WireKind, from: string, head: Head | undefined): boolean {
    const now = this.#now();
    if (this.#only !== undefined && from !== this.#only) {
      this.counters.dropped += 1;
      this.#throttledLog.warn(
        `stranger ${from}`,
        `what ${from} sends is ignored: only ${this.#only} is listened to here`,
      );
      return false;
    }
    if (head !== undefined && this.#gates.get(kind)?.(from, head) === 'unasked') {
      this.counters.dropped += 1;
      if (!this.#unasked.take(from, now))
        this.#throttledLog.warn(`unasked ${from}`, `${from} floods: it sends many a ${kind} that nobody asked for`, {
          from,
        });
      return false;
    }
    if (this.#useless.has(from, now)) return true;
    this.counters.dropped += 1;
    this.#throttledLog.warn(`useless ${from}`, `${from} sends so much of no use that it is not decoded for now`, {
      from,
    });
    return false;
  }

  /** Takes a message in. */
  #take(kind: WireKind, from: string, payload: Uint8Array): Taken {
    const what = `${kind} from ${from}`;
    let body = payload;
    let spentMs = 0;
    let value = decode(payload, z.unknown(), what);
    if (isPart(value)) {
      const part = parse(partMessage, value, 'TESSERA_MESSAGE_INVALID', `part of ${what}`);
      const [index, count] = part.part;
      if (index === 0 && count > 1 && !this.#mayPass(kind, from, peekCbor(part.d))) {
        this.#remember(from, part.m);
        return USELESS_MESSAGE;
      }
      // Message ids are unique per sender, so kinds of one sender share its allowance.
      const outcome = this.#reassembler.accept(from, part, this.#now());
      if (outcome.kind === 'refused') this.#refuse(from, `part of ${what}: ${outcome.reason}`);
      if (outcome.kind === 'pending') {
        this.onPart(from);
        return { part: part.m };
      }
      if (outcome.kind !== 'complete') return USELESS_MESSAGE;
      ({ body, spentMs } = outcome);
      if (!this.#mayPass(kind, from, peekCbor(body))) return USELESS_MESSAGE;
      value = decode(body, z.unknown(), what);
    }
    const handler = this.#handlers.get(kind);
    if (handler === undefined) {
      this.counters.unhandled += 1;
      return USELESS_MESSAGE;
    }
    const isUseful = handler(from, body, value);
    this.counters.received += 1;
    return { isUseful, spentMs };
  }

  #remember(from: string, id: string): void {
    if (this.#refused.size >= MAX_REFUSED) this.#refused.clear();
    this.#refused.set(from, id);
  }

  #refuse(from: string, why: string): void {
    this.counters.invalid += 1;
    this.#throttledLog.warn(from, `a message was refused: ${why}`, { from });
  }
}

const isPart = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'part' in value && 'm' in value;
