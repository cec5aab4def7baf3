import { join } from 'node:path';
import { Readable } from 'node:stream';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import { parseInputTopic, topics as topicsOf } from '../shared/protocol/topics.ts';
import { ingestClientId } from './authentication.ts';
import { type ClientSessionLimits, ClientSessions, type MayRead } from './client-sessions.ts';
import type { ClientOf } from './connections.ts';
import type { BrokerCounters } from './counters.ts';
import { checksumOf } from './message-records.ts';
import { MessageStore } from './message-store.ts';
import { PersistentSession, type QueuedMessage } from './persistent-session.ts';

/**
 * The session of central: that of the client id on which it takes frames in (authentication.ts says whose it is). It is there
 * from the start of the broker, whether central was ever here or not, and outlives the broker where there is a folder
 * for it (message-store.ts).
 *
 *   1. A frame with QoS 1 is acknowledged to its publisher only when it is kept for central.
 *   2. What is kept ends as persistent-session.ts says, and each loss is counted and said.
 *   3. A frame that its publisher sends again, because the acknowledgement did not reach it, is not kept again.
 *
 * Aedes delivers it, except for the store: its own has no bound and no end, and sends again without DUP.
 */

/** Bounds of what is kept for central. */
export interface CentralSessionLimits {
  /** Milliseconds after it came, or after central's connection ended; 0 keeps nothing. */
  readonly ms: number;
  readonly bytes: number;
}

/** A restart takes 3 to 10 s, and nobody wants pictures of an hour ago; so docs/decisions/0010. */
export const CENTRAL_SESSION_LIMITS: CentralSessionLimits = { ms: 60_000, bytes: 64e6 };

/** Below the 65 535 packet identifiers that a client may have under way. */
const MAX_MESSAGES = 10_000;
/** Unread bytes up to which what waits is written to a connection. */
const CATCH_UP_BYTES = 2 ** 20;
/** Frames by which a repetition is known. */
const MAX_RECENT = 4096;
/** What ends within so long is dropped together. */
const EXPIRY_SLACK_MS = 500;

/** A message as Aedes stores it. */
export interface StoredPacket extends QueuedMessage {
  readonly cmd: 'publish';
  readonly brokerId: string;
  readonly qos: 1;
  readonly retain: false;
}

/** A message on its way, as Aedes shows it. */
export interface Packet {
  readonly cmd: string;
  readonly brokerId: string;
  readonly brokerCounter: number;
  readonly topic: string;
  readonly payload: string | Buffer;
  qos: 0 | 1 | 2;
  readonly retain: boolean;
  dup: boolean;
  messageId?: number | undefined;
}

/** A client as far as its session goes. */
export interface SessionClient extends ClientOf {
  readonly clean: boolean;
}

/** A subscription as a persistence has it. */
export interface Subscription {
  readonly topic: string;
  readonly qos: number;
}

/** The part of an Aedes persistence (aedes-persistence 11) that is replaced or called here. */
export interface Persistence {
  cleanSubscriptions(client: { readonly id: string }): Promise<unknown>;
  cleanIncoming?(client: { readonly id: string }): Promise<unknown>;
  addSubscriptions(client: { readonly id: string }, subscriptions: readonly Subscription[]): Promise<unknown>;
  removeSubscriptions(client: { readonly id: string }, filters: readonly string[]): Promise<unknown>;
  outgoingEnqueueCombi(subscriptions: readonly { readonly clientId: string }[], packet: Packet): Promise<void>;
  outgoingUpdate(client: SessionClient, packet: Packet): Promise<void>;
  outgoingClearMessageId(client: SessionClient, packet: Packet): Promise<undefined>;
  outgoingStream(client: SessionClient): Readable;
  incomingGetPacket(client: { readonly id: string }, packet: { readonly messageId?: number }): Promise<unknown>;
}

/** The part of Aedes that numbers messages. */
export interface Numbering {
  readonly id: string;
  /** The number that a message got last. */
  counter: number;
}

/** What the sessions of a broker rest on. */
export interface SessionStoreOptions {
  readonly base: string;
  readonly limits: CentralSessionLimits;
  readonly clientSessions?: ClientSessionLimits | undefined;
  readonly counters: BrokerCounters;
  readonly log: Log;
}

/** What becomes of a message with QoS 1 or 2: to be routed, had before, or not to be acknowledged. */
export type Taken = 'route' | 'repeated' | 'refused';

/** The sessions of one broker. */
export class AedesSessionStore {
  readonly #options: SessionStoreOptions;
  readonly #throttledLog: LogThrottle;
  readonly #id: string;
  readonly #clientSessions: ClientSessions;
  /** When the frames were taken that a publisher may send again, by what a repetition looks like; the newest last. */
  readonly #recent = new Set<string>();
  #persistence: Persistence | undefined;
  #numbering: Numbering | undefined;
  #store: MessageStore | undefined;
  #session: PersistentSession<StoredPacket> | undefined;
  /** A connection under central's client id that asked for no session. */
  #clean: object | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(options: SessionStoreOptions) {
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
    this.#id = ingestClientId(options.base);
    this.#clientSessions = new ClientSessions(options, options.clientSessions);
  }

  /** Milliseconds for which the session of central is kept; 0 for any other client id. */
  keptMs(clientId: string): number {
    return clientId === this.#id ? this.#options.limits.ms : 0;
  }

  /** A client was let in; resolves with whether the session that it asks for is kept. */
  admit(client: ClientOf, owner: string, asks: boolean): Promise<boolean> {
    if (client.id === this.#id) return Promise.resolve(asks && this.#options.limits.ms > 0);
    return this.#clientSessions.admit(client, owner, asks);
  }

  /** Ends the sessions of a user. */
  endOf(owner: string): Promise<void> {
    return this.#clientSessions.endOf(owner);
  }

  /** Takes the store of messages under way out of a persistence and puts this one in its place. */
  attach(persistence: Persistence, numbering: Numbering, mayRead: MayRead): void {
    this.#persistence = persistence;
    this.#numbering = numbering;
    this.#clientSessions.attach(persistence, mayRead);
    // Frames are taken in by `take`, before they are acknowledged.
    persistence.outgoingEnqueueCombi = async (subscriptions, packet) => {
      const { brokerCounter, topic, payload } = packet;
      let own: Buffer | undefined;
      const stored = (): StoredPacket => {
        own ??= ownBytes(payload);
        return this.#stored(brokerCounter, topic, own);
      };
      const ids = subscriptions.map(({ clientId }) => clientId);
      this.#clientSessions.keep(ids, packet, stored);
    };
    persistence.outgoingUpdate = async (client, packet) => this.#of(client)?.hand(client, packet);
    persistence.outgoingClearMessageId = async (client, { cmd, messageId }) => {
      // Asked for messages that are not forwarded, too: those stay.
      if (cmd === 'puback' && messageId !== undefined) {
        if (client.id === this.#id) this.#of(client)?.acknowledge(client, messageId);
        else this.#clientSessions.acknowledge(client, messageId);
      }
      return undefined;
    };
    persistence.outgoingStream = (client) => this.#begin(client);
    this.#open();
  }

  /**
   * Keeps frames in `folder` too, `name` in it, and sessions of others in its folder `sessions`, and takes up what an
   * earlier run left there. Throws TESSERA_CONFIG where the folder for frames cannot be had.
   */
  keepIn(folder: string, name: string): void {
    const { limits, log } = this.#options;
    if (this.#numbering === undefined) return;
    const numbering = this.#numbering;
    this.#clientSessions.keepIn(join(folder, 'sessions', name), (topic, payload) => {
      numbering.counter += 1;
      return this.#stored(numbering.counter, topic, payload);
    });
    if (limits.ms === 0 || this.#session === undefined) return;
    const onFault = (text: string, error: unknown): void => {
      const why = error === undefined ? '' : `: ${(error as Error).message}`;
      this.#throttledLog.warn(`store ${text}`, `${text}${why}`, { folder });
    };
    const { store, found } = MessageStore.open(join(folder, name), limits.bytes, onFault);
    this.#store = store;
    const now = Date.now();
    const clock = performance.now();
    let old = 0;
    for (const { number, time, messageId, topic, payload, state, check } of found) {
      numbering.counter = Math.max(numbering.counter, number);
      this.#note(messageId, topic, check);
      if (state === 'done') continue;
      if (now - time > limits.ms) {
        old += 1;
        store.done(number);
        continue;
      }
      const camera = parseInputTopic(this.#options.base, topic)?.camera ?? '';
      this.#hold(camera, this.#stored(number, topic, payload), clock, state === 'sent');
    }
    this.#await();
    const { messages, bytes } = this.#session.held;
    if (messages > 0) log.info('frames of an earlier run are kept for central', { messages, bytes });
    if (old === 0) return;
    this.#options.counters.dropped.central_session += old;
    log.warn(`frames that were kept more than ${limits.ms / 1000} s ago are dropped`, { messages: old });
  }

  /**
   * Takes a message with QoS 1 or 2 in before it is acknowledged and routed: a frame is kept for central. `number` gives
   * the message its number.
   */
  take(packet: Omit<Packet, 'brokerId' | 'brokerCounter'>, number: () => number): Taken {
    const camera = this.#cameraOf(packet);
    if (this.#session === undefined || camera === undefined) return 'route';
    const { topic, messageId = 0 } = packet;
    const payload = ownBytes(packet.payload);
    const check = checksumOf({ topic, payload });
    if (packet.dup && this.#recent.has(repetition(messageId, topic, check))) return 'repeated';
    const counter = number();
    if (this.#store?.put({ number: counter, time: Date.now(), messageId, topic, payload }) === false) {
      this.#options.counters.refused.frames += 1;
      return 'refused';
    }
    this.#note(messageId, topic, check);
    this.#hold(camera, this.#stored(counter, topic, payload), performance.now(), false);
    this.#await();
    return 'route';
  }

  /**
   * Whether a message goes to a client now as far as its session is concerned; `kept` says that it is in it. Retained
   * messages go there with QoS 0, because Aedes gives them packet identifiers of their own, and QoS 2 becomes QoS 1.
   */
  passes(client: SessionClient, packet: Packet): { readonly now: boolean; readonly kept: boolean } {
    const session = this.#of(client);
    if (session === undefined) return { now: true, kept: false };
    if (packet.retain) packet.qos = 0;
    else if (packet.qos === 2) packet.qos = 1;
    if (client.id !== this.#id) {
      const isKept = packet.qos === 1 && session.has(packet.brokerCounter);
      return { now: !isKept || session.passes(client, packet), kept: isKept };
    }
    const kept = packet.qos === 1 && this.#cameraOf(packet) !== undefined;
    return { now: kept ? session.passes(client, packet) : session.isReader(client), kept };
  }

  /** A client's connection ended: from now on what is kept for it has an end. */
  gone(client: ClientOf): void {
    this.#clientSessions.gone(client);
    if (this.#clean === client) {
      this.#clean = undefined;
      this.#open();
    }
    if (this.#session?.isReader(client) !== true) return;
    this.#session.leave(client, performance.now());
    this.#await();
  }

  /** Forgets everything that is not on the disk. */
  stop(): void {
    clearTimeout(this.#expiry);
    this.#clientSessions.stop();
    this.#session = undefined;
    this.#store?.close();
    this.#store = undefined;
  }

  /** The session of a client that asked for one. */
  #of(client: SessionClient): PersistentSession<StoredPacket> | undefined {
    if (client.id !== this.#id) return this.#clientSessions.of(client);
    return client.clean ? undefined : this.#session;
  }

  /** The camera whose frame a message is; nothing else is kept. */
  #cameraOf({ topic }: Pick<Packet, 'topic'>): string | undefined {
    return parseInputTopic(this.#options.base, topic)?.camera;
  }

  /** An empty session, with the subscription that central will ask for. */
  #open(): void {
    const { ms, bytes } = this.#options.limits;
    if (ms === 0) return;
    const watcher = {
      sent: (number: number) => this.#store?.sent(number),
      done: (number: number) => this.#store?.done(number),
    };
    this.#session = new PersistentSession({ bytes, messages: MAX_MESSAGES, ms }, watcher, performance.now());
    const subscription = { topic: topicsOf(this.#options.base).inputAll, qos: 1 };
    void this.#persistence?.addSubscriptions({ id: this.#id }, [subscription]);
  }

  #begin(client: SessionClient): Readable {
    if (client.id !== this.#id) return this.#clientSessions.begin(client, () => roomIn(client));
    if (client.clean) {
      // Who asks for a clean session ends the one before (MQTT-3.1.2-6).
      this.#options.counters.dropped.central_session += this.#session?.clear() ?? 0;
      this.#session = undefined;
      this.#clean = client;
      return Readable.from([]);
    }
    if (this.#session === undefined) return Readable.from([]);
    const { messages, bytes } = this.#session.held;
    if (messages > 0) this.#options.log.info('central is here, and gets what was kept for it', { messages, bytes });
    return Readable.from(this.#session.begin(client, () => roomIn(client)));
  }

  #stored(brokerCounter: number, topic: string, payload: Buffer): StoredPacket {
    const brokerId = this.#numbering!.id;
    return { cmd: 'publish', brokerId, brokerCounter, topic, payload, qos: 1, retain: false, dup: false };
  }

  #hold(camera: string, stored: StoredPacket, now: number, wasSent: boolean): void {
    if (this.#session === undefined) return;
    const { counters } = this.#options;
    const dropped = this.#session.keep(camera, stored, now, wasSent);
    if (dropped === 0) return;
    counters.dropped.central_session += dropped;
    const { messages, bytes } = this.#session.held;
    const text = 'frames that central has not acknowledged are dropped, because too many are kept for it';
    this.#throttledLog.warn('kept', text, { camera, messages, bytes });
  }

  #note(messageId: number, topic: string, check: number): void {
    this.#recent.add(repetition(messageId, topic, check));
    if (this.#recent.size > MAX_RECENT) for (const oldest of this.#recent) return void this.#recent.delete(oldest);
  }

  /** Sees to it that what is kept ends in time. */
  #await(): void {
    const ends = this.#session?.ends;
    if (ends === undefined || this.#expiry !== undefined) return;
    const slack = Math.min(EXPIRY_SLACK_MS, this.#options.limits.ms / 2);
    this.#expiry = setTimeout(() => this.#expire(), Math.max(1, ends - performance.now() + slack)).unref();
  }

  #expire(): void {
    this.#expiry = undefined;
    const { limits, counters } = this.#options;
    const messages = this.#session?.expire(performance.now()) ?? 0;
    counters.dropped.central_session += messages;
    this.#await();
    if (messages === 0) return;
    const text = `central has been away for ${limits.ms / 1000} s: the frames that were kept for it are dropped`;
    this.#throttledLog.warn('away', text, { messages });
  }
}

/** How a frame looks when its publisher sends it again. */
const repetition = (messageId: number, topic: string, check: number): string => `${messageId} ${check} ${topic}`;

/** Resolves when little enough waits at a connection, or when it has ended. */
async function roomIn({ conn }: ClientOf): Promise<void> {
  while (!conn.destroyed && conn.writableLength > CATCH_UP_BYTES) {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        conn.off('drain', done);
        conn.off('close', done);
        resolve();
      };
      conn.on('drain', done);
      conn.on('close', done);
    });
  }
}

/** Bytes that keep nothing else in memory: what is read from a socket is part of a larger buffer. */
function ownBytes(payload: string | Buffer): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (bytes.buffer.byteLength <= 2 * bytes.length) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}
