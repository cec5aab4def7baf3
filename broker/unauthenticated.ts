import type { Socket } from 'node:net';

/**
 * Connections that are not authenticated yet: sockets that are silent, send a byte now and then, never end their TLS
 * handshake, or never finish a WebSocket request. They cost authenticated clients nothing, and new ones little:
 *
 *   1. Each has `ms` to authenticate, whatever it sends.
 *   2. At most `perAddress` of one address wait, and `total` in all. Above that the one that has waited longest is
 *      closed, of that address or of all, and never the newest: an honest client authenticates within milliseconds.
 */

/** Bounds of unauthenticated connections. */
export interface UnauthenticatedLimits {
  readonly perAddress: number;
  readonly total: number;
  readonly ms: number;
}

/** Enough for a hundred nodes behind one address that reconnect within seconds, in milliseconds each. */
export const UNAUTHENTICATED_LIMITS: UnauthenticatedLimits = { perAddress: 64, total: 256, ms: 10_000 };

interface Arrival {
  readonly socket: Socket;
  readonly remote: string;
  readonly network: string;
  readonly timer: NodeJS.Timeout;
}

/** All unauthenticated connections, the oldest first. */
export class UnauthenticatedConnections {
  readonly #limits: UnauthenticatedLimits;
  readonly #onClosed: (remote: string, why: string) => void;
  readonly #arrivals = new Map<string, Arrival>();
  readonly #counts = new Map<string, number>();

  /** `onClosed` is told of each that is closed here. */
  constructor(onClosed: (remote: string, why: string) => void, limits = UNAUTHENTICATED_LIMITS) {
    this.#limits = limits;
    this.#onClosed = onClosed;
  }

  get size(): number {
    return this.#arrivals.size;
  }

  add(socket: Socket): void {
    const { perAddress, total, ms } = this.#limits;
    const remote = socket.remoteAddress;
    // It is gone already.
    if (remote === undefined) return;
    const key = keyOf(socket);
    const network = networkOf(remote);
    const timer = setTimeout(() => this.#close(key, `its client did not authenticate within ${ms / 1000} s`), ms);
    timer.unref();
    this.#forget(key);
    this.#arrivals.set(key, { socket, remote, network, timer });
    this.#counts.set(network, (this.#counts.get(network) ?? 0) + 1);
    socket.once('close', () => {
      if (this.#arrivals.get(key)?.socket === socket) this.#forget(key);
    });
    const why = 'too many connections are not authenticated, and it had waited longest';
    if (this.#counts.get(network)! > perAddress) this.#close(this.#oldest(network), why);
    else if (this.#arrivals.size > total) this.#close(this.#oldest(), why);
  }

  /** A connection is authenticated; `socket` may be the TLS socket over the one that was added. */
  delete(socket: Socket): void {
    this.#forget(keyOf(socket));
  }

  /** Closes all. */
  stop(): void {
    for (const [key, { socket }] of [...this.#arrivals]) {
      this.#forget(key);
      socket.destroy();
    }
  }

  #oldest(network?: string): string {
    for (const [key, arrival] of this.#arrivals) if (network === undefined || arrival.network === network) return key;
    return '';
  }

  #close(key: string, why: string): void {
    const arrival = this.#arrivals.get(key);
    if (arrival === undefined) return;
    this.#forget(key);
    arrival.socket.destroy();
    this.#onClosed(arrival.remote, why);
  }

  #forget(key: string): void {
    const arrival = this.#arrivals.get(key);
    if (arrival === undefined) return;
    clearTimeout(arrival.timer);
    this.#arrivals.delete(key);
    const count = this.#counts.get(arrival.network)! - 1;
    if (count === 0) this.#counts.delete(arrival.network);
    else this.#counts.set(arrival.network, count);
  }
}

/** The key of a connection, the same on every layer. */
const keyOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;

/** The network of an address: the owner of an IPv6 address has as many as it likes, with the same first half. */
const networkOf = (address: string): string =>
  /^::ffff:\d+\./.test(address) || !address.includes(':') ? address : address.split(':').slice(0, 4).join(':');
