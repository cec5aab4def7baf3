import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { Aedes, type AedesOptions, type AuthenticateError } from 'aedes';
import { LogThrottle } from '../shared/log-throttle.ts';
import { isLoopback } from '../shared/loopback.ts';
import type { Log } from '../shared/ports.ts';
import type { AedesParts } from './aedes-parts.ts';
import { AedesSessionStore } from './aedes-session-store.ts';
import { describeIdentity } from './authentication.ts';
import { Authorization } from './authorization.ts';
import type { BrokerOptions, RunningBroker } from './broker-options.ts';
import { CENTRAL_SESSION_LIMITS } from './central-session.ts';
import { NO_CLIENT_ID, versionRefusal } from './connack.ts';
import { Connections, type Origin, ReportedError } from './connections.ts';
import { newCounters } from './counters.ts';
import { DisconnectLog, MAX_TOPIC_LEVELS, type ThrottledLogs } from './disconnect-log.ts';
import {
  type Arrivals,
  isTls,
  type ListenAddress,
  type Listener,
  listenOn,
  parseListen,
  refuseUnprotected,
} from './listen.ts';
import { identityOfUser } from './policy.ts';
import { type Arriving, Routing } from './routing.ts';
import { publishStats } from './stats-publisher.ts';
import { WebSocketUpgrades } from './websocket-upgrades.ts';

/**
 * The embedded broker: Aedes behind guards. Aedes is imported here and nowhere else.
 *
 *   1. Every connection is authenticated before it may do anything, and policy.ts authorizes each topic by its
 *      identity.
 *   2. The broker listens beyond loopback only with credentials or client certificates.
 *   3. A packet above the size limit is refused from its first bytes, and costs only its sender the connection.
 *   4. A reader that stops reading costs no other client a message, and is closed within about twice `stallMs`.
 *   5. A client id in use is taken over only by its owner (authentication.ts).
 *   6. Persistent sessions are bounded in number, bytes and time: that of central (central-session.ts) and those of
 *      other clients that ask for one (client-sessions.ts).
 *   7. A message with QoS 1 or 2 is acknowledged after it was delivered to all connected subscribers, and a frame after
 *      it was stored for central (routing.ts). A broker that is killed loses no message that it has acknowledged.
 */

/** QoS 2 messages that a client may have in flight; no part of Tessera sends any. */
const MAX_QOS2 = 16;
/** Messages that Aedes routes concurrently. */
const DELIVERY_SLOTS = 1000;
const STOP_MS = 1500;

/**
 * Starts the broker. Throws TesseraError TESSERA_CONFIG for addresses beyond loopback that ask for neither password nor
 * client certificate, and TESSERA_BROKER when an address cannot be bound; then nothing is left listening.
 */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const addresses = options.listen.map(parseListen);
  refuseUnprotected(addresses, options);
  const broker = new EmbeddedBroker(options);
  await broker.start(addresses);
  return broker;
}

class EmbeddedBroker implements RunningBroker {
  readonly urls: string[] = [];
  readonly counters = newCounters();
  readonly #options: BrokerOptions;
  readonly #log: Log;
  readonly #throttledLogs: ThrottledLogs;
  readonly #disconnectLog: DisconnectLog;
  readonly #connections: Connections;
  readonly #authorization: Authorization;
  readonly #aedes: Aedes;
  /** Undefined until Aedes listens, because its persistence is made then. */
  #sessions: AedesSessionStore | undefined;
  readonly #webSockets: WebSocketUpgrades;
  readonly #listeners: Listener[] = [];
  #endStats: () => void = () => {};
  /** Connections that arrived before the broker was ready. */
  #early: (() => void)[] | undefined = [];
  #stopping: Promise<void> | undefined;

  constructor(options: BrokerOptions) {
    const { base = 'tessera', maximumPacketSize = 1_000_000, slowReaderBytes = 16 * 2 ** 20, stallMs = 5000 } = options;
    const { anonymous, credentials, maximumConnections = 1000, log } = options;
    const { counters } = this;
    this.#options = options;
    this.#log = log;
    const clock = () => performance.now();
    const throttledLogs = { strangers: new LogThrottle(log, clock), clients: new LogThrottle(log, clock) };
    this.#throttledLogs = throttledLogs;
    const limits = { maximumConnections, maximumPacketSize, stallMs };
    const connections = new Connections(limits, counters, throttledLogs.strangers);
    this.#connections = connections;
    this.#disconnectLog = new DisconnectLog(connections, throttledLogs, log);
    const guarded = { base, prefix: options.prefix, anonymous, credentials, maximumPacketSize, slowReaderBytes };
    this.#authorization = new Authorization({ ...guarded, connections, counters, throttledLogs, log });
    this.#aedes = new Aedes({
      concurrency: DELIVERY_SLOTS,
      maxInflightInbound: MAX_QOS2,
      drainTimeout: 2 * stallMs,
      connectTimeout: 10_000,
      maxTopicLevels: MAX_TOPIC_LEVELS,
    });
    const { tls, allowedHosts = [], allowedOrigins = [] } = options;
    this.#webSockets = new WebSocketUpgrades({ maximumPacketSize, cert: tls?.cert, allowedHosts, allowedOrigins });
  }

  async start(addresses: readonly ListenAddress[]): Promise<void> {
    await this.#aedes.listen();
    const { base = 'tessera', centralSession: limits = CENTRAL_SESSION_LIMITS, clientSessions, log } = this.#options;
    const aedes = this.#aedes as unknown as AedesParts;
    const mayRead = this.#authorization.mayRead.bind(this.#authorization);
    const sessions = new AedesSessionStore(
      { base, limits, clientSessions, counters: this.counters, log },
      aedes,
      mayRead,
    );
    this.#sessions = sessions;
    Object.assign(this.#aedes, this.#hooks(sessions, new Routing(aedes, sessions)));
    this.#watch(sessions);
    this.#endStats = publishStats(aedes, base, this.counters);
    try {
      for (const address of addresses) {
        const listener = await listenOn(address, this.#options.tls, this.#arrivals(address));
        this.#listeners.push(listener);
        this.urls.push(listener.url);
      }
      this.#keepFrames(sessions, addresses);
    } catch (error) {
      await this.stop();
      throw error;
    }
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const accept of early) accept();
    const open = addresses.find(({ scheme, host }) => !isLoopback(host) && !isTls(scheme));
    if (open === undefined) return;
    this.#log.warn(`passwords and frames travel unencrypted to ${open.host}; mqtts:// protects them`);
  }

  /** What happens to connections of a listener. */
  #arrivals({ host }: ListenAddress): Arrivals {
    const refused = (what: string, reason: string, remote: string | undefined): void => {
      this.counters.refused.connections += 1;
      this.#throttledLogs.strangers.warn(`${what} ${remote} ${reason}`, `a ${what} was refused: ${reason}`, { remote });
    };
    const accept = (stream: Duplex, socket: Socket): void =>
      this.#accept(stream, { socket, remote: socket.remoteAddress, trusted: isLoopback(socket.remoteAddress) });
    return {
      arrived: (socket) => this.#connections.arrived(socket),
      stream: (socket) => accept(socket, socket),
      upgrade: this.#webSockets.upgrader(host, accept, (reason, remote) => refused('WebSocket', reason, remote)),
      refused: (reason, remote) => refused('TLS connection', reason, remote),
    };
  }

  connect(): Duplex {
    const [inside, outside] = duplexPair();
    // The two sides of a pair close separately; a real connection closes for both.
    inside.once('close', () => outside.destroy());
    outside.once('close', () => inside.destroy());
    this.#accept(inside, { remote: 'this process', trusted: true, inside: true });
    return outside;
  }

  onPublish(listener: Parameters<RunningBroker['onPublish']>[0]): void {
    this.#aedes.on('publish', ({ topic, payload, qos, retain }) =>
      listener({ topic, payload: typeof payload === 'string' ? Buffer.from(payload) : payload, qos, retain }),
    );
  }

  retained(filters: readonly string[]): AsyncIterable<{ readonly topic: string; readonly payload: Buffer }> {
    return (this.#aedes as unknown as AedesParts).persistence.createRetainedStreamCombi(filters);
  }

  expel(user: string): number {
    const closed = this.#connections.expel(user);
    const identity = identityOfUser(user);
    if (identity !== undefined) void this.#sessions?.endOf(describeIdentity(identity));
    if (closed > 0) this.#log.info(`${user} was disconnected, because its access was revoked`, { connections: closed });
    return closed;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.#endStats();
    this.#connections.refuseAll();
    for (const listener of this.#listeners) listener.close();
    const closed = new Promise<void>((resolve) => this.#aedes.close(resolve));
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
    this.#connections.closeAll();
    this.#disconnectLog.stop();
    this.#sessions?.stop();
  }

  /**
   * Stores sessions under the name of the first listener: no other broker has its address, and the same broker started
   * again finds its files.
   */
  #keepFrames(sessions: AedesSessionStore, addresses: readonly ListenAddress[]): void {
    const { sessionsFolder, base = 'tessera' } = this.#options;
    const named = addresses.findIndex(({ port }) => port !== 0);
    const url = this.urls[Math.max(0, named)];
    if (sessionsFolder === undefined || url === undefined) return;
    const { hostname, port } = new URL(url);
    sessions.keepIn(sessionsFolder, `${base}-${hostname}-${port}`.replace(/[^A-Za-z0-9_.-]/g, '_'));
  }

  /** Hands a connection to Aedes; `conn` carries MQTT. */
  #accept(conn: Duplex, from: Origin): void {
    if (this.#early !== undefined) {
      conn.on('error', () => {});
      this.#early.push(() => this.#accept(conn, from));
      return;
    }
    if (this.#connections.take(conn, from)) this.#aedes.handle(conn);
  }

  /** Counts and logs the events of Aedes. */
  #watch(sessions: AedesSessionStore): void {
    const log = this.#log;
    const authorization = this.#authorization;
    const who = this.#connections.who.bind(this.#connections);
    // The types of Aedes lack this event; without a listener it would end the process.
    (this.#aedes as EventEmitter).on('error', (error: Error) => log.error(`the broker failed: ${error.message}`));
    this.#aedes.on('publish', (_packet, client) => {
      if (client !== null) this.counters.published += 1;
    });
    this.#aedes.on('client', (client) => {
      authorization.connected(client);
      log.debug('client connected', who(client));
    });
    this.#aedes.on('clientDisconnect', (client) => {
      authorization.gone(client);
      sessions.gone(client);
      log.debug('client gone', who(client));
    });
    const disconnectLog = this.#disconnectLog;
    this.#aedes.on('clientError', (client, error) =>
      disconnectLog.closed(client, error, authorization.isKnown(client)),
    );
    this.#aedes.on('connectionError', (client, error) => disconnectLog.closed(client, error, false));
  }

  /** The hooks that Aedes calls. */
  #hooks(sessions: AedesSessionStore, routing: Routing): AedesOptions {
    const authorization = this.#authorization;
    const disconnectLog = this.#disconnectLog;
    const asked = new WeakMap<object, { clean?: boolean }>();
    return {
      preConnect: (client, packet, done) => {
        const keptMs = sessions.keptMs(packet.clientId);
        const remote = this.#connections.of(client)?.remote;
        if (packet.protocolVersion === 5) {
          client.conn.write(versionRefusal(Math.ceil(keptMs / 1000)));
          disconnectLog.refusedVersion(packet.clientId, remote);
          done(new ReportedError('this broker does not speak MQTT 5; the client may try 3.1.1'), false);
          return;
        }
        disconnectLog.cameBack(packet.clientId, remote);
        if (packet.clientId === '' && packet.clean === false) {
          client.conn.write(NO_CLIENT_ID);
          done(new Error('it asked for a session without a client id: give it one, or clean_session'), false);
          return;
        }
        asked.set(client, packet);
        done(null, true);
      },
      authenticate: (client, user, password, done) => {
        void authorization.enter(client, user, password?.toString()).then(async (admitted) => {
          if ('identity' in admitted) {
            const packet = asked.get(client);
            const asks = packet?.clean === false;
            const isKept = await sessions.admit(client, describeIdentity(admitted.identity), asks);
            // Aedes does not report a client that disconnected meanwhile.
            if (client.closed) return sessions.gone(client);
            // Aedes reads the flag of both.
            if (asks && !isKept) for (const one of [packet, client]) (one as { clean: boolean }).clean = true;
            done(null, true);
            return;
          }
          const { returnCode, reason } = admitted;
          done(Object.assign(new ReportedError(reason), { returnCode }) as unknown as AuthenticateError, null);
        });
      },
      authorizePublish: (client, packet, done) => {
        const why = client === null ? undefined : authorization.refusesPublish(client, packet);
        if (why !== undefined) return done(new ReportedError(why));
        if (client === null || packet.qos === 0) {
          if (client !== null && authorization.floods(client, packet)) routing.drop(packet);
          return done(null);
        }
        routing.first(client, packet as Arriving, done);
      },
      authorizeSubscribe: (client, subscription, done) => {
        done(null, authorization.maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        const { now, kept } = sessions.passes(client, packet);
        return now && authorization.mayForward(client, packet.topic, kept) ? packet : null;
      },
    };
  }
}
