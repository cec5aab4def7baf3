import { CENTRAL } from '../shared/plan/plan.ts';
import type { CredentialStore } from './credentials.ts';
import { type Identity, identityOfUser, userName } from './policy.ts';

/** What authentication needs of the broker's options. */
export interface AuthenticationOptions {
  readonly base: string;
  readonly credentials?: CredentialStore | undefined;
  /** Whether connections from this machine may come without credentials. */
  readonly anonymous: 'loopback' | 'never';
}

/** A client that connects: `trusted` says that it is on this machine, `inside` that it is in this process. */
export interface Applicant {
  readonly clientId: string;
  readonly trusted: boolean;
  readonly inside?: boolean;
  /** The name (CN) in a client certificate that was verified. */
  readonly certificate?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/** The client's identity, or the CONNACK code (MQTT 3.1.1 section 3.2.2.3) and the reason of a refusal. */
export type AuthenticationResult =
  | { readonly identity: Identity }
  | { readonly returnCode: 2 | 3 | 4 | 5; readonly reason: string };

/**
 * Decides who may connect, and under which client id.
 *
 *   1. A client certificate gives the identity, whatever user name comes with it (as in Mosquitto with
 *      use_identity_as_username), unless that user was revoked.
 *   2. Otherwise a given user name is checked against the credentials; only a client on this machine may give none.
 *   3. A client id in use is taken over, which ends the older connection, by the same identity, by the node or central
 *      that owns the id, or from this machine; never by another client.
 *   4. The client id of central's session (central-session.ts) is for central and this machine only, even while it is
 *      free: a client that connects under it receives the stored frames or discards them.
 */
export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #owners = new Map<string, Identity>();

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  /** Authenticates a client; changes nothing. */
  admit({ clientId, trusted, inside, certificate, user, password }: Applicant): AuthenticationResult {
    const { base, credentials, anonymous } = this.#options;
    let identity: Identity | undefined;
    if (inside === true) {
      identity = { role: 'local' };
    } else if (certificate !== undefined) {
      identity = identityOfUser(certificate);
      if (identity === undefined || credentials?.isRevoked?.(certificate) === true)
        return {
          returnCode: 5,
          reason: `the name "${certificate}" of a certificate is no user, or its access was revoked`,
        };
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

  /** Notes that a client is connected. */
  connected(clientId: string, identity: Identity): void {
    this.#owners.set(clientId, identity);
  }

  /** Notes that a client's connection ended. */
  gone(clientId: string): void {
    this.#owners.delete(clientId);
  }

  /** Whether a client id belongs to an identity: `<base>-node-<id>` to that node, `<base>-central` to central. */
  #belongsTo(clientId: string, identity: Identity): boolean {
    const { base } = this.#options;
    if (identity.role === 'node') return clientId === `${base}-node-${identity.name}`;
    return identity.role === 'central' && clientId === `${base}-${identity.name}`;
  }
}

/** The client id of the ingest connection of the active central. */
export const ingestClientId = (base: string): string => `${base}-${CENTRAL}`;

/** The user name of an identity; undefined for a client on this machine without credentials. */
export const userOf = (identity: Identity | undefined): string | undefined =>
  identity === undefined || identity.role === 'local' ? undefined : userName(identity.role, identity.name);

/** An identity as logs show it. */
export const describeIdentity = (identity: Identity | undefined): string =>
  identity === undefined ? '?' : identity.role === 'local' ? 'local' : `${identity.role} ${identity.name}`;
