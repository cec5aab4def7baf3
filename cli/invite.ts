import { makeJoinToken } from '../shared/config/join.ts';
import { isLoopback } from '../shared/loopback.ts';
import type { NodeInvite, NodeInvited } from '../shared/protocol/messages/requests.ts';
import type { LoadedConfig } from '../shared/runtime/config.ts';
import { hashSecret, newSecret } from '../shared/runtime/secret.ts';

/** The enrolment service of a broker, here or at the other end of a request. */
export type RequestInvite = (asked: Omit<NodeInvite, 'transaction'>) => Promise<NodeInvited>;

/** An invitation that a node joins by. */
export interface NodeInvitation {
  readonly user: string;
  readonly token: string;
  /** Unix seconds. */
  readonly expires: number;
}

/** Default validity of an invitation, seconds. */
export const INVITATION_S = 3600;

/**
 * The broker's address as a node most likely reaches it: that by which it is reached from here over a network. Undefined
 * where the broker knows better.
 */
export function serverForNodes({ config, origins }: LoadedConfig): string | undefined {
  if (origins.get('mqtt.server') === 'default') return undefined;
  const url = new URL(config.mqtt.server);
  url.username = '';
  url.password = '';
  return isLoopback(url.hostname.replace(/^\[|\]$/g, '')) ? undefined : url.href.replace(/\/$/, '');
}

/** Invites a node; `server` is the broker's address as the node reaches it, where its own guess is not right. */
export async function inviteNode(
  name: string,
  expiresS: number,
  ask: RequestInvite,
  server?: string,
): Promise<NodeInvitation> {
  const code = newSecret();
  const invited = await ask({ role: 'node', name, ...hashSecret(code), expires_s: expiresS });
  const { user, base, ca, keys, update_keys = [], expires = 0 } = invited;
  const token = makeJoinToken({
    server: server ?? invited.server,
    user,
    code,
    expires,
    ...(base === 'tessera' ? {} : { base }),
    ...(ca === undefined ? {} : { ca }),
    keys,
    ...(update_keys.length === 0 ? {} : { update_keys }),
  });
  return { user, token, expires };
}

/** Gives a role and name a lasting password, in place of an earlier one. */
export async function newPassword(
  role: string,
  name: string,
  ask: RequestInvite,
): Promise<{ readonly user: string; readonly password: string }> {
  const password = newSecret();
  const { user } = await ask({ role, name, ...hashSecret(password) });
  return { user, password };
}
