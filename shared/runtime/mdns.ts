import { networkInterfaces } from 'node:os';
import multicastDns from 'multicast-dns';
import {
  type Announced,
  type Announcement,
  announcementsIn,
  type DnsRecord,
  isAsked,
  recordsOf,
  SERVICE,
} from '../discovery.ts';
import type { Log } from '../ports.ts';

/**
 * Multicast DNS; the package is imported here and nowhere else. A machine without a network, or whose port 5353 cannot be
 * shared, neither announces nor finds anything, and works otherwise.
 */

/** Questions are repeated after 1, 2, 4, ... seconds, and at last each minute (RFC 6762, section 5.2). */
const MOST_S = 60;
/** How often it is looked whether the machine has come to another network. */
const LOOK_MS = 5000;

type Socket = multicastDns.MulticastDNS;

/**
 * A socket for each network of the machine, as there are others from time to time. One for all would send to the network
 * of the default route alone, and nowhere without one.
 */
class Sockets {
  readonly #open = new Map<string, Socket>();
  readonly #prepare: (socket: Socket) => void;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;

  constructor(prepare: (socket: Socket) => void, log: Log) {
    this.#prepare = prepare;
    this.#log = log;
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Calls a function with each socket, and resolves when it has called back for all. */
  async each(use: (socket: Socket, done: () => void) => void): Promise<void> {
    await Promise.all([...this.#open.values()].map((socket) => new Promise<void>((resolve) => use(socket, resolve))));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.each((socket, done) => socket.destroy(done));
  }

  #look(): void {
    const now = ownAddresses();
    for (const address of now.filter((one) => !this.#open.has(one))) {
      const socket = multicastDns({ interface: address, bind: '0.0.0.0' });
      const said = (error: Error): void => this.#log.debug(`multicast DNS at ${address}: ${error.message}`);
      socket.on('error', said);
      socket.on('warning', said);
      this.#open.set(address, socket);
      this.#prepare(socket);
    }
    for (const [address, socket] of this.#open) {
      if (now.includes(address)) continue;
      socket.destroy();
      this.#open.delete(address);
    }
  }
}

/** Announces a broker until the function that it returns is called, which takes it back. */
export function announce(announced: Announced, log: Log): () => Promise<void> {
  const respond = (socket: Socket, ttlS?: number, done?: () => void): void =>
    socket.respond({ answers: recordsOf(announced, ownAddresses(), ttlS) as never }, () => done?.());
  const sockets = new Sockets((socket) => {
    socket.on('query', ({ questions }) => {
      if (questions.some((question) => isAsked(question, recordsOf(announced, ownAddresses())))) respond(socket);
    });
    respond(socket);
  }, log);
  return async () => {
    await sockets.each((socket, done) => respond(socket, 0, done));
    await sockets.close();
  };
}

/** Asks the networks for brokers, and calls `onFound` for each answer, until the function that it returns is called. */
export function searchNetwork(onFound: (announcement: Announcement) => void, log: Log): () => void {
  const ask = (socket: Socket): void => socket.query([{ name: SERVICE, type: 'PTR' }]);
  const sockets = new Sockets((socket) => {
    socket.on('response', ({ answers, additionals }, { address }) => {
      for (const found of announcementsIn([...answers, ...additionals] as DnsRecord[], address)) onFound(found);
    });
    ask(socket);
  }, log);
  let waitS = 1;
  const again = (): NodeJS.Timeout =>
    setTimeout(() => {
      void sockets.each((socket, done) => {
        ask(socket);
        done();
      });
      waitS = Math.min(2 * waitS, MOST_S);
      timer = again();
    }, waitS * 1000).unref();
  let timer = again();
  return () => {
    clearTimeout(timer);
    void sockets.close();
  };
}

function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address);
}
