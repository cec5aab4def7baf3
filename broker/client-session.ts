import type { StoredSession } from './client-session-store.ts';
import { PersistentSession } from './persistent-session.ts';
import type { StoredPacket } from './stored-packet.ts';

/** Bounds of the sessions of clients other than central. */
export interface ClientSessionLimits {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly messages: number;
  readonly messageBytes: number;
  readonly bytes: number;
  readonly ms: number;
}

/** Enough for 20 results a second for nearly a minute, or a day of results of a rarely used door. */
export const CLIENT_SESSION_LIMITS: ClientSessionLimits = {
  sessions: 100,
  subscriptions: 100,
  messages: 1000,
  messageBytes: 4e6,
  bytes: 32e6,
  ms: 3600_000,
};

/** One session of a client other than central (client-sessions.ts). */
export class ClientSession {
  readonly id: string;
  /** The user as `describeIdentity` writes it. */
  readonly owner: string;
  readonly queue: PersistentSession<StoredPacket>;
  /** QoS by topic filter. */
  readonly subscriptions = new Map<string, number>();
  /** When its client disconnected, Unix ms; undefined while it is connected. */
  awaySince: number | undefined;
  /** The session's records on disk. */
  readonly #stored: StoredSession | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(id: string, owner: string, limits: ClientSessionLimits, stored: StoredSession | undefined) {
    this.id = id;
    this.owner = owner;
    this.#stored = stored;
    this.queue = new PersistentSession({ messages: limits.messages, bytes: limits.messageBytes }, stored);
  }

  /** Writes on disk whose session this is and what it subscribes to. */
  write(): void {
    const { id, owner, awaySince } = this;
    const subscriptions = [...this.subscriptions].map(([topic, qos]) => ({ topic, qos }));
    this.#stored?.write({ id, owner, subscriptions, awaySince });
  }

  /** Writes a message on disk. */
  put(message: StoredPacket): void {
    this.#stored?.put(message);
  }

  /** Calls `onEnd` after `ms` unless `stay` is called before. */
  expireIn(ms: number, onEnd: () => void): void {
    this.#expiry = setTimeout(onEnd, ms).unref();
  }

  /** Its client is connected again. */
  stay(): void {
    clearTimeout(this.#expiry);
    this.awaySince = undefined;
  }

  /** Removes it from the disk. */
  end(): void {
    clearTimeout(this.#expiry);
    this.#stored?.end();
  }

  /** Forgets it, except on disk. */
  stop(): void {
    clearTimeout(this.#expiry);
  }
}
