import { createHash } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { addModel } from '../../cli/library/add.ts';
import { loadModel } from '../../cli/library/library.ts';
import type { Step } from '../../cli/progress.ts';
import { folderWith, onnxFile } from '../support/library.ts';

const servers: (() => void)[] = [];
afterEach(() => {
  for (const stop of servers.splice(0)) stop();
});

/** A server on loopback; its base URL. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function catalogueFor(url: string, sha256: string): Promise<{ dest: string; catalogue: string }> {
  const folder = await folderWith({ 'library/.keep': '' });
  const catalogue = join(folder, 'models.yaml');
  await writeFile(
    catalogue,
    `version: 1
models:
  pets: {about: x, url: '${url}', sha256: '${sha256}', license: MIT, source: 'https://example.org', card: {task: classify, labels: [a, b, c]}}
`,
  );
  return { dest: join(folder, 'library'), catalogue };
}

const left = async (dest: string) => (await readdir(dest)).filter((name) => name !== '.keep');

describe('tessera model add over HTTP', () => {
  it('downloads a model by name through redirects and checks it, and the model can be loaded', async () => {
    const base = await serve((request, response) => {
      if (request.url === '/pets.onnx') response.writeHead(302, { location: '/real/pets.onnx' }).end();
      else response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(onnxFile());
    });
    const options = await catalogueFor(`${base}/pets.onnx`, sha(onnxFile()));
    await addModel('pets', options);
    const loaded = await loadModel('pets', { modelsDirs: [options.dest] });
    expect(loaded).toMatchObject({ labels: ['a', 'b', 'c'], guessed: false, card: { sha256: sha(onnxFile()) } });
  });

  it('downloads a model by its address and guesses the card', async () => {
    const base = await serve((_, response) => response.end(onnxFile()));
    const { dest } = await catalogueFor(base, '0'.repeat(64));
    const steps: Step[] = [];
    const download = { progress: (step: Step) => void steps.push(step) };
    const url = `${base}/nets/my-net.onnx?raw=true`;
    const added = await addModel(url, { dest, download });
    expect(added).toMatchObject({ name: 'my-net', card: { task: 'classify' } });
    const { byteLength } = onnxFile();
    expect(steps[0]).toMatchObject({ work: `download ${url}`, done: 0, unit: 'bytes' });
    expect(steps.at(-1)).toMatchObject({ done: byteLength, of: byteLength });
    expect(added.guessedFields.length).toBeGreaterThan(0);
  });

  const refused: [string, RequestListener, RegExp][] = [
    [
      'another file than was pinned',
      (_, response) => response.end(onnxFile(undefined, 14)),
      /SHA-256 is [0-9a-f]{64}, expected/,
    ],
    ['an error of the server', (_, response) => response.writeHead(404).end(), /answers 404/],
    [
      'a web page',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      /a web page/,
    ],
    [
      'a file that announces too many bytes',
      (_, response) => response.writeHead(200, { 'content-length': '5000' }).end(Buffer.alloc(5000)),
      /more than 2000 bytes/,
    ],
    [
      'a file that grows too large',
      (_, response) => {
        for (let i = 0; i < 50; i++) response.write(Buffer.alloc(100));
        response.end();
      },
      /more than 2000 bytes/,
    ],
    [
      'a connection that breaks off',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' }).write(Buffer.alloc(10));
        setImmediate(() => response.destroy());
      },
      /./,
    ],
    ['a server that falls silent', (_, response) => void response.write(Buffer.alloc(10)), /took too long/],
    ['a server that never answers', () => {}, /took too long/],
  ];
  it.each(refused)('refuses %s and leaves nothing behind', async (_, listener, message) => {
    const options = await catalogueFor(`${await serve(listener)}/pets.onnx`, sha(onnxFile()));
    await expect(
      addModel('pets', { ...options, download: { maxBytes: 2000, idleMs: 300, totalMs: 3000 } }),
    ).rejects.toMatchObject({
      code: 'TESSERA_DOWNLOAD',
      message: expect.stringMatching(message),
      hint: expect.any(String),
    });
    expect(await left(options.dest)).toEqual([]);
  });

  it('reports that nothing listens there', async () => {
    const base = await serve(() => {});
    for (const stop of servers.splice(0)) stop();
    const { dest } = await catalogueFor(base, '0'.repeat(64));
    await expect(addModel(`${base}/a.onnx`, { dest })).rejects.toMatchObject({ code: 'TESSERA_DOWNLOAD' });
  });
});
