import { isLoopback } from './loopback.ts';

/*
 * How brokers are found on the local network: DNS-SD (RFC 6763) over multicast DNS (RFC 6762). A broker, or central for
 * a broker of another kind, answers for the type `_mqtt._tcp.local` with
 *
 *     PTR   _mqtt._tcp.local     -> <instance>._mqtt._tcp.local
 *     SRV   <instance>...        -> port and host
 *     TXT   <instance>...        -> app=tessera  base=<base topic>  keys=<public keys of central, with commas>  scheme=mqtt|mqtts
 *     A     <host>               -> its addresses, where the host is a name of our own
 *
 * Anybody in the network can say all of this: it tells clusters apart, and proves nothing.
 */

/** The type of service that is asked for and answered. */
export const SERVICE = '_mqtt._tcp.local';
const APP = 'tessera';
const TTL_S = 120;
const KEY = /^ed25519:[A-Za-z0-9_-]{43}$/;
const MAX_KEYS = 4;
/** Records of a message that are looked at: many times what a broker announces. */
const MAX_RECORDS = 256;

/** A record, as far as it matters here; others are ignored. */
export interface DnsRecord {
  readonly type: string;
  readonly name: string;
  readonly ttl?: number | undefined;
  readonly data?: unknown;
}

/** A broker that was announced. */
export interface Announcement {
  readonly url: string;
  readonly base: string;
  /** Public keys of the centrals there. */
  readonly keys: readonly string[];
  /** Whether it is taken back. */
  readonly isOver: boolean;
}

/** What a process announces. */
export interface Announced {
  /** Unlike that of any other process in the network, of letters, digits and dashes. */
  readonly instance: string;
  readonly base: string;
  readonly keys: readonly string[];
  readonly scheme: 'mqtt' | 'mqtts';
  readonly port: number;
  /** Name or IPv4 address of the broker's machine; undefined where that is this one. */
  readonly host: string | undefined;
}

const isAddress = (host: string): boolean => /^(\d{1,3}\.){3}\d{1,3}$/.test(host);

/** The records of an announcement; `own`: the IPv4 addresses of this machine. `ttlS` 0 takes them back. */
export function recordsOf(announced: Announced, own: readonly string[], ttlS = TTL_S): DnsRecord[] {
  const { instance, base, keys, scheme, port, host } = announced;
  const name = `${instance}.${SERVICE}`;
  const isName = host !== undefined && !isAddress(host);
  const target = isName ? host : `${instance}.local`;
  const addresses = isName ? [] : host === undefined ? own : [host];
  const txt = [`app=${APP}`, `base=${base}`, `keys=${keys.slice(0, MAX_KEYS).join(',')}`, `scheme=${scheme}`];
  return [
    { type: 'PTR', name: SERVICE, ttl: ttlS, data: name },
    { type: 'SRV', name, ttl: ttlS, data: { port, target } },
    { type: 'TXT', name, ttl: ttlS, data: txt },
    ...addresses.map((data) => ({ type: 'A', name: target, ttl: ttlS, data })),
  ];
}

/** Whether a question is about records of an announcement: answered are all of them. */
export function isAsked(question: DnsRecord, records: readonly DnsRecord[]): boolean {
  const { name, type } = question;
  return (
    typeof name === 'string' &&
    records.some((record) => record.name === name.toLowerCase() && (type === 'ANY' || type === record.type))
  );
}

/** The brokers that a message of the network announces; `sender` is its address. Nothing in it is believed to be well-formed. */
export function announcementsIn(message: readonly DnsRecord[], sender: string): Announcement[] {
  const records = message.slice(0, MAX_RECORDS);
  const services = records.flatMap(({ type, name, ttl, data }) =>
    type === 'PTR' && name === SERVICE && typeof data === 'string' ? [{ name: data, isOver: ttl === 0 }] : [],
  );
  return services.flatMap(({ name, isOver }) => {
    const of = (type: string) => records.find((record) => record.type === type && record.name === name)?.data;
    const { port, target } = (of('SRV') ?? {}) as { readonly port?: unknown; readonly target?: unknown };
    const txt = textOf(of('TXT'));
    const [base = '', scheme = '', keys = ''] = ['base', 'scheme', 'keys'].map((key) => txt.get(key));
    if (txt.get('app') !== APP || !/^[A-Za-z0-9_/-]{1,256}$/.test(base) || !/^mqtts?$/.test(scheme)) return [];
    if (typeof port !== 'number' || !(port >= 1 && port <= 65_535) || typeof target !== 'string') return [];
    const addresses = records.flatMap(({ type, name: of, data }) =>
      type === 'A' && of === target && typeof data === 'string' && isAddress(data) ? [data] : [],
    );
    // Of a machine with several networks the address in this one.
    const host = addresses.includes(sender) ? sender : (addresses[0] ?? target);
    if (!/^[A-Za-z0-9.-]{1,253}$/.test(host) || isLoopback(host)) return [];
    const known = keys
      .split(',')
      .filter((key) => KEY.test(key))
      .slice(0, MAX_KEYS);
    return [{ url: `${scheme}://${host}:${port}`, base, keys: known, isOver }];
  });
}

/** The entries of a TXT record, `key=value` each (RFC 6763, section 6.3). */
function textOf(data: unknown): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const entry of Array.isArray(data) ? data.slice(0, 16) : []) {
    const text = entry instanceof Uint8Array ? new TextDecoder().decode(entry) : String(entry);
    const at = text.indexOf('=');
    if (at > 0 && !found.has(text.slice(0, at))) found.set(text.slice(0, at), text.slice(at + 1));
  }
  return found;
}

/** Which broker a node looks for. */
export interface Sought {
  readonly base: string;
  /** Public keys of the central that the node trusts; where it trusts none, any cluster of the base will do. */
  readonly keys: readonly string[];
  /** Whether the way has to be encrypted, as it was before. */
  readonly secure: boolean;
}

/**
 * The clusters among announcements that a node looks for, each with the addresses of its broker, which has several where
 * its machine is in the network by cable and by Wi-Fi. All that have a trusted key are one; others are told apart by their
 * keys.
 */
export function fitting(found: readonly Announcement[], { base, keys, secure }: Sought): string[][] {
  const clusters = new Map<string, Set<string>>();
  for (const one of found) {
    if (one.base !== base || (secure && !one.url.startsWith('mqtts:'))) continue;
    if (keys.length > 0 && !one.keys.some((key) => keys.includes(key))) continue;
    const cluster = keys.length > 0 ? '' : one.keys.toSorted().join() || one.url;
    clusters.set(cluster, (clusters.get(cluster) ?? new Set()).add(one.url));
  }
  return [...clusters.values()].map((urls) => [...urls]);
}
