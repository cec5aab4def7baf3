import { Readable } from 'node:stream';
import { Complaints, plainName } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import type { Packet, Persistence, SessionClient, StoredPacket } from './aedes-session-store.ts';
import { type FoundSession, GuestStore, type StoredSession } from './client-session-store.ts';
import type { ClientOf } from './connections.ts';
import type { BrokerCounters } from './counters.ts';
import { KeptSession } from './persistent-session.ts';
import { isBulk } from './policy.ts';

/**
 * Sessions of clients that asked for one (MQTT 3.1.1, clean session 0) and are not central: apps that want every result
 * though they come and go. MQTT 3.1.1 knows neither bound nor end for them; here they have both.
 *
 *   none --connects, and there is room--> here --connection ends--> away --connects--> here
 *   away --`ms`, or somebody else needs the place--> none      here, away --asks for a clean session, is thrown out--> none
 *
 *   1. A session is its user's: who comes under the same client id as somebody else ends it and finds nothing.
 *   2. It holds messages with QoS 1 (QoS 2 becomes 1) for subscriptions with QoS 1 or 2; never frames and what nodes and
 *      central say to each other, which is large and soon old.
 *   3. At most `messages` and `messageBytes` wait in one, `bytes` in all; beyond that the oldest is dropped, and that said.
 *   4. Where there is a folder for them they outlive the broker (guest-store.ts), and their time goes on meanwhile.
 */

/** Bounds of the sessions of others. */
export interface GuestLimits {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly messages: number;
  readonly messageBytes: number;
  readonly bytes: number;
  readonly ms: number;
}

/** A results stream of 20 a second for nearly a minute, or a day of a door that is opened now and then. */
export const GUEST_LIMITS: GuestLimits = {
  sessions: 100,
  subscriptions: 100,
  messages: 1000,
  messageBytes: 4e6,
  bytes: 32e6,
  ms: 3600_000,
};

interface Guest {
  readonly id: string;
  /** The user in words, as policy.ts says it. */
  readonly owner: string;
  readonly kept: KeptSession<StoredPacket>;
  /** Filters with their QoS. */
  readonly subscriptions: Map<string, number>;
  expiry: NodeJS.Timeout | undefined;
  /** Since when its client is away, Unix ms. */
  awaySince: number | undefined;
  /** On the disk. */
  stored: StoredSession | undefined;
}

/** Whether a client has the right to a filter. */
export type MayRead = (client: ClientOf, filter: string) => boolean;

/** All sessions of others, the one that was used last at the end. */
export class GuestSessions {
  readonly #base: string;
  readonly #limits: GuestLimits;
  readonly #counters: BrokerCounters;
  readonly #log: Log;
  readonly #complaints: Complaints;
  readonly #guests = new Map<string, Guest>();
  readonly #connected = new Map<string, ClientOf>();
  #persistence: Persistence | undefined;
  #store: GuestStore | undefined;
  #bytes = 0;

  constructor(options: { base: string; counters: BrokerCounters; log: Log }, limits: GuestLimits = GUEST_LIMITS) {
    this.#base = options.base;
    this.#counters = options.counters;
    this.#log = options.log;
    this.#complaints = new Complaints(options.log, () => performance.now());
    this.#limits = limits;
  }

  /**
   * Sessions are told of subscriptions that change in `persistence`. Aedes stores all of a packet when one of them is
   * granted: those that a client has no right to are left out here, or it would get what comes while it is away.
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

  /** Keeps sessions in `folder` too, and takes up those of an earlier run; `packet` makes a message of this run. */
  keepIn(folder: string, packet: (topic: string, payload: Buffer) => StoredPacket): void {
    const onFault = (text: string, error: unknown): void => {
      const why = error === undefined ? '' : `: ${(error as Error).message}`;
      this.#complaints.warn(`store ${text}`, `${text}${why}`, { folder });
    };
    const opened = GuestStore.open(folder, this.#limits, onFault);
    this.#store = opened?.store;
    const now = Date.now();
    // Those that were here when the broker ended are away since now.
    const found = (opened?.found ?? []).map((session) => ({ ...session, awaySince: session.awaySince ?? now }));
    let old = 0;
    for (const [i, session] of found.sort((a, b) => a.awaySince - b.awaySince).entries()) {
      // A clock that was set back makes no session last longer.
      const left = Math.min(this.#limits.ms, session.awaySince + this.#limits.ms - now);
      if (left > 0 && found.length - i <= this.#limits.sessions) this.#takeUp(session, left, packet);
      else {
        old += 1;
        for (const { number } of session.messages) session.stored.adopt(number, number);
        session.stored.end();
      }
    }
    if (this.#guests.size > 0 || old > 0)
      this.#log.info('sessions of an earlier run are kept', { sessions: this.#guests.size, bytes: this.#bytes, old });
  }

  /** A client was let in; resolves with whether it has a session that is kept. */
  async admit(client: ClientOf, owner: string, asks: boolean): Promise<boolean> {
    const { id } = client;
    const before = this.#guests.get(id);
    if (before !== undefined && (!asks || before.owner !== owner)) await this.end(id);
    if (!asks) return false;
    if (!this.#guests.has(id)) {
      if (this.#guests.size >= this.#limits.sessions && !(await this.#makeRoom())) {
        const text = `a session is not kept: ${this.#limits.sessions} are, and all of their clients are connected`;
        this.#complaints.warn(`full ${owner}`, text, { client: plainName(id), user: owner });
        return false;
      }
      this.#add(id, owner, this.#store?.begin());
      this.#log.debug('a session is kept', { client: plainName(id), user: owner });
    }
    const guest = this.#guests.get(id)!;
    clearTimeout(guest.expiry);
    guest.expiry = undefined;
    guest.awaySince = undefined;
    this.#guests.delete(id);
    this.#guests.set(id, guest);
    this.#connected.set(id, client);
    this.#write(guest);
    return true;
  }

  /** The session of a client that has one. */
  of({ id, clean }: SessionClient): KeptSession<StoredPacket> | undefined {
    return clean ? undefined : this.#guests.get(id)?.kept;
  }

  /** Keeps a message for those whose subscriptions it matches. */
  keep(clientIds: Iterable<string>, packet: Packet, stored: () => StoredPacket): void {
    if (packet.qos === 0 || packet.topic.startsWith(`${this.#base}-wire/`) || isBulk(this.#base, packet.topic)) return;
    for (const id of new Set(clientIds)) {
      const guest = this.#guests.get(id);
      if (guest === undefined) continue;
      const message = stored();
      guest.stored?.put(message);
      this.#hold(guest, message, false);
    }
  }

  /** What waits for a client whose connection begins. */
  begin(client: SessionClient, room: () => Promise<void>): Readable {
    const kept = this.of(client);
    return Readable.from(kept === undefined ? [] : kept.begin(client, room));
  }

  /** A client's session has less, since it acknowledged something. */
  acknowledge(client: SessionClient, messageId: number): void {
    const guest = this.#guests.get(client.id);
    if (guest !== undefined && !client.clean) this.#count(guest, () => guest.kept.acknowledge(client, messageId));
  }

  /** A client's connection ended. */
  gone(client: ClientOf): void {
    const { id } = client;
    if (this.#connected.get(id) !== client) return;
    this.#connected.delete(id);
    const guest = this.#guests.get(id);
    if (guest === undefined) return;
    guest.kept.leave(client);
    guest.awaySince = Date.now();
    if (guest.subscriptions.size > this.#limits.subscriptions) {
      const text = `a session is not kept: it has more than ${this.#limits.subscriptions} subscriptions`;
      this.#complaints.warn(`subscriptions ${id}`, text, { client: plainName(id) });
      void this.end(id);
      return;
    }
    this.#write(guest);
    this.#awaitEnd(guest, this.#limits.ms);
  }

  /** Ends the sessions of a user. */
  async endOf(owner: string): Promise<void> {
    for (const guest of [...this.#guests.values()]) if (guest.owner === owner) await this.end(guest.id);
  }

  /** Ends a session. */
  async end(id: string): Promise<void> {
    const guest = this.#guests.get(id);
    if (guest === undefined) return;
    clearTimeout(guest.expiry);
    this.#bytes -= guest.kept.held.bytes;
    this.#guests.delete(id);
    this.#connected.delete(id);
    guest.stored?.end();
    await this.#persistence?.cleanSubscriptions({ id });
    await this.#persistence?.cleanIncoming?.({ id });
  }

  /** Forgets everything that is not on the disk. */
  stop(): void {
    for (const { expiry } of this.#guests.values()) clearTimeout(expiry);
    this.#guests.clear();
    this.#connected.clear();
    this.#bytes = 0;
    this.#store?.close();
    this.#store = undefined;
  }

  #add(id: string, owner: string, stored: StoredSession | undefined): Guest {
    const { messages, messageBytes } = this.#limits;
    const kept = new KeptSession<StoredPacket>({ messages, bytes: messageBytes }, stored);
    const guest: Guest = { id, owner, kept, stored, subscriptions: new Map(), expiry: undefined, awaySince: undefined };
    this.#guests.set(id, guest);
    return guest;
  }

  #takeUp(session: FoundSession, left: number, packet: (topic: string, payload: Buffer) => StoredPacket): void {
    const { id, owner, subscriptions, awaySince, stored, messages } = session;
    const guest = this.#add(id, owner, stored);
    guest.awaySince = awaySince;
    for (const { topic, qos } of subscriptions) guest.subscriptions.set(topic, qos);
    this.#write(guest);
    void this.#persistence?.addSubscriptions({ id }, subscriptions);
    for (const { number, topic, payload, wasSent } of messages) {
      const message = packet(topic, payload);
      stored.adopt(message.brokerCounter, number);
      this.#hold(guest, message, wasSent);
    }
    this.#awaitEnd(guest, left);
  }

  #hold(guest: Guest, message: StoredPacket, wasSent: boolean): void {
    this.#count(guest, () => this.#dropped(guest, guest.kept.keep('', message, 0, wasSent)));
    while (this.#bytes > this.#limits.bytes) {
      const fullest = [...this.#guests.values()].reduce((a, b) => (b.kept.held.bytes > a.kept.held.bytes ? b : a));
      if (this.#count(fullest, () => this.#dropped(fullest, fullest.kept.dropOldest())) === 0) break;
    }
  }

  #subscribed(id: string, change: (all: Map<string, number>) => void): void {
    const guest = this.#guests.get(id);
    if (guest === undefined) return;
    change(guest.subscriptions);
    this.#write(guest);
  }

  #write({ id, owner, subscriptions, awaySince, stored }: Guest): void {
    const all = [...subscriptions].map(([topic, qos]) => ({ topic, qos }));
    stored?.write({ id, owner, subscriptions: all, awaySince });
  }

  #awaitEnd(guest: Guest, ms: number): void {
    guest.expiry = setTimeout(() => void this.#expire(guest), ms).unref();
  }

  /** The place of the session whose client has been away longest. */
  async #makeRoom(): Promise<boolean> {
    for (const { id } of this.#guests.values()) {
      if (this.#connected.has(id)) continue;
      this.#complaints.warn('places', 'a session is ended, because its place is needed', { client: plainName(id) });
      await this.end(id);
      return true;
    }
    return false;
  }

  async #expire({ id, kept }: Guest): Promise<void> {
    const { messages } = kept.held;
    await this.end(id);
    const text = `a client has been away for ${this.#limits.ms / 60_000} minutes: its session has ended`;
    this.#complaints.info(`expired ${id}`, text, { client: plainName(id), messages });
  }

  #dropped({ id }: Guest, count: number): number {
    if (count === 0) return 0;
    this.#counters.droppedForSessions += count;
    const text = 'messages for a client that is away are dropped, because too many wait';
    this.#complaints.warn(`dropped ${id}`, text, { client: plainName(id) });
    return count;
  }

  #count<T>({ kept }: Guest, change: () => T): T {
    const before = kept.held.bytes;
    const result = change();
    this.#bytes += kept.held.bytes - before;
    return result;
  }
}
