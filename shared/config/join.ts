import { TesseraError } from '../errors.ts';
import { z } from '../schema.ts';

/**
 * Join tokens: everything that a second machine needs to join, as one word for a command line.
 *
 *     token    = "tessera1." base64url(JSON {server, user, code, expires, base, ca, keys, update_keys})
 *     password = "join1." code "." secret
 *
 * The code is valid for one use: with it in the password of its first connection (MQTT 3.1.1 section 3.1.3.5) the node
 * registers the secret that it made itself, and authenticates with that secret alone from then on. So no topic ever
 * carries a secret, and a node whose first connection failed can simply repeat it.
 */

const PREFIX = 'tessera1.';
const SECRET = '[A-Za-z0-9_-]{32,64}';

const invitation = z.object({
  /** mqtt:// or mqtts:// URL as the second machine reaches it. */
  server: z.string().max(512),
  /** User name at the broker, which is the node's id. */
  user: z.string().max(128),
  code: z.string().regex(new RegExp(`^${SECRET}$`)),
  /** Unix seconds. */
  expires: z.number(),
  /** Base topic, where it is not `tessera`. */
  base: z.string().max(256).optional(),
  /** PEM text of the certificate authority, where the broker's certificate is its own. */
  ca: z.string().max(16_384).optional(),
  /** Public keys of central: the node runs only models that one of them signed. */
  keys: z.array(z.string().max(64)).min(1).max(4),
  /** Public keys of those who make bundles: the node runs only releases that one of them signed. */
  update_keys: z.array(z.string().max(64)).max(4).optional(),
});
/** The content of a join token. */
export type Invitation = z.infer<typeof invitation>;

/** Makes a join token. */
export function makeJoinToken(content: Invitation): string {
  const bytes = new TextEncoder().encode(JSON.stringify(content));
  const base64 = btoa(String.fromCharCode(...bytes));
  return PREFIX + base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Reads a join token; throws TESSERA_USAGE for anything else, without printing it, since it may still be valid. */
export function readJoinToken(token: string): Invitation {
  const wrong = (why: string): TesseraError =>
    new TesseraError('TESSERA_USAGE', `the join token ${why}`, {
      hint: 'copy the whole line that `tessera node invite` printed: `... agent --join tessera1...`',
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

/** The password of a first connection, which registers `secret` with `code`. */
export function joinPassword(code: string, secret: string): string {
  return `join1.${code}.${secret}`;
}

/** Code and secret of a password that joins; undefined for any other password. */
export function readJoinPassword(password: string): { readonly code: string; readonly secret: string } | undefined {
  const match = new RegExp(`^join1\\.(${SECRET})\\.(${SECRET})$`).exec(password);
  return match === null ? undefined : { code: match[1]!, secret: match[2]! };
}
