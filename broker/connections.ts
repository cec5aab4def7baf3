import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type LogThrottle, plainName } from '../shared/log-throttle.ts';
import { describeIdentity, userOf } from './authentication.ts';
import type { BrokerCounters } from './counters.ts';
import { PacketLimit } from './packet-limit.ts';
import type { Identity } from './policy.ts';
import { neverWaits } from './slow-readers.ts';
import { UnauthenticatedConnections } from './unauthenticated.ts';

/**
 * The connections that stand, and the guards that lie on each of them before the broker reads its first byte: how many
 * there may be, how large a packet, how long somebody may not read.
 */

/** Before a connection is authenticated it has no business with large packets. */
export const FIRST_PACKET_BYTES = 64 * 1024;

/** The client id that Aedes gives to a client without one; another one each time. */
const GENERATED = /^aedes_[0-9a-f-]{36}$/;

/** Where a connection comes from. */
export interface Origin {
  /** What lies below it: the same, or under a WebSocket. */
  readonly socket?: Socket;
  readonly remote: string | undefined;
  readonly trusted: boolean;
  readonly inside?: boolean;
}

/** What is known of a connection. */
export interface Connection {
  readonly socket: Socket | undefined;
  readonly remote: string;
  /** From this machine, and not from some web page that a browser on it shows. */
  readonly trusted: boolean;
  readonly inside: boolean;
  /** The name in its client certificate. */
  readonly certificate: string | undefined;
  readonly packetLimit: PacketLimit;
  identity?: Identity;
  /** Bulk for it was dropped, which is said once. */
  lossy: boolean;
}

/** A client as far as it is needed to know whose it is. */
export interface ClientOf {
  readonly id: string;
  readonly conn: Duplex;
}

/** What guards a connection. */
export interface ConnectionLimits {
  /** Of clients that have said who they are. */
  readonly maximumConnections: number;
  /** Bytes. */
  readonly maximumPacketSize: number;
  readonly stallMs: number;
}

/** What a connection's end is about, where the broker has said it already. */
export class ReportedError extends Error {}

/** All connections of a broker. */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #counters: BrokerCounters;
  readonly #throttledLog: LogThrottle;
  readonly #unauthenticated: UnauthenticatedConnections;
  readonly #open = new Set<Duplex>();
  readonly #standing = new Set<Duplex>();
  /** Kept beyond the connection's end: the last will of a client is judged by its identity too. */
  readonly #known = new WeakMap<Duplex, Connection>();
  #full = false;

  constructor(limits: ConnectionLimits, counters: BrokerCounters, throttledLog: LogThrottle) {
    this.#limits = limits;
    this.#counters = counters;
    this.#throttledLog = throttledLog;
    this.#unauthenticated = new UnauthenticatedConnections((remote, why) => {
      counters.closed.unauthenticated += 1;
      throttledLog.info(`silent ${remote}`, `a connection was closed: ${why}`, { remote });
    });
  }

  /** A connection is accepted: from now on it has a time to say who it is. */
  arrived(socket: Socket): void {
    if (this.#full) socket.destroy();
    else this.#unauthenticated.add(socket);
  }

  /** Somebody has said who he is; false where he is one too many. */
  stands({ conn }: Pick<ClientOf, 'conn'>): boolean {
    if (this.#standing.size >= this.#limits.maximumConnections) return false;
    this.#standing.add(conn);
    const socket = this.of({ conn })?.socket;
    if (socket !== undefined) this.#unauthenticated.delete(socket);
    return true;
  }

  /** Puts the guards on a connection; false where the broker stops, and it was destroyed. */
  take(conn: Duplex, { socket, remote = '?', trusted, inside = false }: Origin): boolean {
    const { maximumPacketSize, stallMs } = this.#limits;
    if (this.#full) {
      this.#counters.refused.connections += 1;
      conn.destroy();
      return false;
    }
    const packetLimit = new PacketLimit(Math.min(maximumPacketSize, FIRST_PACKET_BYTES));
    const certificate = socket === undefined ? undefined : certificateName(socket);
    const connection: Connection = { socket, remote, trusted, inside, certificate, packetLimit, lossy: false };
    this.#known.set(conn, connection);
    this.#open.add(conn);
    this.#counters.connections = this.#open.size;
    conn.once('close', () => {
      this.#open.delete(conn);
      this.#standing.delete(conn);
      this.#counters.connections = this.#open.size;
    });
    neverWaits(conn);
    meterReads(conn, packetLimit, (fault) => {
      this.#counters.refused.packets += 1;
      const fields = { remote, user: describeIdentity(connection.identity) };
      this.#throttledLog.warn(`packet ${remote} ${fields.user}`, `a connection was closed: ${fault}`, fields);
    });
    // Node restarts this timer whenever the kernel takes bytes, so it sees a reader that stands still, not a slow one.
    socket?.setTimeout(stallMs, () => {
      if (socket.writableLength > 0 || conn.writableLength > 0) this.closeSlow(conn);
    });
    return true;
  }

  /** What is known of the connection of a client, also when it has ended. */
  of({ conn }: Pick<ClientOf, 'conn'>): Connection | undefined {
    return this.#known.get(conn);
  }

  /** A client in words, for logs. */
  who(client: ClientOf): { client: string; user: string; remote: string | undefined } {
    const { remote, identity } = this.of(client) ?? {};
    const isNamed = client.id !== null && !GENERATED.test(client.id);
    return { client: isNamed ? plainName(client.id) : 'without an id', user: describeIdentity(identity), remote };
  }

  /** Closes the connection of somebody who does not read. */
  closeSlow(conn: Duplex): void {
    if (conn.destroyed) return;
    this.#counters.closed.slow_readers += 1;
    const { remote, identity } = this.of({ conn }) ?? {};
    const fields = { remote, user: describeIdentity(identity), waiting: conn.writableLength };
    this.#throttledLog.warn(
      `slow ${remote} ${fields.user}`,
      'a connection was closed: the client does not read',
      fields,
    );
    conn.destroy();
  }

  /** Closes every connection of a user; returns how many there were. */
  expel(user: string): number {
    const theirs = [...this.#open].filter((conn) => userOf(this.of({ conn })?.identity) === user);
    for (const conn of theirs) conn.destroy();
    return theirs.length;
  }

  /** Takes no more. */
  refuseAll(): void {
    this.#full = true;
  }

  /** Closes all. */
  closeAll(): void {
    for (const conn of this.#open) conn.destroy();
    this.#unauthenticated.stop();
  }
}

/** The name (CN) in a client certificate that TLS has verified. */
function certificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  // A certificate without a name, or with several, is that of nobody.
  return subject === undefined ? undefined : typeof subject.CN === 'string' ? subject.CN : '';
}

/** Lets `packetLimit` see every byte that is read; the connection is destroyed at the first fault. */
function meterReads(conn: Duplex, packetLimit: PacketLimit, onFault: (fault: string) => void): void {
  const read = conn.read.bind(conn);
  conn.read = (size?: number) => {
    const chunk: Buffer | null = read(size);
    const fault = chunk === null ? undefined : packetLimit.feed(chunk);
    if (fault === undefined) return chunk;
    onFault(fault);
    conn.destroy();
    return null;
  };
}
