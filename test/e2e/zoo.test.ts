import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run as compare } from '../../bench/lossless.ts';
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
  expect(listed).toMatchObject({
    pass: true,
    networks: [{ name: 'mobilenet-v2', tiles_end: expect.stringContaining('7x7 cells') }],
  });
  const { code, stdout } = await runCli(['verify', '--model', file, '--grid', '2x2', '--json'], { cwd: folder });
  expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, pass: true });
});

test('lossless --zoo compares networks that no file holds: of two and of one dimension', async () => {
  const result = await compare(['--zoo', '--networks', 'gated,charcnn', '--grids', '2x2,1x4', '--width', '0.0625']);
  expect(result).toMatchObject({ pass: true, worst: { gated: expect.any(Number), charcnn: expect.any(Number) } });
  expect(result.rows.map(({ network, grid }) => `${network} ${grid}`)).toEqual([
    'charcnn 1x4',
    'gated 2x2',
    'gated 1x4',
  ]);
});
