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
 * The open connections, and the guards that each of them has before the broker reads its first byte: how many there may
 * be, how large a packet may be, how long a client may stop reading.
 */

/** The largest packet of an unauthenticated connection, bytes. */
export const FIRST_PACKET_BYTES = 64 * 1024;

/** The random client id that Aedes gives to a client without one. */
const GENERATED = /^aedes_[0-9a-f-]{36}$/;

/** The origin of a connection. */
export interface Origin {
  /** The TCP or TLS socket: the connection itself, or the one under a WebSocket. */
  readonly socket?: Socket;
  readonly remote: string | undefined;
  readonly trusted: boolean;
  readonly inside?: boolean;
}

/** The facts of a connection. */
export interface Connection {
  readonly socket: Socket | undefined;
  readonly remote: string;
  /** From this machine, and not from a web page in a browser on it. */
  readonly trusted: boolean;
  readonly inside: boolean;
  /** The name in its client certificate. */
  readonly certificate: string | undefined;
  readonly packetLimit: PacketLimit;
  identity?: Identity;
  /** Whether tensors or frames for it were dropped, which is logged once. */
  lossy: boolean;
}

/** A client's id and connection. */
export interface ClientOf {
  readonly id: string;
  readonly conn: Duplex;
}

/** Limits of connections. */
export interface ConnectionLimits {
  /** Of authenticated clients. */
  readonly maximumConnections: number;
  /** Bytes. */
  readonly maximumPacketSize: number;
  readonly stallMs: number;
}

/** The reason of a connection's end that was logged already. */
export class ReportedError extends Error {}

/** All connections of a broker. */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #counters: BrokerCounters;
  readonly #throttledLog: LogThrottle;
  readonly #unauthenticated: UnauthenticatedConnections;
  readonly #open = new Set<Duplex>();
  readonly #standing = new Set<Duplex>();
  /** Kept after the connection's end: the last will of a client is authorized by its identity, too. */
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

  /** A connection was accepted: from now on its client has limited time to authenticate. */
  arrived(socket: Socket): void {
    if (this.#full) socket.destroy();
    else this.#unauthenticated.add(socket);
  }

  /** A client authenticated; false where there are too many. */
  stands({ conn }: Pick<ClientOf, 'conn'>): boolean {
    if (this.#standing.size >= this.#limits.maximumConnections) return false;
    this.#standing.add(conn);
    const socket = this.of({ conn })?.socket;
    if (socket !== undefined) this.#unauthenticated.delete(socket);
    return true;
  }

  /** Puts the guards on a connection; false, and the connection destroyed, while the broker stops. */
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
    // Node restarts this timer whenever the kernel takes bytes: it fires for a reader that has stopped, not for a slow one.
    socket?.setTimeout(stallMs, () => {
      if (socket.writableLength > 0 || conn.writableLength > 0) this.closeSlow(conn);
    });
    return true;
  }

  /** The facts of a client's connection, also after its end. */
  of({ conn }: Pick<ClientOf, 'conn'>): Connection | undefined {
    return this.#known.get(conn);
  }

  /** A client as logs show it. */
  who(client: ClientOf): { client: string; user: string; remote: string | undefined } {
    const { remote, identity } = this.of(client) ?? {};
    const isNamed = client.id !== null && !GENERATED.test(client.id);
    return { client: isNamed ? plainName(client.id) : 'without an id', user: describeIdentity(identity), remote };
  }

  /** Closes the connection of a client that does not read. */
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

  /** Refuses new connections from now on. */
  refuseAll(): void {
    this.#full = true;
  }

  /** Closes all connections. */
  closeAll(): void {
    for (const conn of this.#open) conn.destroy();
    this.#unauthenticated.stop();
  }
}

/** The name (CN) in a client certificate that TLS has verified. */
function certificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  // A certificate without a name, or with several, is no user's.
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
