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

/** What a authorization rests on. */
export interface AuthorizationOptions {
  readonly base: string;
  readonly anonymous: 'loopback' | 'never';
  readonly credentials?: CredentialStore | undefined;
  /** Bytes that a packet may have once its sender is known. */
  readonly maximumPacketSize: number;
  /** Bytes that may wait at one slow reader before bulk for it is dropped. */
  readonly slowReaderBytes: number;
  readonly connections: Connections;
  readonly counters: BrokerCounters;
  readonly log: Log;
  /** Says what is wrong with those who come, and with what those send who are in. */
  readonly throttledLogs: ThrottledLogs;
}

/** Aedes grants shared subscriptions and delivers nothing. */
const SHARED = '$share/';

/** A message as far as it is judged; `retain` is cleared where the message is delivered and not kept. */
export interface Published {
  readonly topic: string;
  readonly payload: string | Buffer;
  retain: boolean;
}

/**
 * The places where the broker asks: who comes in, and what may pass. The answers are in authentication.ts, policy.ts,
 * retained-quota.ts and slow-readers.ts; here they are counted and logged.
 */
export class Authorization {
  readonly #options: AuthorizationOptions;
  readonly #admission: Authentication;
  readonly #retained = new RetainedQuota();
  readonly #rates: PublishRates;

  constructor(options: AuthorizationOptions) {
    const { base, credentials, anonymous } = options;
    this.#options = options;
    this.#admission = new Authentication({ base, credentials, anonymous });
    this.#rates = new PublishRates(base);
  }

  /** Decides whether a client comes in; its connection then has an identity. */
  async enter(client: ClientOf, user: string | undefined, password: string | undefined): Promise<AuthenticationResult> {
    const { connections, counters, maximumPacketSize, throttledLogs } = this.#options;
    const connection = connections.of(client);
    if (connection === undefined) return { returnCode: 5, reason: 'its connection is not known' };
    const checked = await this.#password(user, password);
    // Nobody would say again that it has ended.
    if (client.conn.destroyed) return { returnCode: 5, reason: 'its connection ended' };
    let admitted = this.#admission.admit({ clientId: client.id, ...connection, user, password: checked });
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

  /** A client is connected from now on. */
  connected(client: ClientOf): void {
    const identity = this.#options.connections.of(client)?.identity;
    if (identity !== undefined) this.#admission.connected(client.id, identity);
  }

  /** Whether somebody has been let in. */
  isKnown(client: ClientOf): boolean {
    return this.#options.connections.of(client)?.identity !== undefined;
  }

  /** A client's connection ended. */
  gone(client: ClientOf): void {
    this.#admission.gone(client.id);
  }

  /** Why a message may not be published, which costs its sender the connection; undefined where it may. */
  refusesPublish(client: ClientOf, packet: Published): string | undefined {
    const { base, connections, counters, throttledLogs } = this.#options;
    const { topic, retain } = packet;
    const identity = connections.of(client)?.identity;
    let why: string | undefined;
    if (identity === undefined || !mayPublish(identity, topic, base)) why = 'no right to publish that topic';
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

  /** Whether a message of QoS 0 is one too many of its client (publish-rates.ts), and is not to be passed on. */
  floods(client: ClientOf, { topic, payload }: Published): boolean {
    const { connections, counters, throttledLogs } = this.#options;
    if (!this.#rates.isOver(client, topic, payload.length, performance.now())) return false;
    counters.dropped.rate_limit += 1;
    const text = 'a client publishes more than any node does: what is above the rate is not passed on';
    throttledLogs.clients.warn(`rate ${client.id}`, text, { topic, ...connections.who(client) });
    return true;
  }

  /** Whether a client has the right to a filter. */
  mayRead(client: ClientOf, filter: string): boolean {
    const { base, connections } = this.#options;
    const identity = connections.of(client)?.identity;
    return identity !== undefined && !filter.startsWith(SHARED) && maySubscribe(identity, filter, base);
  }

  /** Whether a client may subscribe to a filter; it is counted and said where not. */
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
   * Whether a message goes to a reader, or is dropped; somebody who does not read at all is closed. What is kept for the
   * reader is not dropped: there it is closed and gets the message on its next connection.
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
    log.warn('bulk for a client is dropped, because it reads more slowly than it is sent', connections.who(client));
  }

  /**
   * The password to check: one that joins first sets the secret in it, where its code is good. Where it is not, the
   * secret may stand already, because the answer to an earlier attempt was lost.
   */
  async #password(user: string | undefined, password: string | undefined): Promise<string | undefined> {
    const { credentials, log } = this.#options;
    const joining = password === undefined ? undefined : readJoinPassword(password);
    if (joining === undefined || user === undefined) return password;
    try {
      const joined = await credentials?.redeem?.(user, joining.code, joining.secret);
      if (joined === true) log.info(`${user} has joined by its invitation`);
    } catch (error) {
      log.error(`the secret of ${plainName(user)} cannot be kept: ${error instanceof Error ? error.message : error}`);
    }
    return joining.secret;
  }

  /** Frames are no state and are not kept; of what else is published so, what the limits allow. */
  #limitRetained(client: ClientOf, packet: Published): void {
    const { base, connections, counters, throttledLogs } = this.#options;
    const { topic, payload } = packet;
    const size = payload.length === 0 ? 0 : payload.length + topic.length;
    const owner = describeIdentity(connections.of(client)?.identity);
    if (!topic.startsWith(`${base}/input/`) && this.#retained.keep(owner, topic, size)) return;
    packet.retain = false;
    counters.not_retained += 1;
    const text = `a message on ${topic} is delivered but not kept`;
    throttledLogs.clients.warn(`retained ${owner}`, text, connections.who(client));
  }
}
