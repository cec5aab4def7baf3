import { Readable } from 'node:stream';
import { Complaints } from '../shared/complaints.ts';
import type { Log } from '../shared/ports.ts';
import { parseInputTopic } from '../shared/protocol/topics.ts';
import { inletId } from './admission.ts';
import type { ClientOf } from './connections.ts';
import type { BrokerCounters } from './counters.ts';
import { type KeptMessage, KeptSession } from './kept-session.ts';

/**
 * The sessions of the broker: one may be kept, that of the client id on which central takes frames in (admission.ts says
 * whose it is). Everybody else's ends with the connection. What is kept are frames with QoS 1, so that those which are
 * published while central restarts, or were on their way to it when it died, reach the next one.
 *
 * Aedes does it, except for the store: its own has no bound and no end, and sends again without DUP.
 */

/** Bounds of what is kept for central. */
export interface SessionLimits {
  /** Milliseconds after its connection ended; 0 keeps nothing. */
  readonly ms: number;
  readonly bytes: number;
}

/** A restart takes 3 to 10 s, and nobody wants pictures of an hour ago; so docs/decisions/0010. */
export const SESSION_LIMITS: SessionLimits = { ms: 60_000, bytes: 64e6 };

/** Below the 65 535 packet identifiers that a client may have under way. */
const MAX_MESSAGES = 10_000;
/** Unread bytes up to which what waits is written to a connection. */
const CATCH_UP_BYTES = 2 ** 20;

/** A message as Aedes stores it. */
interface StoredPacket extends KeptMessage {
  readonly cmd: 'publish';
  readonly brokerId: string;
  readonly qos: 1;
  readonly retain: false;
}

/** A message on its way, as Aedes shows it. */
interface Packet {
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

interface SessionClient extends ClientOf {
  readonly clean: boolean;
}

/** The part of an Aedes persistence (aedes-persistence 11) that is replaced or called here. */
export interface Persistence {
  outgoingEnqueueCombi(subscriptions: readonly { readonly clientId: string }[], packet: Packet): Promise<void>;
  outgoingUpdate(client: SessionClient, packet: Packet): Promise<void>;
  outgoingClearMessageId(client: SessionClient, packet: Packet): Promise<undefined>;
  outgoingStream(client: SessionClient): Readable;
  cleanSubscriptions(client: { readonly id: string }): Promise<void>;
}

/** What the sessions of a broker rest on. */
export interface SessionsOptions {
  readonly base: string;
  readonly limits: SessionLimits;
  readonly counters: BrokerCounters;
  readonly log: Log;
}

/** The sessions of one broker. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #complaints: Complaints;
  readonly #id: string;
  #persistence: Persistence | undefined;
  #session: KeptSession<StoredPacket> | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#complaints = new Complaints(options.log, () => performance.now());
    this.#id = inletId(options.base);
  }

  /** Milliseconds for which the session of a client id is kept, 0 for nearly all. */
  keptMs(clientId: string): number {
    return clientId === this.#id ? this.#options.limits.ms : 0;
  }

  /** Takes the store of messages under way out of a persistence and puts this one in its place. */
  attach(persistence: Persistence): void {
    this.#persistence = persistence;
    persistence.outgoingEnqueueCombi = async (subscriptions, packet) => {
      if (subscriptions.some(({ clientId }) => clientId === this.#id)) this.#keep(packet);
    };
    persistence.outgoingUpdate = async (client, packet) => this.#of(client)?.hand(client, packet);
    persistence.outgoingClearMessageId = async (client, { cmd, messageId }) => {
      // Asked for messages that are not forwarded, too: those stay.
      if (cmd === 'puback' && messageId !== undefined) this.#of(client)?.acknowledge(client, messageId);
      return undefined;
    };
    persistence.outgoingStream = (client) => this.#begin(client);
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
    const kept = packet.qos === 1 && this.#cameraOf(packet) !== undefined;
    return { now: kept ? session.passes(client, packet) : session.isReader(client), kept };
  }

  /** A client's connection ended: from now on its session is kept for a time. */
  gone(client: ClientOf): void {
    if (this.#session?.isReader(client) !== true) return;
    this.#session.leave(client);
    this.#expiry = setTimeout(() => this.#expire(), this.#options.limits.ms).unref();
  }

  /** Forgets everything. */
  stop(): void {
    clearTimeout(this.#expiry);
    this.#session = undefined;
  }

  /** The session of a client that asked for one. */
  #of({ id, clean }: SessionClient): KeptSession<StoredPacket> | undefined {
    return clean || id !== this.#id ? undefined : this.#session;
  }

  /** The camera whose frame a message is; nothing else is kept. */
  #cameraOf({ topic }: Packet): string | undefined {
    return parseInputTopic(this.#options.base, topic)?.camera;
  }

  #begin(client: SessionClient): Readable {
    if (client.id !== this.#id) return Readable.from([]);
    clearTimeout(this.#expiry);
    if (client.clean) {
      // Who asks for a clean session ends the one before (MQTT-3.1.2-6).
      this.#end();
      return Readable.from([]);
    }
    this.#session ??= new KeptSession({ bytes: this.#options.limits.bytes, messages: MAX_MESSAGES });
    const { messages, bytes } = this.#session.held;
    if (messages > 0) this.#options.log.info('central is back, and gets what was kept for it', { messages, bytes });
    return Readable.from(this.#session.begin(client, () => roomIn(client)));
  }

  #keep(packet: Packet): void {
    const { counters } = this.#options;
    const owner = this.#cameraOf(packet);
    if (this.#session === undefined || owner === undefined) return;
    const { brokerId, brokerCounter, topic } = packet;
    const payload = ownBytes(packet.payload);
    const stored = { cmd: 'publish', brokerId, brokerCounter, topic, payload, qos: 1, retain: false } as const;
    const dropped = this.#session.keep(owner, { ...stored, dup: false });
    if (dropped === 0) return;
    counters.droppedKept += dropped;
    const { messages, bytes } = this.#session.held;
    const text = 'frames that central has not acknowledged are dropped, because too many are kept for it';
    this.#complaints.warn('kept', text, { camera: owner, messages, bytes });
  }

  #expire(): void {
    const { limits, log } = this.#options;
    const messages = this.#end();
    void this.#persistence?.cleanSubscriptions({ id: this.#id });
    if (messages === 0) return;
    const text = `central has been away for ${limits.ms / 1000} s: the frames that were kept for it are dropped`;
    log.warn(text, { messages });
  }

  /** Ends the session; returns how many messages it had. */
  #end(): number {
    const { messages = 0 } = this.#session?.held ?? {};
    this.#session = undefined;
    this.#options.counters.droppedKept += messages;
    return messages;
  }
}

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
