import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { onnxFile } from '../support/library.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/**
 * `tessera model add` as its users run it: every added model has run once, and an interrupted command leaves nothing.
 */

let cwd: string;
let server: Server;
/** Resolves when the silent server got a request. */
let asked: Promise<void>;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tessera-model-add-'));
  let wasAsked = (): void => {};
  asked = new Promise((resolve) => {
    wasAsked = resolve;
  });
  server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': '1000000' }).write(Buffer.alloc(1000));
    wasAsked();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(cwd, { recursive: true });
});

const env = () => ({ TESSERA_MODELS__DIR: join(cwd, 'library') });
const library = () => readdir(join(cwd, 'library')).catch(() => []);

describe('tessera model add', () => {
  test('adds models that run, also those that take tensors and no pictures', async () => {
    await writeFile(join(cwd, 'tiny.onnx'), writeModel(tinyNetwork()));
    await writeFile(join(cwd, 'pets.onnx'), onnxFile());
    for (const name of ['tiny', 'pets']) {
      const { code, stderr } = await runCli(['model', 'add', `${name}.onnx`], { cwd, env: env() });
      expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('try it: ') });
    }
    expect((await library()).sort()).toEqual(['pets', 'tiny']);
  });

  test('adds no model that the runtime refuses', async () => {
    await writeFile(join(cwd, 'new.onnx'), writeModel({ ...tinyNetwork(), opsets: new Map([['', 99]]) }));
    const { code, stdout, stderr } = await runCli(['model', 'add', 'new.onnx'], { cwd, env: env() });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /TESSERA_MODEL_UNSUPPORTED: .*operator sets up to \d+.*\nhint: export it with opset_version=/,
    );
    expect(await library()).not.toContain('new');
  });

  test('ends at once in the middle of a download, and leaves nothing', async () => {
    const { port } = server.address() as AddressInfo;
    const adding = new RunningCli(['model', 'add', `http://127.0.0.1:${port}/net.onnx`], { cwd, env: env() });
    await asked;
    const started = performance.now();
    const { code } = await adding.stop('SIGTERM');
    expect(performance.now() - started).toBeLessThan(5000);
    expect(code).toBe(130);
    expect((await library()).filter((name) => !/^(pets|tiny)$/.test(name))).toEqual([]);
  });
});
