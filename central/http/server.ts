import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TesseraError } from '../../shared/errors.ts';
import { Refusal } from './refusal.ts';

/** Limits of the HTTP server. */
export const HTTP_LIMITS = {
  /** Open connections. */
  connections: 256,
  /** Bytes of a request's headers, and of its body. */
  headerBytes: 8192,
  bodyBytes: 4096,
  /** Time for a whole request, and for the next one on an idle connection, ms. */
  requestMs: 10_000,
  idleMs: 30_000,
} as const;

/** What a request is answered with. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers a request; undefined where it took the response over. Throws a `Refusal`. */
export type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<Answer | undefined>;

/** A JSON answer. */
export function json(value: unknown, status = 200, headers: Answer['headers'] = {}): Answer {
  return { status, type: 'application/json', body: JSON.stringify(value), headers };
}

/** The JSON value of a request's body. Throws a `Refusal`. */
export async function jsonBody(request: IncomingMessage): Promise<unknown> {
  // A page of another origin cannot send this type without being asked for (Fetch, "CORS-safelisted").
  if (request.headers['content-type']?.split(';')[0] !== 'application/json')
    throw new Refusal(415, 'the body is not application/json');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > HTTP_LIMITS.bodyBytes) throw new Refusal(413, `the body has more than ${HTTP_LIMITS.bodyBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new Refusal(400, 'the body is no JSON');
  }
}

/** A listening HTTP server. */
export class HttpServer {
  readonly #server: Server;
  readonly #host: string;

  private constructor(server: Server, host: string) {
    this.#server = server;
    this.#host = host;
  }

  /**
   * Listens on the first of these ports that is free; port 0 takes any. `headers` are those of every answer. Throws
   * TESSERA_CONFIG where none is free.
   */
  static async listen(
    host: string,
    ports: readonly number[],
    headers: Readonly<Record<string, string>>,
    handle: Handle,
  ): Promise<HttpServer> {
    const server = createServer(
      {
        maxHeaderSize: HTTP_LIMITS.headerBytes,
        requestTimeout: HTTP_LIMITS.requestMs,
        headersTimeout: HTTP_LIMITS.requestMs,
        keepAliveTimeout: HTTP_LIMITS.idleMs,
      },
      (request, response) => void answer(request, response, headers, handle),
    );
    server.maxConnections = HTTP_LIMITS.connections;
    let last: NodeJS.ErrnoException | undefined;
    for (const port of ports) {
      last = await listenAt(server, host, port);
      if (last === undefined) return new HttpServer(server, host);
      if (last.code !== 'EADDRINUSE') break;
    }
    throw new TesseraError('TESSERA_CONFIG', `http.host ${host}, port ${ports.join(', ')}: ${last?.message}`, {
      hint: 'name a free port with http.port, or leave http.enabled out',
      cause: last,
    });
  }

  /** Where it listens. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${port}`;
  }

  /** Closes it with all its connections. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

function listenAt(server: Server, host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException): void => resolve(error);
    server.once('error', onError);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', onError);
      // Later faults of a listener (out of file descriptors) must not end the process.
      server.on('error', () => {});
      resolve(undefined);
    });
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  handle: Handle,
): Promise<void> {
  response.on('error', () => {});
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  let said: Answer | undefined;
  try {
    said = await handle(request, response);
  } catch (error) {
    const { status, message, hint } = error instanceof Refusal ? error : new Refusal(500, 'a fault of Tessera itself');
    said = json({ error: message, ...(hint === undefined ? {} : { hint }) }, status);
  }
  if (said === undefined) return;
  const { status, type, body } = said;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...said.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
