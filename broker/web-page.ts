import { X509Certificate } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback } from './listen.ts';

/**
 * Which WebSockets are opened. A browser on this machine lets any page that somebody looks at reach every address that
 * this machine reaches, and says two things that no page can change:
 *
 *   Origin   where the page comes from. Programs send none.
 *   Host     the name that was asked for. A page whose own name was made to mean this machine (DNS rebinding) has its
 *            name here, and an Origin that fits it.
 *
 *   1. The Host is an address or name under which the listener is known; whatever else it is, is somebody else's name.
 *   2. The Origin is absent, on the host that was asked for, or allowed by the configuration.
 */

/** Names under which a listener is known, lower case. */
export interface WebNames {
  /** The host that it listens on, as it was given. */
  readonly listen: string;
  /** Further names: of this machine, of its certificate, of the configuration. `*.` stands for one level. */
  readonly hosts: readonly string[];
  /** Origins of pages that may come from elsewhere: `https://dash.example`, or `null` for files. */
  readonly origins: readonly string[];
}

/** Why a WebSocket is not opened, with what to do; undefined where it is. */
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
  // An address cannot be made to mean another machine.
  if (isIP(asked) !== 0 && (listen === '0.0.0.0' || listen === '::')) return true;
  return hosts.some((name) =>
    name.startsWith('*.')
      ? asked.slice(asked.indexOf('.') + 1) === name.slice(2) && asked.includes('.')
      : asked === name,
  );
}

/** The host in a URL without port and brackets, lower case, without the dot at its end; undefined where it has none. */
function hostOf(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const name = new URL(url).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  return name === '' ? undefined : name.toLowerCase();
}

/** The names that a certificate says it is for; none of what is no certificate, which the listener says. */
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
