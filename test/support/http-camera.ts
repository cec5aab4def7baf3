import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/**
 * A camera of a test that answers by HTTP, for `me` with the password: MJPEG at /stream, a snapshot at /snap.jpg, and one at
 * /closing.jpg, where a connection is closed when it is used again.
 */
export interface HttpCamera {
  readonly port: number;
  /** Requests that came, requests for snapshots that were answered, and connections that were closed on second use. */
  readonly counts: { requests: number; snapshots: number; closed: number };
  /** Ends the open streams, as a camera that restarts. */
  cut(): void;
  stop(): Promise<void>;
}

/** Starts it. `picture`: what it shows; with `tls` it answers by HTTPS. */
export async function startHttpCamera(
  picture: Uint8Array,
  password: string,
  tls?: { readonly cert: string; readonly key: string },
): Promise<HttpCamera> {
  const counts = { requests: 0, snapshots: 0, closed: 0 };
  const streams = new Set<ServerResponse>();
  const used = new WeakSet<object>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    counts.requests++;
    if (!isAdmitted(request, password)) {
      response.writeHead(401, { 'www-authenticate': 'Digest realm="cam", qop="auth", nonce="f00d"' }).end();
      return;
    }
    const { pathname } = new URL(request.url!, 'http://cam');
    if (pathname === '/moved') response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end();
    else if (pathname === '/page') response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    else if (pathname === '/closing.jpg' && used.has(request.socket)) {
      counts.closed++;
      request.socket.destroy();
    } else if (pathname === '/snap.jpg' || pathname === '/closing.jpg') {
      used.add(request.socket);
      counts.snapshots++;
      response.writeHead(200, { 'content-type': 'image/jpeg' }).end(picture);
    } else {
      response.writeHead(200, { 'content-type': 'multipart/x-mixed-replace; boundary=frame' });
      streams.add(response);
      const send = () => {
        response.write(`--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${picture.byteLength}\r\n\r\n`);
        response.write(picture);
        response.write('\r\n');
      };
      send();
      const timer = setInterval(send, 20);
      response.on('close', () => clearInterval(timer));
    }
  };
  const server = tls === undefined ? createServer(answer) : createTlsServer({ cert: tls.cert, key: tls.key }, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const response of streams) response.destroy();
    streams.clear();
  };
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    cut,
    async stop() {
      cut();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function isAdmitted({ headers, url }: IncomingMessage, password: string): boolean {
  const said = Object.fromEntries(
    [...(headers.authorization ?? '').matchAll(/(\w+)="?([^",]*)"?/g)].map(([, key, value]) => [key!, value!]),
  );
  const md5 = (text: string) => createHash('md5').update(text).digest('hex');
  const who = md5(`me:cam:${password}`);
  return said.response === md5(`${who}:f00d:${said.nc}:${said.cnonce}:auth:${md5(`GET:${url}`)}`);
}
