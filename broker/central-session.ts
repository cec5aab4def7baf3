import { LogThrottle } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import { parseInputTopic, topics as topicsOf } from '../shared/protocol/topics.ts';
import type { Numbering, Packet, Persistence, SessionClient } from './aedes-parts.ts';
import { ingestClientId } from './authentication.ts';
import type { ClientOf } from './connections.ts';
import type { BrokerCounters } from './counters.ts';
import { checksumOf } from './message-records.ts';
import { MessageStore } from './message-store.ts';
import { PersistentSession } from './persistent-session.ts';
import { ownBytes, type StoredPacket, storedPacket } from './stored-packet.ts';

/**
 * The persistent session of central, under the client id of its ingest connection (authentication.ts says who may use
 * that id). The session exists from the start of the broker, before central ever connects, and is stored on disk where
 * the broker has a folder (message-store.ts).
 *
 *   1. A frame with QoS 1 is acknowledged to its publisher only after it was stored for central.
 *   2. Stored frames end as persistent-session.ts says; each loss is counted and logged.
 *   3. A frame that its publisher sends again, because the acknowledgement was lost, is not stored again.
 */

/** Bounds of the frames stored for central. */
export interface CentralSessionLimits {
  /** Milliseconds after a frame arrived, or after central's connection ended if that was later; 0 stores nothing. */
  readonly ms: number;
  readonly bytes: number;
}

/** A restart takes 3 to 10 s, and pictures of an hour ago are of no use (docs/decisions/0010). */
export const CENTRAL_SESSION_LIMITS: CentralSessionLimits = { ms: 60_000, bytes: 64e6 };

/** Below the 65 535 packet identifiers that a client may have in flight. */
const MAX_MESSAGES = 10_000;
/** Remembered frames, by which a repetition is recognised. */
const MAX_RECENT = 4096;
/** Frames that expire within this time are dropped together. */
const EXPIRY_SLACK_MS = 500;

/** What central's session needs of the broker. */
export interface CentralSessionOptions {
  readonly base: string;
  readonly limits: CentralSessionLimits;
  readonly counters: BrokerCounters;
  readonly log: Log;
}

/** What becomes of a message with QoS 1 or 2: it is routed, was routed before, or is not acknowledged. */
export type Taken = 'route' | 'repeated' | 'refused';

/** Whether a message goes to a client now, and whether the session of the client stores it. */
export interface PassesNow {
  readonly now: boolean;
  readonly kept: boolean;
}

/** Central's session of one broker. */
export class CentralSession {
  readonly clientId: string;
  readonly #options: CentralSessionOptions;
  readonly #throttledLog: LogThrottle;
  readonly #persistence: Persistence;
  readonly #numbering: Numbering;
  /** Frames that a publisher may send again, as `repetition` writes them; the newest last. */
  readonly #recent = new Set<string>();
  #store: MessageStore | undefined;
  #session: PersistentSession<StoredPacket> | undefined;
  /** A connection under central's client id that asked for a clean session. */
  #clean: object | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(options: CentralSessionOptions, persistence: Persistence, numbering: Numbering) {
    this.clientId = ingestClientId(options.base);
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
    this.#persistence = persistence;
    this.#numbering = numbering;
    this.#open();
  }

  /** The session for a connection that asked for one. */
  of({ clean }: SessionClient): PersistentSession<StoredPacket> | undefined {
    return clean ? undefined : this.#session;
  }

  /**
   * Stores frames in `folder` too, and loads those of an earlier run. Throws TESSERA_CONFIG where it cannot be made.
   */
  keepIn(folder: string): void {
    const { limits, log } = this.#options;
    if (limits.ms === 0 || this.#session === undefined) return;
    const onFault = (text: string, error: unknown): void => {
      const why = error === undefined ? '' : `: ${(error as Error).message}`;
      this.#throttledLog.warn(`store ${text}`, `${text}${why}`, { folder });
    };
    const { store, found } = MessageStore.open(folder, limits.bytes, onFault);
    this.#store = store;
    const now = Date.now();
    const clock = performance.now();
    let old = 0;
    for (const { number, time, messageId, topic, payload, state, check } of found) {
      this.#numbering.counter = Math.max(this.#numbering.counter, number);
      this.#note(messageId, topic, check);
      if (state === 'done') continue;
      if (now - time > limits.ms) {
        old += 1;
        store.done(number);
        continue;
      }
      const camera = parseInputTopic(this.#options.base, topic)?.camera ?? '';
      this.#hold(camera, storedPacket(this.#numbering, number, topic, payload), clock, state === 'sent');
    }
    this.#await();
    const { messages, bytes } = this.#session.held;
    if (messages > 0) log.info('loaded the frames of an earlier run for central', { messages, bytes });
    if (old === 0) return;
    this.#options.counters.dropped.central_session += old;
    log.warn(`frames stored more than ${limits.ms / 1000} s ago are dropped`, { messages: old });
  }

  /** Stores a frame for central before it is acknowledged and routed; `number` gives the message its number. */
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
    this.#hold(camera, storedPacket(this.#numbering, counter, topic, payload), performance.now(), false);
    this.#await();
    return 'route';
  }

  /** Whether a message goes to central's connection now; `kept`: it is one of the stored frames. */
  passes(session: PersistentSession<StoredPacket>, client: SessionClient, packet: Packet): PassesNow {
    const kept = packet.qos === 1 && this.#cameraOf(packet) !== undefined;
    return { now: kept ? session.passes(client, packet) : session.isReader(client), kept };
  }

  /** Central connected: the frames that it gets, one by one; `room` resolves when the connection takes more. */
  begin(client: SessionClient, room: () => Promise<void>): Iterable<StoredPacket> | AsyncIterable<StoredPacket> {
    if (client.clean) {
      // A client that asks for a clean session ends the one before (MQTT-3.1.2-6).
      this.#options.counters.dropped.central_session += this.#session?.clear() ?? 0;
      this.#session = undefined;
      this.#clean = client;
    }
    if (this.#session === undefined) return [];
    const { messages, bytes } = this.#session.held;
    if (messages > 0)
      this.#options.log.info('central connected, and gets the frames stored for it', { messages, bytes });
    return this.#session.begin(client, room);
  }

  /** A connection ended: from now on the frames stored for central expire. */
  gone(client: ClientOf): void {
    if (this.#clean === client) {
      this.#clean = undefined;
      this.#open();
    }
    if (this.#session?.isReader(client) !== true) return;
    this.#session.leave(client, performance.now());
    this.#await();
  }

  /** Forgets everything that is not on disk. */
  stop(): void {
    clearTimeout(this.#expiry);
    this.#session = undefined;
    this.#store?.close();
    this.#store = undefined;
  }

  /** The camera whose frame a message is; undefined for every other message. */
  #cameraOf({ topic }: Pick<Packet, 'topic'>): string | undefined {
    return parseInputTopic(this.#options.base, topic)?.camera;
  }

  /** Opens an empty session with the subscription that central will ask for. */
  #open(): void {
    const { ms, bytes } = this.#options.limits;
    if (ms === 0) return;
    const watcher = {
      sent: (number: number) => this.#store?.sent(number),
      done: (number: number) => this.#store?.done(number),
    };
    this.#session = new PersistentSession({ bytes, messages: MAX_MESSAGES, ms }, watcher, performance.now());
    const subscription = { topic: topicsOf(this.#options.base).inputAll, qos: 1 };
    void this.#persistence.addSubscriptions({ id: this.clientId }, [subscription]);
  }

  #hold(camera: string, stored: StoredPacket, now: number, wasSent: boolean): void {
    if (this.#session === undefined) return;
    const { counters } = this.#options;
    const dropped = this.#session.keep(camera, stored, now, wasSent);
    if (dropped === 0) return;
    counters.dropped.central_session += dropped;
    const { messages, bytes } = this.#session.held;
    const text = 'frames that central has not acknowledged are dropped, because too many are stored for it';
    this.#throttledLog.warn('kept', text, { camera, messages, bytes });
  }

  #note(messageId: number, topic: string, check: number): void {
    this.#recent.add(repetition(messageId, topic, check));
    if (this.#recent.size > MAX_RECENT) for (const oldest of this.#recent) return void this.#recent.delete(oldest);
  }

  /** Starts the timer of the next expiry. */
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
    const text = `central has been away for ${limits.ms / 1000} s: the frames stored for it are dropped`;
    this.#throttledLog.warn('away', text, { messages });
  }
}

/** A frame as it looks when its publisher sends it again. */
const repetition = (messageId: number, topic: string, check: number): string => `${messageId} ${check} ${topic}`;
