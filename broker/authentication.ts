import { CENTRAL } from '../shared/plan/plan.ts';
import type { CredentialStore } from './credentials.ts';
import { type Identity, identityOfUser, userName } from './policy.ts';

/** What admission needs of the broker's options. */
export interface AuthenticationOptions {
  readonly base: string;
  readonly credentials?: CredentialStore | undefined;
  /** Whether connections from this machine may come without credentials. */
  readonly anonymous: 'loopback' | 'never';
}

/** Who asks to be let in: `trusted` says that the connection comes from this machine, `inside` from this process. */
export interface Applicant {
  readonly clientId: string;
  readonly trusted: boolean;
  readonly inside?: boolean;
  /** The name (CN) in a client certificate that was verified. */
  readonly certificate?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/** Who it is, or the CONNACK code (MQTT 3.1.1 section 3.2.2.3) and the reason of a refusal. */
export type AuthenticationResult =
  | { readonly identity: Identity }
  | { readonly returnCode: 2 | 3 | 4 | 5; readonly reason: string };

/**
 * Decides who may connect, and under which client id.
 *
 *   1. A client certificate says who somebody is, whatever user name comes with it (so does Mosquitto with
 *      use_identity_as_username), unless that user was thrown out.
 *   2. Else a user name that is given is checked; only a connection from this machine may come without one.
 *   3. A client id in use is taken over (which ends the older connection) by the same identity, by the node or
 *      central whose id it is, or from this machine; by nobody else.
 *   4. The client id that frames are kept for (sessions.ts) is for central and this machine only, also when it is free:
 *      who connects under it gets what is kept, or has it thrown away.
 */
export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #owners = new Map<string, Identity>();

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  /** Judges an applicant; keeps nothing. */
  admit({ clientId, trusted, inside, certificate, user, password }: Applicant): AuthenticationResult {
    const { base, credentials, anonymous } = this.#options;
    let identity: Identity | undefined;
    if (inside === true) {
      identity = { role: 'local' };
    } else if (certificate !== undefined) {
      identity = identityOfUser(certificate);
      if (identity === undefined || credentials?.isRevoked?.(certificate) === true)
        return { returnCode: 5, reason: `the name "${certificate}" of a certificate is no user, or was thrown out` };
    } else if (user !== undefined && credentials !== undefined) {
      identity = credentials.verify(user, password ?? '');
      if (identity === undefined) return { returnCode: 4, reason: 'user name or password is wrong' };
    } else if (trusted && anonymous === 'loopback') {
      identity = { role: 'local' };
    }
    if (identity === undefined) return { returnCode: 5, reason: 'no user name' };
    if (clientId === ingestClientId(base) && identity.role !== 'central' && identity.role !== 'local')
      return { returnCode: 2, reason: "the client id is central's" };
    const owner = this.#owners.get(clientId);
    const free =
      owner === undefined || identity.role === 'local' || describeIdentity(owner) === describeIdentity(identity);
    if (free || this.#belongsTo(clientId, identity)) return { identity };
    return { returnCode: 2, reason: `the client id is in use by ${describeIdentity(owner)}` };
  }

  /** A client is connected from now on. */
  connected(clientId: string, identity: Identity): void {
    this.#owners.set(clientId, identity);
  }

  /** A client's connection ended. */
  gone(clientId: string): void {
    this.#owners.delete(clientId);
  }

  /** The client ids `<base>-node-<id>` and `<base>-central` belong to those of that name. */
  #belongsTo(clientId: string, identity: Identity): boolean {
    const { base } = this.#options;
    if (identity.role === 'node') return clientId === `${base}-node-${identity.name}`;
    return identity.role === 'central' && clientId === `${base}-${identity.name}`;
  }
}

/** The client id of the connection on which whichever central is active takes frames in. */
export const ingestClientId = (base: string): string => `${base}-${CENTRAL}`;

/** The user name of an identity; undefined for somebody on this machine. */
export const userOf = (identity: Identity | undefined): string | undefined =>
  identity === undefined || identity.role === 'local' ? undefined : userName(identity.role, identity.name);

/** An identity in words, for logs. */
export const describeIdentity = (identity: Identity | undefined): string =>
  identity === undefined ? '?' : identity.role === 'local' ? 'local' : `${identity.role} ${identity.name}`;
