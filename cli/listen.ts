import { createServer } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { TesseraError } from '../shared/errors.ts';
import { isLoopback } from '../shared/loopback.ts';

/** Where the embedded broker is to listen. */
export interface ListenAddress {
  readonly host: string;
  /** Undefined: 1883, or the next port that is free. */
  readonly port: number | undefined;
}

const DEFAULT_PORT = 1883;
const PORTS_TRIED = 20;

/** Reads `HOST` or `HOST:PORT`; `[::1]:1883` for IPv6. Throws TESSERA_USAGE. */
export function parseListen(text: string): ListenAddress {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s/]+)(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[2] === undefined ? undefined : Number(match[2]);
  if (match === null || (port !== undefined && port > 65535))
    throw new TesseraError('TESSERA_USAGE', `--listen is ${JSON.stringify(text)}`, {
      hint: 'expected HOST or HOST:PORT, such as 0.0.0.0 or 192.168.1.10:1883',
    });
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port };
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** The port given, or 1883, or the next free one above it. Throws TESSERA_BROKER where none of 20 is free. */
export async function choosePort({ host, port }: ListenAddress): Promise<number> {
  if (port !== undefined) return port;
  for (let candidate = DEFAULT_PORT; candidate < DEFAULT_PORT + PORTS_TRIED; candidate++)
    if (await isFree(host, candidate)) return candidate;
  throw new TesseraError('TESSERA_BROKER', `no free port from ${DEFAULT_PORT} to ${DEFAULT_PORT + PORTS_TRIED - 1}`, {
    hint: 'name one with --listen HOST:PORT',
  });
}

/**
 * Calls `start`, which chooses a port and listens there, and calls it again where another program took the port in
 * between. Throws what `start` throws.
 */
export async function atFreePort<T>(start: () => Promise<T>): Promise<T> {
  for (let left = PORTS_TRIED; ; left--)
    try {
      return await start();
    } catch (error) {
      const { cause } = error as { cause?: NodeJS.ErrnoException };
      if (left <= 1 || cause?.code !== 'EADDRINUSE') throw error;
    }
}

/** An address under which other machines reach a listener: its own, or this machine's first one for 0.0.0.0. */
export function reachableHost(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find((address) => !address.internal && address.family === 'IPv4')?.address ?? hostname();
}

/** A host as it stands in a URL. */
export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Whether a host name or address of a URL is this machine's. */
export function isThisMachine(host: string): boolean {
  const plain = host.replace(/^\[|\]$/g, '').toLowerCase();
  if (isLoopback(plain)) return true;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const name = hostname().toLowerCase();
  return [name, `${name}.local`, ...addresses.map(({ address }) => address)].includes(plain);
}
