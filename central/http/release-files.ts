import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileStream } from '../../shared/runtime/file.ts';
import { Refusal } from './refusal.ts';

const PREFIX = '/updates/';
const NAME = /^tessera-[A-Za-z0-9._-]{1,100}$/;

/** Whether a path is one of releases. */
export function isReleasePath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/**
 * Sends a file of the folder of releases, from the byte on that the request names (RFC 9110, section 14: `bytes=N-`).
 * Anybody may have them: they are signed, and hold no secret. Throws a `Refusal`.
 */
export async function sendRelease(
  folder: string | undefined,
  path: string,
  { method, headers }: Pick<IncomingMessage, 'method' | 'headers'>,
  response: ServerResponse,
): Promise<void> {
  const name = path.slice(PREFIX.length);
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
