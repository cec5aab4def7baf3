import { readJoinPassword } from '../shared/config/join.ts';
import { plain, plainName } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import { Authentication, type AuthenticationResult, describeIdentity } from './authentication.ts';
import type { ClientOf, Connections } from './connections.ts';
import type { BrokerCounters } from './counters.ts';
import type { CredentialStore } from './credentials.ts';
import type { ThrottledLogs } from './disconnect-log.ts';
import { isBulk, mayPublish, maySubscribe } from './policy.ts';
import { PublishRates } from './publish-rates.ts';
import { RetainedQuota } from './retained-quota.ts';
import { judge } from './slow-readers.ts';

/** What authorization needs of the broker. */
export interface AuthorizationOptions {
  readonly base: string;
  /** Home Assistant's discovery prefix. */
  readonly prefix?: string | undefined;
  readonly anonymous: 'loopback' | 'never';
  readonly credentials?: CredentialStore | undefined;
  /** Bytes that a packet may have once its sender is authenticated. */
  readonly maximumPacketSize: number;
  /** Unread bytes of one slow reader above which tensors and frames for it are dropped. */
  readonly slowReaderBytes: number;
  readonly connections: Connections;
  readonly counters: BrokerCounters;
  readonly log: Log;
  /** Warns about strangers and about authenticated clients. */
  readonly throttledLogs: ThrottledLogs;
}

/** Aedes grants shared subscriptions and delivers nothing. */
const SHARED = '$share/';

/** A message to be published; `retain` is cleared where it is delivered and not stored. */
export interface Published {
  readonly topic: string;
  readonly payload: string | Buffer;
  retain: boolean;
}

/**
 * Authenticates clients and authorizes what they publish, subscribe and receive. The decisions are made in
 * authentication.ts, policy.ts, retained-quota.ts, publish-rates.ts and slow-readers.ts; this class counts and logs
 * them.
 */
export class Authorization {
  readonly #options: AuthorizationOptions;
  readonly #authentication: Authentication;
  readonly #retained = new RetainedQuota();
  readonly #rates: PublishRates;

  constructor(options: AuthorizationOptions) {
    const { base, credentials, anonymous } = options;
    this.#options = options;
    this.#authentication = new Authentication({ base, credentials, anonymous });
    this.#rates = new PublishRates(base);
  }

  /** Authenticates a client; its connection then has an identity. */
  async enter(client: ClientOf, user: string | undefined, password: string | undefined): Promise<AuthenticationResult> {
    const { connections, counters, maximumPacketSize, throttledLogs } = this.#options;
    const connection = connections.of(client);
    if (connection === undefined) return { returnCode: 5, reason: 'its connection is unknown' };
    const checked = await this.#password(user, password);
    // Aedes reports the end of such a connection to no one.
    if (client.conn.destroyed) return { returnCode: 5, reason: 'its connection ended' };
    let admitted = this.#authentication.admit({ clientId: client.id, ...connection, user, password: checked });
    if ('identity' in admitted && !connections.stands(client))
      admitted = { returnCode: 3, reason: 'too many connections' };
    if ('identity' in admitted) {
      connection.identity = admitted.identity;
      connection.packetLimit.limit = maximumPacketSize;
    } else {
      counters.refused.connections += 1;
      const { remote } = connection;
      const fields = { client: plainName(client.id), user: user === undefined ? undefined : plainName(user), remote };
      const text = `a connection was refused: ${admitted.reason}`;
      throttledLogs.strangers.warn(`refused ${remote} ${fields.user ?? fields.client}`, text, fields);
    }
    return admitted;
  }

  /** Notes that a client is connected. */
  connected(client: ClientOf): void {
    const identity = this.#options.connections.of(client)?.identity;
    if (identity !== undefined) this.#authentication.connected(client.id, identity);
  }

  /** Whether a client is authenticated. */
  isKnown(client: ClientOf): boolean {
    return this.#options.connections.of(client)?.identity !== undefined;
  }

  /** Notes that a client's connection ended. */
  gone(client: ClientOf): void {
    this.#authentication.gone(client.id);
  }

  /** The reason why a message may not be published, which costs its sender the connection; undefined where it may. */
  refusesPublish(client: ClientOf, packet: Published): string | undefined {
    const { base, prefix, connections, counters, throttledLogs } = this.#options;
    const { topic, retain } = packet;
    const identity = connections.of(client)?.identity;
    let why: string | undefined;
    if (identity === undefined || !mayPublish(identity, topic, base, prefix)) why = 'no right to publish that topic';
    else if (retain && topic.startsWith(`${base}-wire/`)) why = 'wire messages are not retained';
    if (why === undefined) {
      if (retain) this.#limitRetained(client, packet);
      return undefined;
    }
    counters.refused.publishes += 1;
    const fields = { topic: plain(topic), ...connections.who(client) };
    throttledLogs.clients.warn(
      `publish ${fields.remote} ${fields.client} ${why}`,
      `a connection was closed: ${why}`,
      fields,
    );
    return why;
  }

  /** Whether a message of QoS 0 is above the rate limit of its client (publish-rates.ts), and is to be dropped. */
  floods(client: ClientOf, { topic, payload }: Published): boolean {
    const { connections, counters, throttledLogs } = this.#options;
    if (!this.#rates.isOver(client, topic, payload.length, performance.now())) return false;
    counters.dropped.rate_limit += 1;
    const text = 'a client publishes faster than any node does: messages above the rate limit are dropped';
    throttledLogs.clients.warn(`rate ${client.id}`, text, { topic, ...connections.who(client) });
    return true;
  }

  /** Whether a client has the right to a filter. */
  mayRead(client: ClientOf, filter: string): boolean {
    const { base, prefix, connections } = this.#options;
    const identity = connections.of(client)?.identity;
    return identity !== undefined && !filter.startsWith(SHARED) && maySubscribe(identity, filter, base, prefix);
  }

  /** Whether a client may subscribe to a filter; a refusal is counted and logged. */
  maySubscribe(client: ClientOf, filter: string): boolean {
    const { connections, counters, throttledLogs } = this.#options;
    if (this.mayRead(client, filter)) return true;
    const shared = filter.startsWith(SHARED);
    counters.refused.subscriptions += 1;
    const why = shared ? 'shared subscriptions are not available' : 'no right to that filter';
    const fields = { filter: plain(filter), ...connections.who(client) };
    throttledLogs.clients.warn(
      `subscribe ${fields.remote} ${fields.client} ${fields.filter}`,
      `a subscription was refused: ${why}`,
      fields,
    );
    return false;
  }

  /**
   * Whether a message goes to a reader; a slow reader loses it, and a reader that has stopped is closed. A message in
   * the reader's session is never dropped: the connection is closed instead, and the next one gets the message.
   */
  mayForward(client: ClientOf, topic: string, kept: boolean): boolean {
    const { base, connections, slowReaderBytes } = this.#options;
    const verdict = judge(client.conn.writableLength, !kept && isBulk(base, topic), slowReaderBytes);
    if (verdict === 'close') connections.closeSlow(client.conn);
    else if (verdict === 'drop') this.#dropped(client);
    return verdict === 'forward';
  }

  #dropped(client: ClientOf): void {
    const { connections, counters, log } = this.#options;
    counters.dropped.slow_readers += 1;
    const connection = connections.of(client);
    if (connection === undefined || connection.lossy) return;
    connection.lossy = true;
    log.warn(
      'tensors and frames for a client are dropped, because it reads them more slowly than they come',
      connections.who(client),
    );
  }

  /**
   * The password to check. A client that joins first sets its secret, where its invitation code is valid. An invalid
   * code may mean that the secret is set already and the answer to an earlier attempt was lost.
   */
  async #password(user: string | undefined, password: string | undefined): Promise<string | undefined> {
    const { credentials, log } = this.#options;
    const joining = password === undefined ? undefined : readJoinPassword(password);
    if (joining === undefined || user === undefined) return password;
    try {
      const joined = await credentials?.redeem?.(user, joining.code, joining.secret);
      if (joined === true) log.info(`${user} has joined with its invitation`);
    } catch (error) {
      log.error(`the secret of ${plainName(user)} cannot be stored: ${error instanceof Error ? error.message : error}`);
    }
    return joining.secret;
  }

  /** Clears `retain` of frames, which are no state, and of messages above the quota. */
  #limitRetained(client: ClientOf, packet: Published): void {
    const { base, connections, counters, throttledLogs } = this.#options;
    const { topic, payload } = packet;
    const size = payload.length === 0 ? 0 : payload.length + topic.length;
    const owner = describeIdentity(connections.of(client)?.identity);
    if (!topic.startsWith(`${base}/input/`) && this.#retained.keep(owner, topic, size)) return;
    packet.retain = false;
    counters.not_retained += 1;
    const text = `a message on ${topic} is delivered but not retained`;
    throttledLogs.clients.warn(`retained ${owner}`, text, connections.who(client));
  }
}
