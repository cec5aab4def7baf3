import { createHash, randomBytes } from 'node:crypto';
import { type Agent, type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { TesseraError } from '../../errors.ts';
import { plain } from '../../log-throttle.ts';
import { authorization, type Challenge, challengeOf } from '../http-auth.ts';
import type { Shot, Source } from '../source.ts';
import { decoded } from '../source-name.ts';
import { streamSource } from '../stream-source.ts';
import { cameraAgent, SILENT_MS, silent } from './camera-agent.ts';

/** Bytes of a snapshot, at most. */
const MAX_BYTES = 32 * 2 ** 20;

/**
 * A camera that answers by HTTP: with an endless answer of JPEGs (MJPEG, `multipart/x-mixed-replace`), or with one
 * picture for each request. User and password of the URL are sent where the server asks for them, and to no other one:
 * redirections are not followed. `certificate`: as in `SourceSettings`. Throws TESSERA_INPUT_INVALID, without the URL.
 */
export async function httpSource(url: URL, certificate?: string): Promise<Source> {
  const client = new CameraClient(url, certificate);
  return sourceOf(client).catch((error: unknown) => {
    client.stop();
    throw error;
  });
}

async function sourceOf(client: CameraClient): Promise<Source> {
  const first = await client.get();
  const type = first.headers['content-type'] ?? 'nothing said';
  // The text between the pictures of an answer in parts belongs to no JPEG, and is left out as such.
  if (/^multipart\//i.test(type)) {
    const pictures = streamSource(first);
    return { ...pictures, next: () => pictures.next().catch(failed), stop: async () => client.stop() };
  }
  if (!/^image\/(jpe?g|png)\b/i.test(type) && type !== 'nothing said') {
    first.destroy();
    throw wrong(`it answers with ${plain(type)}, neither a picture nor MJPEG`);
  }
  return snapshots(client, first);
}

function snapshots(client: CameraClient, first: IncomingMessage): Source {
  let waiting: IncomingMessage | undefined = first;
  let count = 0;
  return {
    async next(): Promise<Shot> {
      const response = waiting ?? (await client.get());
      waiting = undefined;
      return { id: `snapshot-${count++}`, bytes: await wholeBody(response) };
    },
    async stop() {
      client.stop();
    },
  };
}

async function wholeBody(response: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.byteLength;
    if (length > MAX_BYTES) {
      response.destroy();
      throw wrong(`its picture has more than ${MAX_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Asks one URL, again and again, and remembers how the server wants to be told the password. */
class CameraClient {
  readonly #url: URL;
  readonly #agent: Agent;
  #challenge: Challenge | undefined;
  readonly #stopped = new AbortController();

  constructor(url: URL, certificate: string | undefined) {
    this.#url = url;
    this.#agent = cameraAgent(url.protocol, certificate);
  }

  async get(): Promise<IncomingMessage> {
    let response = await this.#send();
    if (response.statusCode === 401 && this.#url.username !== '') {
      // Also an earlier challenge is answered anew: its nonce may have become stale.
      this.#challenge = challengeOf(response.headersDistinct['www-authenticate'] ?? []);
      response.destroy();
      if (this.#challenge === undefined) throw wrong('it asks for a password in a form that is not known');
      response = await this.#send();
    }
    const { statusCode } = response;
    if (statusCode === 200) return response;
    response.destroy();
    if (statusCode === 401)
      throw wrong(this.#url.username === '' ? 'it asks for user and password' : 'it refuses user or password');
    throw wrong(
      `it answers with status ${statusCode}${statusCode! >= 300 && statusCode! < 400 ? ', and is not followed elsewhere' : ''}`,
    );
  }

  stop(): void {
    this.#stopped.abort();
    this.#agent.destroy();
  }

  #send(): Promise<IncomingMessage> {
    const { protocol, hostname, port, pathname, search, username, password } = this.#url;
    const path = `${pathname}${search}`;
    const who = { user: decoded(username), password: decoded(password) };
    const cnonce = randomBytes(8).toString('hex');
    const header = this.#challenge && authorization(this.#challenge, who, path, md5, cnonce);
    const request = protocol === 'https:' ? tlsRequest : plainRequest;
    return new Promise((resolve, reject) => {
      const options = {
        // Brackets of IPv6 addresses belong to the URL only.
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port: port === '' ? undefined : port,
        path,
        headers: header === undefined ? {} : { authorization: header },
        agent: this.#agent,
        timeout: SILENT_MS,
        signal: this.#stopped.signal,
      };
      const sent = request(options, resolve);
      sent.on('timeout', () => sent.destroy(silent()));
      sent.on('error', (error) => {
        // A camera closes connections that it does not use; whoever asks at that moment has to ask on a new one.
        const { code } = error as NodeJS.ErrnoException;
        if (sent.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')) resolve(this.#send());
        else reject(error instanceof TesseraError ? error : wrong(error.message));
      });
      sent.end();
    });
  }
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

const wrong = (text: string): TesseraError => new TesseraError('TESSERA_INPUT_INVALID', text);

function failed(error: Error): never {
  throw wrong(error.message);
}
