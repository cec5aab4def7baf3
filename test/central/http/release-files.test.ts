import { once } from 'node:events';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Refusal } from '../../../central/http/refusal.ts';
import { ReleaseFiles } from '../../../central/http/release-files.ts';

/** If it fails, nodes cannot load releases from central, or strangers read other files. */

const ARCHIVE = 'tessera-0.2.0-linux-x64.tar.zst';

let folder: string;
let files: ReleaseFiles;
let server: Server;
let base: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-releases-'));
  await writeFile(join(folder, 'tessera-0.2.0-linux-x64.sha256'), '0123456789');
  await writeFile(join(folder, 'secret'), 'secret');
  await writeFile(join(folder, 'tessera-key.pem'), 'secret');
  await writeFile(join(folder, ARCHIVE), '');
  await truncate(join(folder, ARCHIVE), 100e6);
  files = new ReleaseFiles(folder);
  server = createServer((request, response) => {
    files.send(request.url!, request, response).catch((error: unknown) => {
      response.writeHead(error instanceof Refusal ? error.status : 500).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/updates/`;
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

describe('files of releases', () => {
  const name = 'tessera-0.2.0-linux-x64.sha256';

  it('are sent whole, or from a byte on', async () => {
    const whole = await fetch(base + name);
    expect([whole.status, await whole.text()]).toEqual([200, '0123456789']);
    const rest = await fetch(base + name, { headers: { range: 'bytes=4-' } });
    expect([rest.status, rest.headers.get('content-range'), await rest.text()]).toEqual([
      206,
      'bytes 4-9/10',
      '456789',
    ]);
    expect((await fetch(base + name, { headers: { range: 'bytes=10-' } })).status).toBe(416);
    const head = await fetch(base + name, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
  });

  it.each(['secret', 'tessera-key.pem', '..%2fsecret', 'tessera-..%2f..%2fsecret', 'tessera-none', ''])(
    '%j is not one',
    async (path) => {
      expect((await fetch(base + path)).status).toBe(404);
    },
  );

  /** Begins to load the archive, and reads none of it. */
  const unread = async (): Promise<IncomingMessage> => {
    const [response] = await once(get(base + ARCHIVE), 'response');
    return response as IncomingMessage;
  };

  it('are refused beyond so many at a time', async () => {
    files = new ReleaseFiles(folder, { streams: 2, silentMs: 30_000 });
    const first = await unread();
    const second = await unread();
    expect((await fetch(base + name)).status).toBe(503);
    first.destroy();
    await vi.waitFor(async () => expect((await fetch(base + name)).status).toBe(200));
    second.destroy();
  });

  it('end where the reader takes nothing', async () => {
    files = new ReleaseFiles(folder, { streams: 1, silentMs: 100 });
    const stalled = await unread();
    await vi.waitFor(async () => expect((await fetch(base + name)).status).toBe(200), 5000);
    stalled.destroy();
  });
});
