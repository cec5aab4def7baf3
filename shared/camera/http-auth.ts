/** A challenge of a server, as its WWW-Authenticate header says it. */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'digest';
      readonly realm: string;
      readonly nonce: string;
      readonly opaque: string | undefined;
      /** Whether the server knows the newer form, with a counter. */
      readonly counted: boolean;
    };

/** The first challenge that can be answered, digest before basic; undefined where there is none. */
export function challengeOf(headers: readonly string[]): Challenge | undefined {
  const digest = headers.find((header) => /^digest /i.test(header));
  if (digest !== undefined) {
    const values = new Map(
      [...digest.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)].map(
        ([, key, quoted, bare]) => [key!.toLowerCase(), quoted ?? bare!] as const,
      ),
    );
    const algorithm = values.get('algorithm')?.toLowerCase() ?? 'md5';
    const nonce = values.get('nonce');
    if (algorithm === 'md5' && nonce !== undefined)
      return {
        scheme: 'digest',
        realm: values.get('realm') ?? '',
        nonce,
        opaque: values.get('opaque'),
        counted: (values.get('qop') ?? '').split(',').some((one) => one.trim() === 'auth'),
      };
  }
  return headers.some((header) => /^basic\b/i.test(header)) ? { scheme: 'basic' } : undefined;
}

/** What an answer is made of. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/**
 * The Authorization header for a GET of `uri` (path and query): RFC 7617, RFC 7616 with MD5. `md5` gives lower-case hex;
 * `cnonce` is new for each answer.
 */
export function authorization(
  challenge: Challenge,
  { user, password }: Credentials,
  uri: string,
  md5: (text: string) => string,
  cnonce: string,
): string {
  if (challenge.scheme === 'basic') return `Basic ${base64(`${user}:${password}`)}`;
  const { realm, nonce, opaque, counted } = challenge;
  const who = md5(`${user}:${realm}:${password}`);
  const what = md5(`GET:${uri}`);
  const nc = '00000001';
  const response = counted ? md5(`${who}:${nonce}:${nc}:${cnonce}:auth:${what}`) : md5(`${who}:${nonce}:${what}`);
  const pairs = [
    `username="${quoted(user)}"`,
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${uri}"`,
    `response="${response}"`,
    ...(opaque === undefined ? [] : [`opaque="${opaque}"`]),
    ...(counted ? ['qop=auth', `nc=${nc}`, `cnonce="${cnonce}"`] : []),
  ];
  return `Digest ${pairs.join(', ')}`;
}

const quoted = (text: string): string => text.replace(/["\\]/g, '\\$&');

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
