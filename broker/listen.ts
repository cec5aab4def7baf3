import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { TesseraError } from '../shared/errors.ts';
import { isLoopback } from '../shared/loopback.ts';
import { tlsReason } from '../shared/runtime/broker-failure.ts';

/** The address of a listener; `host` without the brackets of IPv6. */
export interface ListenAddress {
  readonly scheme: 'mqtt' | 'mqtts' | 'ws' | 'wss';
  readonly host: string;
  readonly port: number;
}

/** PEM texts of a TLS listener; with `ca`, clients must show a certificate that it signed. */
export interface ListenTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string | undefined;
}

/** A running listener. */
export interface Listener {
  readonly url: string;
  /** Accepts no more connections; open ones stay open. */
  close(): void;
}

const DEFAULT_PORTS = { mqtt: 1883, mqtts: 8883, ws: 9001, wss: 9443 } as const;

/** Reads mqtt://HOST:PORT (or mqtts, ws, wss); throws TesseraError TESSERA_CONFIG for anything else. */
export function parseListen(text: string): ListenAddress {
  const match = /^(mqtt|mqtts|ws|wss):\/\/(\[[0-9a-fA-F:.]+\]|[^/:[\]@]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const scheme = match?.[1] as ListenAddress['scheme'] | undefined;
  const port = match?.[3] === undefined ? DEFAULT_PORTS[scheme ?? 'mqtt'] : Number(match[3]);
  if (scheme === undefined || port > 65_535) {
    throw new TesseraError('TESSERA_CONFIG', `broker.listen: "${text}" is not an address to listen on`, {
      hint: 'write it as mqtt://127.0.0.1:1883, or with mqtts, ws or wss; port 0 takes a free one',
    });
  }
  return { scheme, host: match![2]!.replace(/^\[|\]$/g, ''), port };
}

/** Whether a listener speaks TLS. */
export const isTls = (scheme: ListenAddress['scheme']): boolean => scheme === 'mqtts' || scheme === 'wss';

/** Throws TESSERA_CONFIG for an address beyond loopback where neither password nor client certificate is asked for. */
export function refuseUnprotected(
  addresses: readonly ListenAddress[],
  { credentials, tls }: { readonly credentials?: object | undefined; readonly tls?: ListenTls | undefined },
): void {
  if (credentials !== undefined) return;
  const open = addresses.find(({ host, scheme }) => !isLoopback(host) && !(isTls(scheme) && tls?.ca !== undefined));
  if (open === undefined) return;
  const text = `broker.listen: ${open.host} is beyond this machine, and clients would need no password`;
  throw new TesseraError('TESSERA_CONFIG', text, {
    hint: 'listen on 127.0.0.1, or use `tessera up --listen HOST`, which makes a password and stores it',
  });
}

/** What a listener does with connections. */
export interface Arrivals {
  /** A connection as it is accepted, before TLS or HTTP has read a byte of it. */
  arrived(socket: Socket): void;
  /** A TCP or TLS connection. */
  stream(socket: Socket): void;
  /** A WebSocket that asks to be opened. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** A TLS connection that failed, and why. */
  refused(reason: string, remote: string | undefined): void;
}

/** Listens; throws TesseraError TESSERA_BROKER (its cause has the system's code) where the address cannot be bound. */
export async function listenOn(address: ListenAddress, tls: ListenTls | undefined, to: Arrivals): Promise<Listener> {
  const server = createServer(address, tls, to);
  server.on('connection', (socket: Socket) => to.arrived(socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(address, cause)));
    server.listen(address.port, address.host, resolve);
  });
  // Later faults of a listener (out of file descriptors) must not end the process.
  server.on('error', () => {});
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { url: `${address.scheme}://${host}:${port}`, close: () => void server.close() };
}

function createServer({ scheme }: ListenAddress, tls: ListenTls | undefined, to: Arrivals): Server {
  // noDelay: an acknowledgement held back by Nagle makes a QoS 1 round trip 44 ms instead of 0.15 ms.
  if (scheme === 'mqtt') return createTcpServer({ noDelay: true }, (socket) => to.stream(socket));
  const plain = (_request: unknown, response: import('node:http').ServerResponse) =>
    void response.writeHead(426, { connection: 'close' }).end('MQTT over WebSocket only\n');
  if (scheme === 'ws') return createHttpServer({ noDelay: true }, plain).on('upgrade', to.upgrade);
  const refused = (error: Error, socket: TLSSocket): void => {
    // Node resets a connection whose certificate it does not trust, and gives the reason here.
    const untrusted = socket.authorizationError as Error | string | null | undefined;
    to.refused(
      untrusted ? `its certificate is not trusted: ${untrusted}` : tlsReason(error.message),
      socket.remoteAddress,
    );
    socket.destroy();
  };
  if (tls === undefined) {
    throw new TesseraError('TESSERA_CONFIG', `broker.listen: ${scheme} needs a certificate`, {
      hint: 'name broker.cert and broker.key, or listen on mqtt:// and loopback',
    });
  }
  const { cert, key, ca } = tls;
  const secure = { cert, key, ...(ca && { ca, requestCert: true }), noDelay: true, handshakeTimeout: 10_000 };
  try {
    if (scheme === 'mqtts') return createTlsServer(secure, (socket) => to.stream(socket)).on('tlsClientError', refused);
    return createHttpsServer(secure, plain).on('upgrade', to.upgrade).on('tlsClientError', refused);
  } catch (cause) {
    // OpenSSL's message contains the cause, never the content of a key.
    const text = `broker.cert, broker.key or broker.ca: ${tlsReason((cause as Error).message)}`;
    const hint = 'each names a PEM file; the key must be that of the certificate';
    throw new TesseraError('TESSERA_CONFIG', text, { hint, cause });
  }
}

function listenError({ host, port }: ListenAddress, cause: NodeJS.ErrnoException): TesseraError {
  const where = `${host}:${port}`;
  if (cause.code === 'EADDRINUSE') {
    return new TesseraError('TESSERA_BROKER', `${where} is already in use`, {
      cause,
      hint: 'another broker runs here: connect to it with --broker, or listen on another port (0 takes a free one)',
    });
  }
  if (cause.code === 'EACCES') {
    const hint = 'ports below 1024 need privileges; use one above';
    return new TesseraError('TESSERA_BROKER', `${where} may not be listened on`, { cause, hint });
  }
  const hint = 'give an address of this machine: 127.0.0.1 for itself, 0.0.0.0 for the network';
  return new TesseraError('TESSERA_BROKER', `${where} cannot be listened on: ${cause.message}`, { cause, hint });
}
