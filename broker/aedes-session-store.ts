import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { AedesParts, Packet, SessionClient } from './aedes-parts.ts';
import { CentralSession, type CentralSessionOptions, type PassesNow, type Taken } from './central-session.ts';
import type { ClientSessionLimits } from './client-session.ts';
import { ClientSessions, type MayRead } from './client-sessions.ts';
import type { ClientOf } from './connections.ts';
import type { PersistentSession } from './persistent-session.ts';
import { ownBytes, type StoredPacket, storedPacket } from './stored-packet.ts';

/**
 * The store of messages that Aedes has still to deliver: central's session (central-session.ts) and those of other
 * clients (client-sessions.ts) take the place of the store in its persistence, which has no bound and no expiry and
 * sends messages again without DUP.
 */

/** Unread bytes up to which waiting messages are written to a connection. */
const CATCH_UP_BYTES = 2 ** 20;

/** What the session store needs of the broker. */
export interface SessionStoreOptions extends CentralSessionOptions {
  readonly clientSessions?: ClientSessionLimits | undefined;
}

/** The sessions of one broker. */
export class AedesSessionStore {
  readonly #options: SessionStoreOptions;
  readonly #aedes: AedesParts;
  readonly #central: CentralSession;
  readonly #clients: ClientSessions;

  /** Takes the place of the store in `aedes.persistence`; `mayRead` decides on subscriptions. */
  constructor(options: SessionStoreOptions, aedes: AedesParts, mayRead: MayRead) {
    this.#options = options;
    this.#aedes = aedes;
    const { persistence } = aedes;
    this.#clients = new ClientSessions(options, options.clientSessions);
    this.#clients.attach(persistence, mayRead);
    this.#central = new CentralSession(options, persistence, aedes);
    // Frames are stored by `take`, before they are acknowledged.
    persistence.outgoingEnqueueCombi = async (subscriptions, packet) => {
      const { brokerCounter, topic, payload } = packet;
      let own: Buffer | undefined;
      const stored = (): StoredPacket => {
        own ??= ownBytes(payload);
        return storedPacket(aedes, brokerCounter, topic, own);
      };
      const ids = subscriptions.map(({ clientId }) => clientId);
      this.#clients.keep(ids, packet, stored);
    };
    persistence.outgoingUpdate = async (client, packet) => this.#of(client)?.hand(client, packet);
    persistence.outgoingClearMessageId = async (client, { cmd, messageId }) => {
      // Aedes calls this for messages that were not forwarded, too: those stay.
      if (cmd === 'puback' && messageId !== undefined) {
        if (this.#isCentral(client)) this.#of(client)?.acknowledge(client, messageId);
        else this.#clients.acknowledge(client, messageId);
      }
      return undefined;
    };
    persistence.outgoingStream = (client) => {
      const room = () => roomIn(client);
      return Readable.from(
        this.#isCentral(client) ? this.#central.begin(client, room) : this.#clients.begin(client, room),
      );
    };
  }

  /** Milliseconds for which a session of this client id expires; 0 for all but central's. */
  keptMs(clientId: string): number {
    return clientId === this.#central.clientId ? this.#options.limits.ms : 0;
  }

  /** A client authenticated; resolves with whether the session that it asks for is persistent. */
  admit(client: ClientOf, owner: string, asks: boolean): Promise<boolean> {
    if (this.#isCentral(client)) return Promise.resolve(asks && this.#options.limits.ms > 0);
    return this.#clients.admit(client, owner, asks);
  }

  /** Ends the sessions of a user. */
  endOf(owner: string): Promise<void> {
    return this.#clients.endOf(owner);
  }

  /**
   * Stores frames in `folder/name` too and other sessions in `folder/sessions/name`, and loads those of an earlier run.
   * Throws TESSERA_CONFIG where the folder for frames cannot be made.
   */
  keepIn(folder: string, name: string): void {
    this.#clients.keepIn(join(folder, 'sessions', name), (topic, payload) => {
      this.#aedes.counter += 1;
      return storedPacket(this.#aedes, this.#aedes.counter, topic, payload);
    });
    this.#central.keepIn(join(folder, name));
  }

  /** Stores a frame for central before it is acknowledged and routed; `number` gives the message its number. */
  take(packet: Omit<Packet, 'brokerId' | 'brokerCounter'>, number: () => number): Taken {
    return this.#central.take(packet, number);
  }

  /**
   * Whether a message goes to a client now, as far as its session decides. Retained messages go there with QoS 0,
   * because Aedes gives them packet identifiers of their own, and QoS 2 becomes QoS 1.
   */
  passes(client: SessionClient, packet: Packet): PassesNow {
    const session = this.#of(client);
    if (session === undefined) return { now: true, kept: false };
    if (packet.retain) packet.qos = 0;
    else if (packet.qos === 2) packet.qos = 1;
    if (this.#isCentral(client)) return this.#central.passes(session, client, packet);
    const kept = packet.qos === 1 && session.has(packet.brokerCounter);
    return { now: !kept || session.passes(client, packet), kept };
  }

  /** A connection ended: from now on the messages stored for its client expire. */
  gone(client: ClientOf): void {
    this.#clients.gone(client);
    this.#central.gone(client);
  }

  /** Forgets everything that is not on disk. */
  stop(): void {
    this.#clients.stop();
    this.#central.stop();
  }

  #isCentral({ id }: { readonly id: string }): boolean {
    return id === this.#central.clientId;
  }

  /** The session of a client that asked for one. */
  #of(client: SessionClient): PersistentSession<StoredPacket> | undefined {
    return this.#isCentral(client) ? this.#central.of(client) : this.#clients.of(client);
  }
}

/** Resolves when few enough bytes wait at a connection, or when it has ended. */
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
