import { X509Certificate } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback } from '../shared/loopback.ts';

/**
 * Decides which WebSockets are opened. A browser lets every web page reach every address that its machine reaches, and
 * sends two headers that no page can change:
 *
 *   Origin   where the page comes from. Programs send none.
 *   Host     the requested name. A page whose own name was pointed at this machine (DNS rebinding) sends that name, and
 *   an
 *            Origin that matches it.
 *
 *   1. The Host must be an address or name of the listener.
 *   2. The Origin must be absent, on the requested host, or allowed by the configuration.
 */

/** Names of a listener, lower case. */
export interface WebNames {
  /** Its host, as configured. */
  readonly listen: string;
  /** Further names: of this machine, of its certificate, from the configuration. `*.` stands for one level. */
  readonly hosts: readonly string[];
  /** Allowed origins of pages on other hosts: `https://dash.example`, or `null` for files. */
  readonly origins: readonly string[];
}

/** The reason why a WebSocket is refused, and the way out; undefined where it is opened. */
export function refusesPage({ host, origin }: IncomingHttpHeaders, names: WebNames): string | undefined {
  const asked = host === undefined ? undefined : hostOf(`http://${host}`);
  if (asked === undefined || !isKnownHost(asked, names))
    return `it asked for the host ${JSON.stringify(host ?? '')}, which is no name of this broker: add it to broker.allowed_hosts`;
  if (origin === undefined || names.origins.includes(origin.toLowerCase())) return undefined;
  const from = hostOf(origin);
  if (from !== undefined && (from === asked || (isLoopback(from) && isLoopback(asked)))) return undefined;
  return `a page from ${JSON.stringify(origin)} asked for it: add that to broker.allowed_origins`;
}

function isKnownHost(asked: string, { listen, hosts }: WebNames): boolean {
  if (isLoopback(asked) || asked === listen.toLowerCase()) return true;
  // An address, unlike a name, cannot be pointed at another machine.
  if (isIP(asked) !== 0 && (listen === '0.0.0.0' || listen === '::')) return true;
  return hosts.some((name) =>
    name.startsWith('*.')
      ? asked.slice(asked.indexOf('.') + 1) === name.slice(2) && asked.includes('.')
      : asked === name,
  );
}

/** The host of a URL, lower case, without port, brackets and final dot; undefined where it has none. */
function hostOf(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const name = new URL(url).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  return name === '' ? undefined : name.toLowerCase();
}

/** The host names of a certificate; none of an invalid one, which the listener reports. */
export function namesOf(cert: string): string[] {
  let said: string;
  try {
    said = new X509Certificate(cert).subjectAltName ?? '';
  } catch {
    return [];
  }
  return said.split(', ').flatMap((entry) => {
    const [, name] = /^(?:DNS|IP Address):(.+)$/.exec(entry) ?? [];
    return name === undefined ? [] : [name.toLowerCase()];
  });
}
