import { X509Certificate } from 'node:crypto';
import { failureOf, TesseraError } from '../shared/errors.ts';
import type { Bus, Log } from '../shared/ports.ts';
import {
  type NodeInvite,
  type NodeInvited,
  type NodeRevoked,
  nodeInvite,
  nodeRevoke,
} from '../shared/protocol/messages/requests.ts';
import { topics as topicsOf } from '../shared/protocol/topics.ts';
import { connectBusOver } from '../shared/runtime/mqtt.ts';
import { answerRequests, handler } from '../shared/runtime/requests.ts';
import { isPublicKey } from '../shared/runtime/signature.ts';
import type { RunningBroker } from './broker-options.ts';
import type { Credentials } from './credentials.ts';
import type { ListenTls } from './listen.ts';
import { ROLES, type Role, userName } from './policy.ts';

/**
 * Enrols and revokes users at a running broker: answers `node-invite` and `node-revoke` over a connection of its own
 * from inside the process.
 *
 *   1. Clients make their own secrets; this service sees and sends hashes only.
 *   2. A node is invited only after central has published its public key: without the key it would run any
 *      models.
 *   3. A revoked user is refused first and disconnected then, so that it cannot reconnect in between.
 */

/** What the enrolment service needs. */
export interface EnrolmentOptions {
  readonly broker: RunningBroker;
  readonly credentials: Credentials;
  readonly base: string;
  /** The broker's address as other machines reach it. */
  readonly server: string;
  readonly tls?: ListenTls | undefined;
  /** Public keys that releases of the program are signed with. */
  readonly updateKeys?: readonly string[] | undefined;
  readonly log: Log;
  /** Unix seconds. */
  readonly now?: () => number;
  /** Called with the public keys of all centrals whenever one has published another. */
  readonly onKeys?: ((keys: readonly string[]) => void) | undefined;
}

/** Keys that fit into an invitation. */
const MAX_KEYS = 4;

/** A running enrolment service. */
export class EnrolmentService {
  readonly #options: EnrolmentOptions;
  readonly #now: () => number;
  /** Public keys of centrals by their ids, the newest last. */
  readonly #keys = new Map<string, string>();
  readonly #waiting = new Set<() => void>();
  #bus: Bus | undefined;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Date.now() / 1000);
  }

  async start(): Promise<void> {
    const { broker, base, log } = this.#options;
    const topics = topicsOf(base);
    const bus = await connectBusOver({ openStream: () => broker.connect(), clientId: `${base}-enrolment`, log });
    this.#bus = bus;
    await bus.subscribe(topics.centralKeyAll, 1, ({ topic, payload }) => {
      const key = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
      if (payload.byteLength > 64 || !isPublicKey(key)) return;
      if (this.#keys.get(topic) === key) return;
      this.#keys.delete(topic);
      this.#keys.set(topic, key);
      this.#options.onKeys?.(this.#newestKeys());
      for (const wake of this.#waiting) wake();
      this.#waiting.clear();
    });
    const handlers = {
      'node-invite': handler(nodeInvite, (asked) => this.invite(asked)),
      'node-revoke': handler(nodeRevoke, ({ role, name }) => this.revoke(roleOf(role), name)),
    };
    await answerRequests(bus, topics, handlers, log);
  }

  /** Resolves when a central has published its key, or `signal` is aborted. */
  async untilKey(signal: AbortSignal): Promise<void> {
    while (this.#keys.size === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** Gives a user a password or an invitation; throws TESSERA_CONFIG for an invalid name, TESSERA_USAGE for a known user and `only_new`. */
  async invite(asked: Omit<NodeInvite, 'transaction'>): Promise<NodeInvited> {
    const { credentials, base, server, tls, updateKeys = [], log } = this.#options;
    const { name, salt, hash, expires_s, only_new } = asked;
    const role = roleOf(asked.role);
    if (only_new === true && credentials.users().some((one) => one.role === role && one.name === name))
      throw new TesseraError('TESSERA_USAGE', `the ${role} "${name}" has joined already`, {
        hint: `choose another name with --name; \`--name ${name}\` puts the new one in its place`,
      });
    const keys = this.#newestKeys();
    const ca = tls === undefined ? undefined : ownAuthority(tls);
    const about = { server, base, keys, update_keys: [...updateKeys], ...(ca === undefined ? {} : { ca }) };
    if (expires_s === undefined) {
      const user = await credentials.admit(role, name, { salt, hash });
      log.info(`${user} has a new password`);
      return { user, ...about };
    }
    if (role !== 'node')
      throw new TesseraError('TESSERA_USAGE', `a ${role} cannot join by an invitation`, {
        hint: 'leave out the expiry: the user then gets a password',
      });
    if (keys.length === 0)
      throw new TesseraError('TESSERA_CONFIG', 'no central has published the key that the node is to trust', {
        hint: 'start central first, then invite the node',
      });
    const expires = Math.floor(this.#now()) + expires_s;
    const user = await credentials.invite(role, name, { salt, hash }, expires);
    log.info(`${user} is invited`, { expires: new Date(expires * 1000).toISOString() });
    return { user, ...about, expires };
  }

  /** Revokes the access of a user; throws TESSERA_USAGE for an unknown one. */
  async revoke(role: Role, name: string): Promise<NodeRevoked> {
    const { credentials, broker, tls, log } = this.#options;
    const user = userName(role, name);
    // Only the CA that signed client certificates knows who holds one.
    let known: boolean;
    let closed = 0;
    try {
      known = await credentials.revoke(user, tls?.ca !== undefined);
    } catch (error) {
      closed = broker.expel(user);
      const { message, hint } = failureOf(error);
      log.error(`${user} is revoked, but a restart of the broker would admit it again: ${message}`);
      throw new TesseraError('TESSERA_STORAGE', `${user} is revoked until the broker is restarted: ${message}`, {
        hint: `${hint ?? 'make room'}; the broker repeats the write, and logs each failure`,
        cause: error,
      });
    }
    closed += broker.expel(user);
    if (known || closed > 0 || tls?.ca !== undefined) {
      log.info(`the access of ${user} is revoked`);
      return { user, closed };
    }
    const names = credentials.users().filter((one) => one.role === role);
    throw new TesseraError('TESSERA_USAGE', `the broker knows no ${role} "${name}"`, {
      hint: names.length === 0 ? 'it knows none' : `it knows ${names.map((one) => one.name).join(', ')}`,
    });
  }

  #newestKeys(): string[] {
    return [...new Set([...this.#keys.values()].reverse())].slice(0, MAX_KEYS);
  }

  async stop(): Promise<void> {
    await this.#bus?.stop();
  }
}

function roleOf(text: string): Role {
  const role = ROLES.find((known) => known === text);
  if (role !== undefined) return role;
  throw new TesseraError('TESSERA_USAGE', `"${text}" is no role`, { hint: `the roles are ${ROLES.join(', ')}` });
}

/**
 * The CA certificate that clients need to trust the broker: of its own chain, or the CA for clients where that signed
 * it.
 */
export function ownAuthority({ cert, ca }: ListenTls): string | undefined {
  const chain = cert.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  const last = chain.at(-1);
  if (last === undefined) return undefined;
  const top = new X509Certificate(last);
  if (top.checkIssued(top)) return top.toString();
  if (ca === undefined) return undefined;
  const authority = new X509Certificate(ca);
  return top.checkIssued(authority) ? authority.toString() : undefined;
}
