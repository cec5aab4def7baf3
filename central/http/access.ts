import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from '../../shared/loopback.ts';

/**
 * Requests of web pages that central refuses. A browser sends two headers that no page can change:
 *
 *   Host     the requested name. A page whose own name was pointed at this machine (DNS rebinding) sends that name.
 *   Origin   where the page comes from; programs send none.
 *
 *   1. Without a login, the host must be this machine's own.
 *   2. A page of another origin changes nothing.
 */

/** Why a request is refused; undefined where it is served. */
export function refusesRequest(
  { host, origin }: Pick<IncomingHttpHeaders, 'host' | 'origin'>,
  method: string,
  needsLogin: boolean,
): string | undefined {
  const asked = URL.canParse(`http://${host}`) ? new URL(`http://${host}`) : undefined;
  if (asked === undefined) return 'the request names no host';
  if (!needsLogin && !isLoopback(asked.hostname.replace(/^\[|\]$/g, '')))
    return `${asked.hostname} is no name of this machine for itself: other names need http.host beyond this machine, and a login`;
  if (method !== 'POST' || origin === undefined) return undefined;
  const from = URL.canParse(origin) ? new URL(origin).host : origin;
  return from === asked.host ? undefined : `a page from ${JSON.stringify(origin.slice(0, 100))} may change nothing`;
}
