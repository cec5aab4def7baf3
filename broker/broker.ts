import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { Admission, describe, isOwnPage } from './admission.ts';
import type { CredentialStore } from './credentials.ts';
import { isLoopback, type Listener, type ListenTls, listenOn, parseListen } from './listen.ts';
import { PacketMeter } from './packet-meter.ts';
import { type Identity, isBulk, mayPublish, maySubscribe } from './policy.ts';
import { SlowReaders } from './slow-readers.ts';

/**
 * The embedded broker: Aedes behind guards. Aedes and ws are imported here and nowhere else.
 *
 *   1. Every connection has an identity before it may do anything, and policy.ts judges each topic by it.
 *   2. Nothing beyond loopback is listened on without credentials; without a password only loopback is let in.
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
  /** Bytes that may wait at one slow reader before bulk for it is dropped, default 8 MiB. */
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
  closedSlowReaders: number;
}

/** The broker at work. */
export interface RunningBroker {
  /** Where it listens, with the ports that were taken. */
  readonly urls: readonly string[];
  readonly counters: BrokerCounters;
  /** A connection from inside this process, with the rights of one from this machine. */
  connect(): Duplex;
  /** Closes every listener and connection; idempotent, bounded to about two seconds. */
  stop(): Promise<void>;
}

/** Before a connection is authenticated it has no business with large packets. */
const FIRST_PACKET_BYTES = 64 * 1024;
/** Messages that may wait at one slow reader; far below DELIVERY_SLOTS, so that many such readers can be borne. */
const SLOW_READER_MESSAGES = 128;
const DELIVERY_SLOTS = 4096;
/** The last resort behind `stallMs`, for readers that still send but do not read. */
const DRAIN_TIMEOUT_MS = 60_000;

interface Connection {
  readonly remote: string;
  /** From this machine, and not from some web page that a browser on it shows. */
  readonly trusted: boolean;
  readonly meter: PacketMeter;
  identity?: Identity;
}

/**
 * Starts the broker. Throws TesseraError TESSERA_CONFIG for addresses beyond loopback without credentials, and
 * TESSERA_BROKER when an address cannot be had; then nothing is left listening.
 */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const { log, credentials, base = 'tessera', maximumPacketSize = 1_000_000, stallMs = 5000 } = options;
  const addresses = options.listen.map(parseListen);
  const open = addresses.find(({ host }) => !isLoopback(host));
  if (open !== undefined && credentials === undefined) {
    throw new TesseraError(
      'TESSERA_CONFIG',
      `broker.listen: ${open.host} is beyond this machine, and nobody needs a password`,
      {
        hint: 'listen on 127.0.0.1, or start with --listen HOST, which makes a password and keeps it',
      },
    );
  }
  const counters: BrokerCounters = {
    connections: 0,
    published: 0,
    refusedConnections: 0,
    refusedPublishes: 0,
    refusedSubscriptions: 0,
    oversizePackets: 0,
    droppedForSlowReaders: 0,
    closedSlowReaders: 0,
  };
  const connections = new Map<Duplex, Connection>();
  const admission = new Admission({ base, credentials, anonymous: options.anonymous });
  const slow = new SlowReaders({ bytes: options.slowReaderBytes ?? 8 * 2 ** 20, messages: SLOW_READER_MESSAGES });
  const of = (client: Client): Connection | undefined => connections.get(client.conn);
  const who = (client: Client) => {
    const connection = of(client);
    return { client: client.id ?? '?', user: describe(connection?.identity), remote: connection?.remote ?? '?' };
  };

  const aedes = await Aedes.createBroker({
    concurrency: DELIVERY_SLOTS,
    drainTimeout: DRAIN_TIMEOUT_MS,
    connectTimeout: 10_000,
    preConnect(client, packet, done) {
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
    authenticate(client, user, password, done) {
      const connection = of(client);
      if (connection === undefined) return done(null, false);
      const { trusted, remote } = connection;
      const applicant = { clientId: client.id, trusted, user, password: password?.toString() };
      const admitted = admission.admit(applicant);
      if ('identity' in admitted) {
        connection.identity = admitted.identity;
        connection.meter.limit = maximumPacketSize;
        return done(null, true);
      }
      const { returnCode, reason } = admitted;
      counters.refusedConnections += 1;
      log.warn(`a client was refused: ${reason}`, { client: client.id, user, remote });
      done(Object.assign(new Error(reason), { returnCode }) as AuthenticateError, null);
    },
    authorizePublish(client, packet, done) {
      const identity = client === null ? undefined : of(client)?.identity;
      const why =
        identity === undefined || !mayPublish(identity, packet.topic, base)
          ? 'no right to that topic'
          : packet.retain && packet.topic.startsWith(`${base}-wire/`)
            ? 'wire messages are not retained'
            : undefined;
      if (why === undefined) return done(null);
      counters.refusedPublishes += 1;
      log.warn(`a message was refused and its connection closed: ${why}`, {
        topic: packet.topic,
        ...(client && who(client)),
      });
      done(new Error(why));
    },
    authorizeSubscribe(client, subscription, done) {
      const identity = of(client)?.identity;
      // Aedes grants shared subscriptions and delivers nothing.
      const shared = subscription.topic.startsWith('$share/');
      if (identity !== undefined && !shared && maySubscribe(identity, subscription.topic, base)) {
        return done(null, subscription);
      }
      counters.refusedSubscriptions += 1;
      log.warn(shared ? 'shared subscriptions are not available' : 'a subscription was refused', {
        filter: subscription.topic,
        ...who(client),
      });
      done(null, null);
    },
    authorizeForward(client, packet) {
      const verdict = slow.judge(client.conn, isBulk(base, packet.topic), packet.qos);
      if (verdict === 'forward') return packet;
      counters.droppedForSlowReaders += 1;
      if (verdict === 'close') closeSlow(client.conn);
      return null;
    },
  });
  aedes.on('publish', (_packet, client) => {
    if (client !== null) counters.published += 1;
  });
  aedes.on('client', (client) => {
    const identity = of(client)?.identity;
    if (identity !== undefined) admission.connected(client.id, identity);
    log.debug('client connected', who(client));
  });
  aedes.on('clientDisconnect', (client) => {
    admission.gone(client.id);
    log.debug('client gone', { client: client.id });
  });
  aedes.on('clientError', (client, error) => log.debug(`client failed: ${error.message}`, who(client)));
  aedes.on('connectionError', (client, error) => log.debug(`connection failed: ${error.message}`, who(client)));

  const closeSlow = (conn: Duplex) => {
    if (conn.destroyed) return;
    counters.closedSlowReaders += 1;
    const { remote, identity } = connections.get(conn) ?? {};
    log.warn('a client that does not read was closed', {
      remote,
      user: describe(identity),
      waiting: conn.writableLength,
    });
    conn.destroy();
  };

  /** Takes a connection in: `conn` carries MQTT, `socket` is what lies below it (the same, or under a WebSocket). */
  const accept = (conn: Duplex, socket: Socket | undefined, remote: string, trusted: boolean) => {
    if (connections.size >= (options.maximumConnections ?? 1000)) {
      counters.refusedConnections += 1;
      log.warn('too many connections', { remote });
      conn.destroy();
      return;
    }
    const meter = new PacketMeter(Math.min(maximumPacketSize, FIRST_PACKET_BYTES));
    const connection: Connection = { remote, trusted, meter };
    connections.set(conn, connection);
    counters.connections = connections.size;
    conn.once('close', () => {
      connections.delete(conn);
      counters.connections = connections.size;
    });
    meterReads(conn, meter, (fault) => {
      counters.oversizePackets += 1;
      log.warn(`a connection was closed: ${fault}`, { remote, user: describe(connection.identity) });
    });
    // Node restarts this timer whenever the kernel takes bytes, so it sees a reader that stands still, not a slow one.
    socket?.setTimeout(stallMs, () => {
      if (socket.writableLength > 0 || conn.writableLength > 0) closeSlow(conn);
    });
    aedes.handle(conn);
  };

  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maximumPacketSize + FIRST_PACKET_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') ? 'mqttv3.1' : false),
  });
  const arrivals = {
    stream: (socket: Socket) => accept(socket, socket, socket.remoteAddress ?? '?', isLoopback(socket.remoteAddress)),
    upgrade: (request: IncomingMessage, raw: Duplex, head: Buffer) => {
      raw.on('error', () => raw.destroy());
      sockets.handleUpgrade(request, raw, head, (socket) => {
        const remote = request.socket.remoteAddress;
        const trusted = isLoopback(remote) && isOwnPage(request.headers);
        accept(createWebSocketStream(socket), request.socket, remote ?? '?', trusted);
      });
    },
  };

  const listeners: Listener[] = [];
  let stopping: Promise<void> | undefined;
  const stop = async () => {
    for (const listener of listeners) listener.close();
    const closed = new Promise<void>((resolve) => aedes.close(resolve));
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1500).unref())]);
    for (const conn of connections.keys()) conn.destroy();
  };
  const broker: RunningBroker = {
    urls: [],
    counters,
    connect() {
      const [inside, outside] = duplexPair();
      // A pair ends together in reading and writing only; a real connection is gone for both when one side closes it.
      inside.once('close', () => outside.destroy());
      outside.once('close', () => inside.destroy());
      accept(inside, undefined, 'this process', true);
      return outside;
    },
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
  try {
    for (const address of addresses) listeners.push(await listenOn(address, options.tls, arrivals));
  } catch (error) {
    await broker.stop();
    throw error;
  }
  const plain = addresses.find(({ scheme, host }) => !isLoopback(host) && (scheme === 'mqtt' || scheme === 'ws'));
  if (plain !== undefined) log.warn(`passwords and frames travel unencrypted to ${plain.host}; mqtts:// protects them`);
  return Object.assign(broker, { urls: listeners.map(({ url }) => url) });
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
