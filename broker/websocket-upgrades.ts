import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { plain } from '../shared/log-throttle.ts';
import { FIRST_PACKET_BYTES } from './connections.ts';
import { namesOf, refusesPage, type WebNames } from './web-page.ts';

/** What decides which WebSockets are opened. */
export interface WebSocketOptions {
  /** Bytes of an MQTT packet. */
  readonly maximumPacketSize: number;
  /** The certificate of the listeners, PEM. */
  readonly cert: string | undefined;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
}

/** Handles an HTTP request to become a WebSocket; `head` is what came behind it. */
export type Upgrade = (request: IncomingMessage, raw: Duplex, head: Buffer) => void;

/** Opens WebSockets that carry MQTT; ws is imported here and nowhere else. */
export class WebSocketUpgrades {
  readonly #server: WebSocketServer;
  readonly #hosts: readonly string[];
  readonly #origins: readonly string[];

  constructor({ maximumPacketSize, cert, allowedHosts, allowedOrigins }: WebSocketOptions) {
    const own = [hostname(), `${hostname()}.local`, ...allowedHosts].map((name) => name.toLowerCase());
    this.#hosts = cert === undefined ? own : [...own, ...namesOf(cert)];
    this.#origins = allowedOrigins.map((origin) => origin.toLowerCase());
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: maximumPacketSize + FIRST_PACKET_BYTES,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') ? 'mqttv3.1' : false),
    });
  }

  /** The upgrade handler of a listener on `listen`; `onRefused` gets the reason and the remote address. */
  upgrader(
    listen: string,
    accept: (stream: Duplex, socket: Socket) => void,
    onRefused: (reason: string, remote: string | undefined) => void,
  ): Upgrade {
    const names: WebNames = { listen, hosts: this.#hosts, origins: this.#origins };
    return (request, raw, head) => {
      raw.on('error', () => raw.destroy());
      const why = refusesPage(request.headers, names);
      if (why !== undefined) {
        onRefused(plain(why), request.socket.remoteAddress);
        raw.end(`HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n${plain(why)}\n`);
        return;
      }
      this.#server.handleUpgrade(request, raw, head, (socket) => accept(createWebSocketStream(socket), request.socket));
    };
  }
}
