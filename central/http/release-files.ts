import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileStream } from '../../shared/runtime/file.ts';
import { Refusal } from './refusal.ts';

const PREFIX = '/updates/';
const NAME = /^tessera-[A-Za-z0-9._-]{1,80}-linux-[a-z0-9]{1,16}\.(tar\.zst|deb|sha256|sha256\.sig)$/;

/** Limits of the downloads of releases. */
export const RELEASE_LIMITS = {
  /** Downloads at a time: the other connections are for the page. */
  streams: 32,
  /** One that takes nothing for so long is closed, ms. */
  silentMs: 30_000,
} as const;

/** Whether a path is one of releases. */
export function isReleasePath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** The folder of releases. Anybody may have its files: they are signed, and hold no secret. */
export class ReleaseFiles {
  readonly #folder: string | undefined;
  readonly #limits: Readonly<Record<keyof typeof RELEASE_LIMITS, number>>;
  #streams = 0;

  constructor(
    folder: string | undefined,
    limits: Readonly<Record<keyof typeof RELEASE_LIMITS, number>> = RELEASE_LIMITS,
  ) {
    this.#folder = folder;
    this.#limits = limits;
  }

  /**
   * Sends a file, from the byte on that the request names (RFC 9110, section 14: `bytes=N-`). Throws a `Refusal`; 503
   * where too many are sent.
   */
  async send(
    path: string,
    request: Pick<IncomingMessage, 'method' | 'headers'>,
    response: ServerResponse,
  ): Promise<void> {
    const { streams, silentMs } = this.#limits;
    if (this.#streams >= streams) throw new Refusal(503, `${streams} files are sent at a time`, 'try again');
    this.#streams++;
    try {
      response.setTimeout(silentMs, () => response.destroy());
      await send(this.#folder, path.slice(PREFIX.length), request, response);
    } finally {
      this.#streams--;
    }
  }
}

async function send(
  folder: string | undefined,
  name: string,
  { method, headers }: Pick<IncomingMessage, 'method' | 'headers'>,
  response: ServerResponse,
): Promise<void> {
  if (folder === undefined || !NAME.test(name)) throw new Refusal(404, 'there is no such path');
  const start = Number(/^bytes=(\d{1,15})-$/.exec(headers.range ?? '')?.[1] ?? 0);
  const file = await fileStream(join(folder, name), start).catch(() => {
    throw new Refusal(404, `there is no release file ${name}`);
  });
  const { size, bytes } = file;
  if (start > 0 && start >= size) {
    bytes.destroy();
    throw new Refusal(416, `${name} has ${size} bytes`);
  }
  response.writeHead(start > 0 ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': size - start,
    ...(start > 0 ? { 'content-range': `bytes ${start}-${size - 1}/${size}` } : {}),
  });
  if (method === 'HEAD') {
    bytes.destroy();
    response.end();
    return;
  }
  // A reader that goes away is no fault.
  await pipeline(bytes, response).catch(() => {});
}
