import { LogThrottle, plainName } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import type { Packet, Persistence, SessionClient } from './aedes-parts.ts';
import { CLIENT_SESSION_LIMITS, ClientSession, type ClientSessionLimits } from './client-session.ts';
import { ClientSessionStore, type FoundSession, type StoredSession } from './client-session-store.ts';
import type { ClientOf } from './connections.ts';
import type { BrokerCounters } from './counters.ts';
import type { PersistentSession } from './persistent-session.ts';
import { isBulk } from './policy.ts';
import type { StoredPacket } from './stored-packet.ts';

/**
 * Persistent sessions of clients other than central (MQTT 3.1.1, clean session 0): of apps that want every result
 * though they come and go. MQTT 3.1.1 gives sessions neither bound nor expiry; here they have both.
 *
 *   none --connects, and there is room--> connected --connection ends--> away --connects--> connected
 *   away --`ms`, or its place is needed--> none      connected, away --clean session, access revoked--> none
 *
 *   1. A session belongs to a user: another user under the same client id ends it and gets none of its messages.
 *   2. It queues messages with QoS 1 (QoS 2 becomes 1) for subscriptions with QoS 1 or 2, but neither frames nor wire
 *      messages, which are large and soon out of date.
 *   3. At most `messages` and `messageBytes` are queued in one session, `bytes` in all; above that the oldest message
 *      is dropped, which is logged.
 *   4. Where the broker has a folder, sessions outlive it (client-session-store.ts); their time runs while it is down.
 */

/** Whether a client has the right to a filter. */
export type MayRead = (client: ClientOf, filter: string) => boolean;

/** All sessions of clients other than central, the one used last at the end. */
export class ClientSessions {
  readonly #base: string;
  readonly #limits: ClientSessionLimits;
  readonly #counters: BrokerCounters;
  readonly #log: Log;
  readonly #throttledLog: LogThrottle;
  readonly #sessions = new Map<string, ClientSession>();
  readonly #connected = new Map<string, ClientOf>();
  #persistence: Persistence | undefined;
  #store: ClientSessionStore | undefined;
  #bytes = 0;

  constructor(
    options: { base: string; counters: BrokerCounters; log: Log },
    limits: ClientSessionLimits = CLIENT_SESSION_LIMITS,
  ) {
    this.#base = options.base;
    this.#counters = options.counters;
    this.#log = options.log;
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
    this.#limits = limits;
  }

  /**
   * Follows changes of subscriptions in `persistence`. Aedes stores all subscriptions of a packet when it grants one of
   * them; those that the client has no right to are left out here, so that it gets none of their messages later.
   */
  attach(persistence: Persistence, mayRead: MayRead): void {
    this.#persistence = persistence;
    const { addSubscriptions, removeSubscriptions } = persistence;
    persistence.addSubscriptions = async (client, asked) => {
      const here = this.#connected.get(client.id);
      const added = here === client ? asked.filter(({ topic }) => mayRead(here, topic)) : asked;
      await addSubscriptions.call(persistence, client, added);
      this.#subscribed(client.id, (all) => {
        for (const { topic, qos } of added) all.set(topic, qos);
      });
    };
    persistence.removeSubscriptions = async (client, removed) => {
      await removeSubscriptions.call(persistence, client, removed);
      this.#subscribed(client.id, (all) => {
        for (const topic of removed) all.delete(topic);
      });
    };
  }

  /** Stores sessions in `folder` too and loads those of an earlier run; `packet` makes a message of this run. */
  keepIn(folder: string, packet: (topic: string, payload: Buffer) => StoredPacket): void {
    const onFault = (text: string, error: unknown): void => {
      const why = error === undefined ? '' : `: ${(error as Error).message}`;
      this.#throttledLog.warn(`store ${text}`, `${text}${why}`, { folder });
    };
    const opened = ClientSessionStore.open(folder, this.#limits, onFault);
    this.#store = opened?.store;
    const now = Date.now();
    // Clients that were connected when the broker ended are away from now on.
    const found = (opened?.found ?? []).map((session) => ({ ...session, awaySince: session.awaySince ?? now }));
    let old = 0;
    for (const [i, session] of found.sort((a, b) => a.awaySince - b.awaySince).entries()) {
      // A clock that was set back must not prolong a session.
      const left = Math.min(this.#limits.ms, session.awaySince + this.#limits.ms - now);
      if (left > 0 && found.length - i <= this.#limits.sessions) this.#takeUp(session, left, packet);
      else {
        old += 1;
        for (const { number } of session.messages) session.stored.adopt(number, number);
        session.stored.end();
      }
    }
    if (this.#sessions.size > 0 || old > 0)
      this.#log.info('loaded the sessions of an earlier run', {
        sessions: this.#sessions.size,
        bytes: this.#bytes,
        old,
      });
  }

  /** A client authenticated; resolves with whether its session is persistent. */
  async admit(client: ClientOf, owner: string, asks: boolean): Promise<boolean> {
    const { id } = client;
    const before = this.#sessions.get(id);
    if (before !== undefined && (!asks || before.owner !== owner)) await this.end(id);
    if (!asks) return false;
    if (!this.#sessions.has(id)) {
      if (this.#sessions.size >= this.#limits.sessions && !(await this.#makeRoom())) {
        const text = `a session is not persistent: all ${this.#limits.sessions} places belong to connected clients`;
        this.#throttledLog.warn(`full ${owner}`, text, { client: plainName(id), user: owner });
        return false;
      }
      this.#add(id, owner, this.#store?.begin());
      this.#log.debug('a session is persistent', { client: plainName(id), user: owner });
    }
    const session = this.#sessions.get(id)!;
    session.stay();
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    this.#connected.set(id, client);
    session.write();
    return true;
  }

  /** The session of a client that has a persistent one. */
  of({ id, clean }: SessionClient): PersistentSession<StoredPacket> | undefined {
    return clean ? undefined : this.#sessions.get(id)?.queue;
  }

  /** Queues a message in the sessions of `ids`. */
  keep(clientIds: Iterable<string>, packet: Packet, stored: () => StoredPacket): void {
    if (packet.qos === 0 || packet.topic.startsWith(`${this.#base}-wire/`) || isBulk(this.#base, packet.topic)) return;
    for (const id of new Set(clientIds)) {
      const session = this.#sessions.get(id);
      if (session === undefined) continue;
      const message = stored();
      session.put(message);
      this.#hold(session, message, false);
    }
  }

  /** A client connected: the messages queued for it, one by one; `room` resolves when the connection takes more. */
  begin(client: SessionClient, room: () => Promise<void>): Iterable<StoredPacket> | AsyncIterable<StoredPacket> {
    const queue = this.of(client);
    return queue === undefined ? [] : queue.begin(client, room);
  }

  /** A client acknowledged a message. */
  acknowledge(client: SessionClient, messageId: number): void {
    const session = this.#sessions.get(client.id);
    if (session !== undefined && !client.clean)
      this.#count(session, () => session.queue.acknowledge(client, messageId));
  }

  /** A client's connection ended: its session expires after `ms`. */
  gone(client: ClientOf): void {
    const { id } = client;
    if (this.#connected.get(id) !== client) return;
    this.#connected.delete(id);
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.queue.leave(client);
    session.awaySince = Date.now();
    if (session.subscriptions.size > this.#limits.subscriptions) {
      const text = `a session is not persistent: it has more than ${this.#limits.subscriptions} subscriptions`;
      this.#throttledLog.warn(`subscriptions ${id}`, text, { client: plainName(id) });
      void this.end(id);
      return;
    }
    session.write();
    this.#awaitEnd(session, this.#limits.ms);
  }

  /** Ends the sessions of a user. */
  async endOf(owner: string): Promise<void> {
    for (const session of [...this.#sessions.values()]) if (session.owner === owner) await this.end(session.id);
  }

  /** Ends a session. */
  async end(id: string): Promise<void> {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.end();
    this.#bytes -= session.queue.held.bytes;
    this.#sessions.delete(id);
    this.#connected.delete(id);
    await this.#persistence?.cleanSubscriptions({ id });
    await this.#persistence?.cleanIncoming?.({ id });
  }

  /** Forgets everything that is not on disk. */
  stop(): void {
    for (const session of this.#sessions.values()) session.stop();
    this.#sessions.clear();
    this.#connected.clear();
    this.#bytes = 0;
    this.#store?.close();
    this.#store = undefined;
  }

  #add(id: string, owner: string, stored: StoredSession | undefined): ClientSession {
    const session = new ClientSession(id, owner, this.#limits, stored);
    this.#sessions.set(id, session);
    return session;
  }

  #takeUp(found: FoundSession, left: number, packet: (topic: string, payload: Buffer) => StoredPacket): void {
    const { id, owner, subscriptions, awaySince, stored, messages } = found;
    const session = this.#add(id, owner, stored);
    session.awaySince = awaySince;
    for (const { topic, qos } of subscriptions) session.subscriptions.set(topic, qos);
    session.write();
    void this.#persistence?.addSubscriptions({ id }, subscriptions);
    for (const { number, topic, payload, wasSent } of messages) {
      const message = packet(topic, payload);
      stored.adopt(message.brokerCounter, number);
      this.#hold(session, message, wasSent);
    }
    this.#awaitEnd(session, left);
  }

  #hold(session: ClientSession, message: StoredPacket, wasSent: boolean): void {
    this.#count(session, () => this.#dropped(session, session.queue.keep('', message, 0, wasSent)));
    while (this.#bytes > this.#limits.bytes) {
      const fullest = [...this.#sessions.values()].reduce((a, b) => (b.queue.held.bytes > a.queue.held.bytes ? b : a));
      if (this.#count(fullest, () => this.#dropped(fullest, fullest.queue.dropOldest())) === 0) break;
    }
  }

  #subscribed(id: string, change: (all: Map<string, number>) => void): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    change(session.subscriptions);
    session.write();
  }

  #awaitEnd(session: ClientSession, ms: number): void {
    session.expireIn(ms, () => void this.#expire(session));
  }

  /** Ends the session whose client has been away longest; false where all are connected. */
  async #makeRoom(): Promise<boolean> {
    for (const { id } of this.#sessions.values()) {
      if (this.#connected.has(id)) continue;
      this.#throttledLog.warn('places', 'a session was ended, because another client needed its place', {
        client: plainName(id),
      });
      await this.end(id);
      return true;
    }
    return false;
  }

  async #expire({ id, queue }: ClientSession): Promise<void> {
    const { messages } = queue.held;
    await this.end(id);
    const text = `a client has been away for ${this.#limits.ms / 60_000} minutes: its session has ended`;
    this.#throttledLog.info(`expired ${id}`, text, { client: plainName(id), messages });
  }

  #dropped({ id }: ClientSession, count: number): number {
    if (count === 0) return 0;
    this.#counters.dropped.client_sessions += count;
    const text = 'messages for an absent client are dropped, because too many are queued';
    this.#throttledLog.warn(`dropped ${id}`, text, { client: plainName(id) });
    return count;
  }

  #count<T>({ queue }: ClientSession, change: () => T): T {
    const before = queue.held.bytes;
    const result = change();
    this.#bytes += queue.held.bytes - before;
    return result;
  }
}
