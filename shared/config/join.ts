import { TesseraError } from '../errors.ts';
import { z } from '../schema.ts';

/**
 * Join tokens: all that a second machine needs to reach a broker, as one word for a command line.
 *
 *     token = "tessera1." base64url(JSON {server, user, password, base, ca})
 *
 * A token holds a password: it is as secret as one.
 */

const PREFIX = 'tessera1.';

const invitation = z.object({
  /** mqtt:// or mqtts:// URL as the second machine reaches it. */
  server: z.string().max(512),
  user: z.string().max(256).optional(),
  password: z.string().max(256).optional(),
  /** Base topic, where it is not `tessera`. */
  base: z.string().max(256).optional(),
  /** PEM text of the certificate authority, where the broker's certificate is its own. */
  ca: z.string().max(16_384).optional(),
});
/** What a join token says. */
export type Invitation = z.infer<typeof invitation>;

/** Makes a join token. */
export function makeJoinToken(content: Invitation): string {
  const bytes = new TextEncoder().encode(JSON.stringify(content));
  const base64 = btoa(String.fromCharCode(...bytes));
  return PREFIX + base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Reads a join token; throws TESSERA_USAGE for anything else, without repeating it, since it may hold a password. */
export function readJoinToken(token: string): Invitation {
  const wrong = (why: string): TesseraError =>
    new TesseraError('TESSERA_USAGE', `the join token ${why}`, {
      hint: 'copy the whole `tessera agent --join ...` line that `tessera up --listen` printed',
    });
  if (!token.startsWith(PREFIX)) throw wrong(`does not begin with ${PREFIX}`);
  let content: unknown;
  try {
    const binary = atob(token.slice(PREFIX.length).replaceAll('-', '+').replaceAll('_', '/'));
    content = JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))));
  } catch {
    throw wrong('is damaged');
  }
  const result = invitation.safeParse(content);
  if (!result.success) throw wrong('is damaged');
  return result.data;
}
