import { type Invitation, readJoinToken } from '../shared/config/join.ts';
import { TesseraError } from '../shared/errors.ts';
import { isLoopback } from '../shared/loopback.ts';

/** A token of a node, and what it says. */
export interface NodeToken {
  readonly token: string;
  readonly invitation: Invitation;
}

/**
 * Reads tokens, each for another node. Throws TESSERA_USAGE where a node could not join by one: it has expired at `now`
 * (Unix seconds), leads to the machine that made it, or is there twice.
 */
export function readTokens(tokens: readonly string[], now: number): NodeToken[] {
  const read = tokens.map((token) => ({ token, invitation: readJoinToken(token) }));
  const users = new Set<string>();
  for (const { invitation } of read) {
    const { user, expires, server } = invitation;
    if (users.has(user)) throw usage(`two tokens are for ${user}`, 'invite each node by itself');
    users.add(user);
    if (expires <= now)
      throw usage(
        `the token of ${user} expired at ${new Date(expires * 1000).toISOString()}`,
        `\`tessera node invite ${user} --expires 1d\` makes a new one`,
      );
    if (URL.canParse(server) && isLoopback(new URL(server).hostname.replace(/^\[|\]$/g, '')))
      throw usage(
        `the token of ${user} leads to ${server}, where the node would find itself`,
        'start the broker with --listen 0.0.0.0, or invite with --server URL',
      );
  }
  return read;
}

const usage = (message: string, hint: string): TesseraError => new TesseraError('TESSERA_USAGE', message, { hint });
