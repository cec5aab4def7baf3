import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { Aedes, type AedesOptions, type AuthenticateError, type Client } from 'aedes';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { Complaints } from '../shared/complaints.ts';
import { readJoinPassword } from '../shared/config/join.ts';
import { TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { Admission, describe, isOwnPage, userOf } from './admission.ts';
import type { CredentialStore } from './credentials.ts';
import {
  isLoopback,
  isTls,
  type ListenAddress,
  type Listener,
  type ListenTls,
  listenOn,
  parseListen,
} from './listen.ts';
import { PacketMeter } from './packet-meter.ts';
import { type Identity, isBulk, mayPublish, maySubscribe } from './policy.ts';
import { Retained } from './retained.ts';
import { judge, neverWaits } from './slow-readers.ts';

/**
 * The embedded broker: Aedes behind guards. Aedes and ws are imported here and nowhere else.
 *
 *   1. Every connection has an identity before it may do anything, and policy.ts judges each topic by it.
 *   2. Nothing beyond loopback is listened on without credentials or client certificates; without either only loopback
 *      is let in.
 *   3. A packet above the limit is refused from its first bytes, and costs only its sender the connection.
 *   4. A reader that stops reading costs nobody else a message, and is closed within about twice `stallMs`.
 *   5. A client id in use is taken over only by those whose it is (admission.ts).
 *   6. Sessions end with their connection: nothing is queued for those who are away.
 */

/** How to run the broker. */
export interface BrokerOptions {
  /** mqtt://HOST:PORT, mqtts://, ws://, wss://; port 0 takes a free one. May be empty: then only `connect` leads in. */
  readonly listen: readonly string[];
  readonly base?: string;
  /** Whether connections from this machine may come without credentials. */
  readonly anonymous: 'loopback' | 'never';
  readonly credentials?: CredentialStore | undefined;
  readonly tls?: ListenTls | undefined;
  /** Bytes, default 1 000 000. */
  readonly maximumPacketSize?: number | undefined;
  /** Default 1000. */
  readonly maximumConnections?: number | undefined;
  /** Bytes that may wait at one slow reader before bulk for it is dropped, default 16 MiB. */
  readonly slowReaderBytes?: number | undefined;
  /** A connection with bytes to write that takes none for so long is closed, default 5000. */
  readonly stallMs?: number | undefined;
  readonly log: Log;
}

/** What the broker counts. */
export interface BrokerCounters {
  /** Connections that stand now, authenticated or not. */
  connections: number;
  published: number;
  refusedConnections: number;
  refusedPublishes: number;
  refusedSubscriptions: number;
  oversizePackets: number;
  droppedForSlowReaders: number;
  /** Retained messages that were delivered and not kept: frames, and those beyond the limits. */
  notRetained: number;
  closedSlowReaders: number;
}

/** The broker at work. */
export interface RunningBroker {
  /** Where it listens, with the ports that were taken. */
  readonly urls: readonly string[];
  readonly counters: BrokerCounters;
  /** A connection from inside this process, with the rights of one from this machine, whoever else needs a password. */
  connect(): Duplex;
  /** Closes every connection of a user, whose last will is then published; returns how many there were. */
  expel(user: string): number;
  /** Closes every listener and connection; idempotent, bounded to about two seconds. */
  stop(): Promise<void>;
}

/** Before a connection is authenticated it has no business with large packets. */
const FIRST_PACKET_BYTES = 64 * 1024;
/** Messages of QoS 2 that a client may leave half sent; nothing of ours sends any. */
const MAX_QOS2 = 16;
/** Messages that Aedes routes at a time. */
const DELIVERY_SLOTS = 1000;
const STOP_MS = 1500;

/** Where a connection comes from. */
interface Origin {
  readonly socket?: Socket;
  readonly remote: string | undefined;
  readonly trusted: boolean;
  readonly inside?: boolean;
}

interface Connection {
  readonly remote: string;
  /** From this machine, and not from some web page that a browser on it shows. */
  readonly trusted: boolean;
  readonly inside: boolean;
  /** The name in its client certificate. */
  readonly certificate: string | undefined;
  readonly meter: PacketMeter;
  identity?: Identity;
  /** Bulk for it was dropped, which is said once. */
  lossy: boolean;
}

/**
 * Starts the broker. Throws TesseraError TESSERA_CONFIG for addresses beyond loopback that ask for neither password nor
 * client certificate, and
 * TESSERA_BROKER when an address cannot be had; then nothing is left listening.
 */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const addresses = options.listen.map(parseListen);
  const asks = ({ scheme }: ListenAddress): boolean => isTls(scheme) && options.tls?.ca !== undefined;
  const open = addresses.find((address) => !isLoopback(address.host) && !asks(address));
  if (open !== undefined && options.credentials === undefined) {
    const text = `broker.listen: ${open.host} is beyond this machine, and nobody would need a password`;
    throw new TesseraError('TESSERA_CONFIG', text, {
      hint: 'listen on 127.0.0.1, or use `tessera up --listen HOST`, which makes a password and keeps it',
    });
  }
  const broker = new EmbeddedBroker(options);
  await broker.start(addresses);
  return broker;
}

class EmbeddedBroker implements RunningBroker {
  readonly urls: string[] = [];
  readonly counters: BrokerCounters = {
    connections: 0,
    published: 0,
    refusedConnections: 0,
    refusedPublishes: 0,
    refusedSubscriptions: 0,
    oversizePackets: 0,
    droppedForSlowReaders: 0,
    notRetained: 0,
    closedSlowReaders: 0,
  };
  readonly #options: BrokerOptions;
  readonly #base: string;
  readonly #log: Log;
  readonly #maximumPacketSize: number;
  readonly #admission: Admission;
  readonly #retained = new Retained();
  readonly #complaints: Complaints;
  readonly #slowReaderBytes: number;
  readonly #stallMs: number;
  readonly #aedes: Aedes;
  readonly #sockets: WebSocketServer;
  readonly #listeners: Listener[] = [];
  readonly #open = new Set<Duplex>();
  /** Kept beyond the connection's end: the last will of a client is judged by its identity too. */
  readonly #connections = new WeakMap<Duplex, Connection>();
  #stopping: Promise<void> | undefined;

  constructor(options: BrokerOptions) {
    const { base = 'tessera', maximumPacketSize = 1_000_000, slowReaderBytes = 16 * 2 ** 20, stallMs = 5000 } = options;
    this.#options = options;
    this.#base = base;
    this.#log = options.log;
    this.#complaints = new Complaints(options.log, () => performance.now());
    this.#maximumPacketSize = maximumPacketSize;
    this.#admission = new Admission({ base, credentials: options.credentials, anonymous: options.anonymous });
    this.#slowReaderBytes = slowReaderBytes;
    this.#stallMs = stallMs;
    this.#aedes = new Aedes({
      concurrency: DELIVERY_SLOTS,
      maxInflightInbound: MAX_QOS2,
      drainTimeout: 2 * stallMs,
      connectTimeout: 10_000,
      ...this.#hooks(),
    });
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: maximumPacketSize + FIRST_PACKET_BYTES,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') ? 'mqttv3.1' : false),
    });
  }

  async start(addresses: readonly ListenAddress[]): Promise<void> {
    await this.#aedes.listen();
    this.#watch();
    const arrivals = {
      stream: (socket: Socket) => {
        const remote = socket.remoteAddress;
        this.#accept(socket, { socket, remote, trusted: isLoopback(remote) });
      },
      upgrade: (request: IncomingMessage, raw: Duplex, head: Buffer) => {
        raw.on('error', () => raw.destroy());
        const remote = request.socket.remoteAddress;
        const trusted = isLoopback(remote) && isOwnPage(request.headers);
        this.#sockets.handleUpgrade(request, raw, head, (socket) =>
          this.#accept(createWebSocketStream(socket), { socket: request.socket, remote, trusted }),
        );
      },
      refused: (reason: string, remote: string | undefined) => {
        this.counters.refusedConnections += 1;
        this.#log.warn(`a TLS connection was refused: ${reason}`, { remote });
      },
    };
    try {
      for (const address of addresses) {
        const listener = await listenOn(address, this.#options.tls, arrivals);
        this.#listeners.push(listener);
        this.urls.push(listener.url);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    const plain = addresses.find(({ scheme, host }) => !isLoopback(host) && !isTls(scheme));
    if (plain === undefined) return;
    this.#log.warn(`passwords and frames travel unencrypted to ${plain.host}; mqtts:// protects them`);
  }

  connect(): Duplex {
    const [inside, outside] = duplexPair();
    // A pair ends together in reading and writing only; a real connection is gone for both when one side closes it.
    inside.once('close', () => outside.destroy());
    outside.once('close', () => inside.destroy());
    this.#accept(inside, { remote: 'this process', trusted: true, inside: true });
    return outside;
  }

  expel(user: string): number {
    const theirs = [...this.#open].filter((conn) => userOf(this.#connections.get(conn)?.identity) === user);
    for (const conn of theirs) conn.destroy();
    if (theirs.length > 0) this.#log.info(`${user} was thrown out`, { connections: theirs.length });
    return theirs.length;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    const closed = new Promise<void>((resolve) => this.#aedes.close(resolve));
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
    for (const conn of this.#open) conn.destroy();
  }

  /** Takes a connection in: `conn` carries MQTT, `socket` is what lies below it (the same, or under a WebSocket). */
  #accept(conn: Duplex, from: Origin): void {
    const { maximumConnections = 1000 } = this.#options;
    const { socket, remote = '?', trusted, inside = false } = from;
    if (this.#stopping !== undefined || this.#open.size >= maximumConnections) {
      this.counters.refusedConnections += 1;
      this.#log.warn('a connection was refused: too many connections', { remote });
      conn.destroy();
      return;
    }
    const meter = new PacketMeter(Math.min(this.#maximumPacketSize, FIRST_PACKET_BYTES));
    const certificate = socket === undefined ? undefined : certificateName(socket);
    const connection: Connection = { remote, trusted, inside, certificate, meter, lossy: false };
    this.#connections.set(conn, connection);
    this.#open.add(conn);
    this.counters.connections = this.#open.size;
    conn.once('close', () => {
      this.#open.delete(conn);
      this.counters.connections = this.#open.size;
    });
    neverWaits(conn);
    meterReads(conn, meter, (fault) => {
      this.counters.oversizePackets += 1;
      this.#log.warn(`a connection was closed: ${fault}`, { remote, user: describe(connection.identity) });
    });
    // Node restarts this timer whenever the kernel takes bytes, so it sees a reader that stands still, not a slow one.
    socket?.setTimeout(this.#stallMs, () => {
      if (socket.writableLength > 0 || conn.writableLength > 0) this.#closeSlow(conn);
    });
    this.#aedes.handle(conn);
  }

  #closeSlow(conn: Duplex): void {
    if (conn.destroyed) return;
    this.counters.closedSlowReaders += 1;
    const { remote, identity } = this.#connections.get(conn) ?? {};
    const fields = { remote, user: describe(identity), waiting: conn.writableLength };
    this.#log.warn('a connection was closed: the client does not read', fields);
    conn.destroy();
  }

  #dropped(client: Client): void {
    this.counters.droppedForSlowReaders += 1;
    const connection = this.#connections.get(client.conn);
    if (connection === undefined || connection.lossy) return;
    connection.lossy = true;
    this.#log.warn('bulk for a client is dropped, because it reads more slowly than it is sent', this.#who(client));
  }

  /**
   * The password to check: one that joins first sets the secret in it, where its code is good. Where it is not, the
   * secret may stand already, because the answer to an earlier attempt was lost.
   */
  async #password(user: string | undefined, password: string | undefined): Promise<string | undefined> {
    const joining = password === undefined ? undefined : readJoinPassword(password);
    if (joining === undefined || user === undefined) return password;
    try {
      const joined = await this.#options.credentials?.redeem?.(user, joining.code, joining.secret);
      if (joined === true) this.#log.info(`${user} has joined by its invitation`);
    } catch (error) {
      this.#log.error(`the secret of ${user} cannot be kept: ${error instanceof Error ? error.message : error}`);
    }
    return joining.secret;
  }

  /** Frames are no state and are not kept; of what else is published so, what the limits allow. */
  #limitRetained(client: Client, packet: { topic: string; payload: string | Buffer; retain: boolean }): void {
    const { topic, payload } = packet;
    const size = payload.length === 0 ? 0 : payload.length + topic.length;
    const owner = describe(this.#identity(client));
    if (!topic.startsWith(`${this.#base}/input/`) && this.#retained.keep(owner, topic, size)) return;
    packet.retain = false;
    this.counters.notRetained += 1;
    this.#complaints.warn(`retained ${owner}`, `a message on ${topic} is delivered but not kept`, this.#who(client));
  }

  #identity(client: Client): Identity | undefined {
    return this.#connections.get(client.conn)?.identity;
  }

  /** A client in words, for logs. */
  #who(client: Client) {
    const { remote, identity } = this.#connections.get(client.conn) ?? {};
    return { client: client.id, user: describe(identity), remote };
  }

  /** Counts and notes what happens. */
  #watch(): void {
    const log = this.#log;
    // Missing from the types of Aedes; without a listener it would end the process.
    (this.#aedes as EventEmitter).on('error', (error: Error) =>
      log.error(`the broker failed at something: ${error.message}`),
    );
    this.#aedes.on('publish', (_packet, client) => {
      if (client !== null) this.counters.published += 1;
    });
    this.#aedes.on('client', (client) => {
      const identity = this.#identity(client);
      if (identity !== undefined) this.#admission.connected(client.id, identity);
      log.debug('client connected', this.#who(client));
    });
    this.#aedes.on('clientDisconnect', (client) => {
      this.#admission.gone(client.id);
      log.debug('client gone', this.#who(client));
    });
    this.#aedes.on('clientError', (client, error) => log.debug(`client failed: ${error.message}`, this.#who(client)));
    this.#aedes.on('connectionError', (client, error) =>
      log.debug(`connection failed: ${error.message}`, this.#who(client)),
    );
  }

  /** The places where Aedes asks; the answers are in admission.ts, policy.ts and slow-readers.ts. */
  #hooks(): AedesOptions {
    const base = this.#base;
    return {
      preConnect: (client, packet, done) => {
        if (packet.protocolVersion === 5) {
          // Aedes does not speak MQTT 5 and answers in 3.1.1; this CONNACK (132, unsupported version) is MQTT 5.
          client.conn.write(Buffer.from([0x20, 3, 0, 132, 0]));
          done(new Error('MQTT 5 is not spoken here, the client may try 3.1.1'), false);
          return;
        }
        // A session kept for somebody who is away would queue without bound.
        packet.clean = true;
        done(null, true);
      },
      authenticate: (client, user, password, done) => {
        const connection = this.#connections.get(client.conn);
        if (connection === undefined) return done(null, false);
        void this.#password(user, password?.toString()).then((checked) => {
          const admitted = this.#admission.admit({ clientId: client.id, ...connection, user, password: checked });
          if ('identity' in admitted) {
            connection.identity = admitted.identity;
            connection.meter.limit = this.#maximumPacketSize;
            return done(null, true);
          }
          const { returnCode, reason } = admitted;
          this.counters.refusedConnections += 1;
          this.#log.warn(`a connection was refused: ${reason}`, { client: client.id, user, remote: connection.remote });
          done(Object.assign(new Error(reason), { returnCode }) as AuthenticateError, null);
        });
      },
      authorizePublish: (client, packet, done) => {
        if (client === null) return done(null);
        const { topic, retain } = packet;
        const identity = this.#identity(client);
        let why: string | undefined;
        if (identity === undefined || !mayPublish(identity, topic, base)) why = 'no right to publish that topic';
        else if (retain && topic.startsWith(`${base}-wire/`)) why = 'wire messages are not retained';
        if (why === undefined) {
          if (retain) this.#limitRetained(client, packet);
          return done(null);
        }
        this.counters.refusedPublishes += 1;
        this.#log.warn(`a connection was closed: ${why}`, { topic, ...this.#who(client) });
        done(new Error(why));
      },
      authorizeSubscribe: (client, subscription, done) => {
        const identity = this.#identity(client);
        const filter = subscription.topic;
        // Aedes grants shared subscriptions and delivers nothing.
        const shared = filter.startsWith('$share/');
        if (identity !== undefined && !shared && maySubscribe(identity, filter, base)) return done(null, subscription);
        this.counters.refusedSubscriptions += 1;
        const why = shared ? 'shared subscriptions are not available' : 'no right to that filter';
        this.#log.warn(`a subscription was refused: ${why}`, { filter, ...this.#who(client) });
        done(null, null);
      },
      authorizeForward: (client, packet) => {
        const verdict = judge(client.conn.writableLength, isBulk(base, packet.topic), this.#slowReaderBytes);
        if (verdict === 'forward') return packet;
        if (verdict === 'close') this.#closeSlow(client.conn);
        else this.#dropped(client);
        return null;
      },
    };
  }
}

/** The name (CN) in a client certificate that TLS has verified. */
function certificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  // A certificate without a name, or with several, is that of nobody.
  return subject === undefined ? undefined : typeof subject.CN === 'string' ? subject.CN : '';
}

/** Lets `meter` see every byte that Aedes reads; the connection is destroyed at the first fault. */
function meterReads(conn: Duplex, meter: PacketMeter, onFault: (fault: string) => void): void {
  const read = conn.read.bind(conn);
  conn.read = (size?: number) => {
    const chunk: Buffer | null = read(size);
    const fault = chunk === null ? undefined : meter.feed(chunk);
    if (fault === undefined) return chunk;
    onFault(fault);
    conn.destroy();
    return null;
  };
}
