import { makeJoinToken } from '../shared/config/join.ts';
import type { NodeInvite, NodeInvited } from '../shared/protocol/messages/requests.ts';
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

/** Invites a node; `server` is the broker's address as the node reaches it, where its own guess is not right. */
export async function inviteNode(
  name: string,
  expiresS: number,
  ask: RequestInvite,
  server?: string,
): Promise<NodeInvitation> {
  const code = newSecret();
  const invited = await ask({ role: 'node', name, ...hashSecret(code), expires_s: expiresS });
  const { user, base, ca, keys, expires = 0 } = invited;
  const token = makeJoinToken({
    server: server ?? invited.server,
    user,
    code,
    expires,
    ...(base === 'tessera' ? {} : { base }),
    ...(ca === undefined ? {} : { ca }),
    keys,
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
