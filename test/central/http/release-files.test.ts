import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../../../central/http/refusal.ts';
import { sendRelease } from '../../../central/http/release-files.ts';

/** If it fails, nodes cannot load releases from central, or strangers read other files. */

let folder: string;
let server: Server;
let base: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-releases-'));
  await writeFile(join(folder, 'tessera-0.2.0-linux-x64.sha256'), '0123456789');
  await writeFile(join(folder, 'secret'), 'secret');
  server = createServer((request, response) => {
    sendRelease(folder, request.url!, request, response).catch((error: unknown) => {
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

  it.each(['secret', '..%2fsecret', 'tessera-..%2f..%2fsecret', 'tessera-none', ''])('%j is not one', async (path) => {
    expect((await fetch(base + path)).status).toBe(404);
  });
});
