import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { run as survey } from '../../bench/zoo.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-zoo-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('a network of the zoo is a file that the commands take, and its tiles on nodes equal the whole', async () => {
  const file = join(folder, 'mobilenet.onnx');
  const listed = await survey(['--model', 'mobilenet-v2', '--width', '0.125', '--out', file]);
  expect(listed).toMatchObject({ pass: true, networks: [{ name: 'mobilenet-v2', within_reach: 1 }] });
  const { code, stdout } = await runCli(['verify', '--model', file, '--grid', '2x2', '--json'], { cwd: folder });
  expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, pass: true });
});
