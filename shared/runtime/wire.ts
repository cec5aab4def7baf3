import { randomUUID } from 'node:crypto';
import { TesseraError } from '../errors.ts';
import { LogThrottle } from '../log-throttle.ts';
import type { Bus, Log, Message, Unsubscribe } from '../ports.ts';
import { peekCbor } from '../protocol/cbor-peek.ts';
import { partMessage } from '../protocol/messages/part.ts';
import { PART_LIMIT_BYTES, Reassembler, type ReassemblyLimits, splitBody } from '../protocol/parts.ts';
import { ALL, parseWireTopic, type Topics, type WireKind } from '../protocol/topics.ts';
import { parse, type Schema, z } from '../schema.ts';
import { TokenBuckets } from '../token-buckets.ts';
import { decode, encode } from './cbor.ts';

/**
 * The machine side of the protocol: CBOR messages to and from one wire topic, `<base>-wire/1/<self>/#`, and, after
 * `join`, what central sends to several nodes at once.
 *
 * 1. The sender of a message is the last level of its topic; brokers enforce that.
 * 2. A message that does not follow the protocol is counted, logged once per sender and minute, and never thrown.
 * 3. A message is handed over once it is complete and valid; its byte strings may alias buffers of the client.
 * 4. An unrequested message has a constant cost: it is dropped undecoded, by its address and its first few values
 * (`HeadFilter`).
 * 5. A message that turns out to be useless after decoding is charged to its sender: beyond a share of this process's
 * time nothing more of that sender is decoded until its token bucket refills.
 * 6. A part is charged to its sender at once, and refunded when its body is complete and useful. The head filter judges
 * a body by its first part; the other parts of an unrequested body are dropped undecoded.
 */

/** Counters of the wire; bytes are encoded bodies. */
export interface WireCounters {
  sent: number;
  sent_bytes: number;
  received: number;
  received_bytes: number;
  /** Invalid: bad CBOR, wrong schema, contradicting parts, retained, foreign topics. */
  invalid: number;
  /** Valid, but of a kind without a handler. */
  unhandled: number;
  /** Dropped undecoded: unrequested, or its sender has sent too many useless messages. */
  dropped: number;
}

/** First values of a message as `peekCbor` reads them: texts and integers before the first list or bytes. */
export type Head = Readonly<Record<string, string | number>>;
/** Decides by the first values of a message whether it is unrequested; `unknown` where they do not tell. */
export type HeadFilter = (from: string, head: Head) => 'unasked' | 'unknown';

/** Rate limit of the time that a sender's useless messages may cost, ms: at once, and a twentieth of all time. */
const USELESS = { burst: 1000, perSecond: 50 } as const;
/** Rate limit of unrequested messages by sender before a warning: late answers are a few now and then. */
const UNASKED = { burst: 200, perSecond: 10 } as const;

/** QoS by kind: the application repeats bulk data; messages that must arrive are acknowledged. */
const QOS: Readonly<Record<WireKind, 0 | 1>> = {
  work: 0,
  result: 0,
  tensor: 0,
  control: 1,
  frame: 1,
  'blob-get': 1,
  'blob-part': 1,
  echo: 0,
};

/** Dependencies of a wire. `self` is this process's id in topics; `now` any steady clock, milliseconds. */
export interface WireOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly self: string;
  readonly log: Log;
  readonly now: () => number;
  readonly limits?: ReassemblyLimits;
  /** The only sender that is read, except of the kinds in `fromAny`; all senders where absent. */
  readonly only?: string;
  /** Kinds that every sender may send. */
  readonly fromAny?: readonly WireKind[];
}

/** Senders whose last refused body is remembered. */
const MAX_REFUSED = 4096;

/** Result of a message: a part of an incomplete body of this id, or a complete message whose parts cost `spentMs`. */
type Taken = { readonly part: string } | { readonly isUseful: boolean; readonly spentMs: number };
const USELESS_MESSAGE: Taken = { isUseful: false, spentMs: 0 };

/** Returns false where the message was useless. */
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
  /** Called for each part of an incomplete body: on a slow link nothing else may arrive from its sender for long. */
  onPart: (from: string) => void = () => {};
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #self: string;
  readonly #now: () => number;
  readonly #reassembler: Reassembler;
  readonly #handlers = new Map<WireKind, Handler>();
  readonly #headFilters = new Map<WireKind, HeadFilter>();
  readonly #useless = new TokenBuckets(USELESS);
  readonly #unasked = new TokenBuckets(UNASKED);
  /** By sender, the id of the last unrequested body in parts. */
  readonly #refused = new Map<string, string>();
  readonly #only: string | undefined;
  readonly #fromAny: readonly WireKind[];
  readonly #throttledLog: LogThrottle;
  /** Message ids also differ between runs of a process, so that parts of two runs are never combined. */
  readonly #run = randomUUID().slice(0, 8);
  #bodies = 0;

  constructor(options: WireOptions) {
    this.#bus = options.bus;
    this.#topics = options.topics;
    this.#self = options.self;
    this.#throttledLog = new LogThrottle(options.log, options.now);
    this.#now = options.now;
    this.#only = options.only;
    this.#fromAny = options.fromAny ?? [];
    this.#reassembler = new Reassembler(options.limits);
  }

  /** Subscribes to the wire topic; resolves when the subscription is active. */
  async start(): Promise<void> {
    await this.#bus.subscribe(this.#topics.wireInbox(this.#self), 1, (message) => this.#receive(message));
  }

  /** Reads what central sends to several nodes at once; resolves, when the subscription is active, to what ends it. */
  join(): Promise<Unsubscribe> {
    return this.#bus.subscribe(this.#topics.wireShared, 1, (message) => this.#receive(message));
  }

  /**
   * Registers the handler for messages of one kind; `bytes` is the encoded size of the whole message. The handler
   * returns false for a useless message. `headFilter` is called before a message is decoded.
   */
  on<T>(
    kind: WireKind,
    schema: Schema<T>,
    handler: (from: string, message: T, bytes: number) => unknown,
    headFilter?: HeadFilter,
  ): void {
    if (headFilter !== undefined) this.#headFilters.set(kind, headFilter);
    this.#handlers.set(kind, (from, body, value) => {
      const message = parse(schema, value, 'TESSERA_MESSAGE_INVALID', `${kind} from ${from}`);
      return handler(from, message, body.byteLength) !== false;
    });
  }

  /**
   * Encodes and sends a message, in parts where it is large; resolves to the encoded bytes once all is handed to the
   * network.
   */
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
    if (address === undefined || ![this.#self, ALL].includes(address.to)) {
      this.#refuse('?', `foreign topic ${topic}`);
      return;
    }
    if (address.from === this.#self) {
      this.#refuse(address.from, `another process sends in the name of ${this.#self}`);
      return;
    }
    if (retained) {
      this.#refuse(address.from, `a retained ${address.kind} message`);
      return;
    }
    this.counters.received_bytes += payload.byteLength;
    const { kind, from } = address;
    const head = this.#headFilters.has(kind) || this.#refused.has(from) ? peekCbor(payload) : undefined;
    // A part does not tell what it is part of.
    const hasBody = head === undefined || !('m' in head);
    if (!hasBody && this.#refused.get(from) === head.m) {
      this.counters.dropped += 1;
      return;
    }
    if (!this.#mayPass(kind, from, hasBody ? head : undefined)) return;
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

  /** Whether to decode a message, by its address and, where known, its first values. */
  #mayPass(kind: WireKind, from: string, head: Head | undefined): boolean {
    const now = this.#now();
    if (this.#only !== undefined && from !== this.#only && !this.#fromAny.includes(kind)) {
      this.counters.dropped += 1;
      this.#throttledLog.warn(
        `stranger ${from}`,
        `messages of ${from} are ignored: only those of ${this.#only} are accepted here`,
      );
      return false;
    }
    if (head !== undefined && this.#headFilters.get(kind)?.(from, head) === 'unasked') {
      this.counters.dropped += 1;
      if (!this.#unasked.take(from, now))
        this.#throttledLog.warn(`unasked ${from}`, `${from} floods: it sends many unrequested ${kind} messages`, {
          from,
        });
      return false;
    }
    if (this.#useless.has(from, now)) return true;
    this.counters.dropped += 1;
    this.#throttledLog.warn(
      `useless ${from}`,
      `${from} sends so many useless messages that they are not decoded for now`,
      {
        from,
      },
    );
    return false;
  }

  /** Processes a message. */
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
      // Message ids are unique per sender, so the kinds of one sender share its limit.
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
