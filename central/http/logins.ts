import { createHash, randomBytes } from 'node:crypto';
import { silentLog } from '../../shared/ports.ts';
import { isUserRefusal } from '../../shared/runtime/broker-failure.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { TokenBuckets } from '../../shared/token-buckets.ts';
import type { BrokerConnection } from '../central-options.ts';
import { Refusal } from './refusal.ts';

/**
 * Logins with the users of the broker: a user is who the broker lets in with that name and password. Their role is in
 * their user name, `viewer-NAME` or `admin-NAME` (broker/policy.ts).
 *
 *   unknown --the broker lets the user in--> known --logout, SESSION_MS, or the broker refuses the user--> unknown
 *
 *   1. A session keeps a connection to the broker under the user's name: it ends as soon as the user is revoked there.
 *   2. Where the broker lets in a user that nobody made, nobody logs in: its answers say nothing.
 *   3. Whoever opened something for a session closes it when `ended` is aborted.
 *   4. An address has a bounded number of attempts, and central a bounded number of sessions.
 */

/** How long a session lasts, ms; how many there are. */
export const SESSION_MS = 12 * 3_600_000;
export const SESSIONS = 32;
/** Attempts of one address: at once, and then a second. */
export const ATTEMPTS = { burst: 5, perSecond: 0.1 } as const;
const CONNECT_MS = 5000;

/** What a user may do. */
export type Role = 'viewer' | 'admin';

/** Who is logged in; `ended` is aborted when they no longer are. */
export interface Session {
  readonly user: string;
  readonly role: Role;
  readonly ended: AbortSignal;
}

interface Open extends Session {
  readonly until: number;
  readonly connection: { stop(): Promise<void> };
  readonly end: AbortController;
}

/** A connection to the broker as a user; `onRefused` is called where the broker ends it for good. */
export type EnterBroker = (user: string, password: string, onRefused: () => void) => Promise<Open['connection']>;

/** Enters a broker as its users do; never with the certificate of central, which would stand for central. */
export function enterBroker({ cert: _, key: __, ...broker }: BrokerConnection, base: string): EnterBroker {
  return (user, password, onRefused) => {
    const clientId = `${base}-window-${randomBytes(6).toString('hex')}`;
    return connectBus({
      ...broker,
      user,
      password,
      clientId,
      log: silentLog,
      patient: false,
      connectTimeoutMs: CONNECT_MS,
      onRefused,
    });
  };
}

/** Sessions of users, by token. */
export class Logins {
  readonly #enter: EnterBroker;
  readonly #now: () => number;
  readonly #attempts = new TokenBuckets(ATTEMPTS);
  readonly #sessions = new Map<string, Open>();
  #refusesStrangers = false;

  /** `now`: any steady clock, ms. */
  constructor(enter: EnterBroker, now: () => number) {
    this.#enter = enter;
    this.#now = now;
  }

  /** Whether the broker lets in users that nobody made; undefined where it cannot be reached. */
  async admitStrangers(): Promise<boolean | undefined> {
    const stranger = `viewer-${randomBytes(8).toString('hex')}`;
    try {
      const connection = await this.#enter(stranger, randomBytes(16).toString('hex'), () => {});
      await connection.stop();
      return true;
    } catch (error) {
      this.#refusesStrangers = isRefusal(error);
      return this.#refusesStrangers ? false : undefined;
    }
  }

  /**
   * Makes a session and returns its token. Throws a `Refusal` for a user without a role here, a wrong password, too many
   * attempts, and where the broker cannot be reached.
   */
  async login(user: string, password: string, address: string): Promise<string> {
    this.#attempt(address);
    const token = randomBytes(32).toString('base64url');
    await this.#open(token, user, password);
    return token;
  }

  /** The session of a user name and password that come with a request; the broker is asked once. Throws as `login`. */
  async basic(user: string, password: string, address: string): Promise<Session> {
    const token = createHash('sha256').update(`${user}\0${password}`).digest('base64url');
    const known = this.session(token);
    if (known !== undefined) return known;
    this.#attempt(address);
    return this.#open(token, user, password);
  }

  /** Who has a token; undefined for none. */
  session(token: string): Session | undefined {
    this.endOld();
    return this.#sessions.get(token);
  }

  /** Ends the sessions whose time is over. */
  endOld(): void {
    for (const [token, { until }] of this.#sessions) if (until <= this.#now()) this.logout(token);
  }

  /** Ends a session. */
  logout(token: string): void {
    const open = this.#sessions.get(token);
    if (open === undefined) return;
    this.#sessions.delete(token);
    open.end.abort();
    void open.connection.stop().catch(() => {});
  }

  /** Ends all sessions. */
  stop(): void {
    for (const token of [...this.#sessions.keys()]) this.logout(token);
  }

  #attempt(address: string): void {
    if (!this.#attempts.take(address, this.#now())) throw new Refusal(429, 'too many attempts', 'wait a minute');
  }

  async #open(token: string, user: string, password: string): Promise<Session> {
    const role = /^(viewer|admin)-[A-Za-z0-9_-]{1,64}$/.exec(user)?.[1] as Role | undefined;
    if (role === undefined)
      throw new Refusal(
        401,
        'user name or password is wrong',
        'log in as viewer-NAME or admin-NAME; `tessera broker --invite ROLE:NAME` makes such a user',
      );
    if (!this.#refusesStrangers && (await this.admitStrangers()) !== false)
      throw new Refusal(503, 'the broker does not answer, or lets anybody in');
    const connection = await this.#enter(user, password, () => this.logout(token)).catch((error: unknown) => {
      if (isRefusal(error)) throw new Refusal(401, 'user name or password is wrong');
      throw new Refusal(503, 'the broker does not answer');
    });
    const known = this.session(token);
    if (known !== undefined) {
      // Two requests with the same user name and password came together.
      void connection.stop().catch(() => {});
      return known;
    }
    if (this.#sessions.size >= SESSIONS) this.logout(this.#sessions.keys().next().value!);
    const end = new AbortController();
    const open = { user, role, until: this.#now() + SESSION_MS, connection, end, ended: end.signal };
    this.#sessions.set(token, open);
    return open;
  }
}

/** Whether the broker refused the user, rather than could not be reached. */
function isRefusal(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { readonly code?: number | string } | undefined) : undefined;
  return isUserRefusal(cause?.code);
}
