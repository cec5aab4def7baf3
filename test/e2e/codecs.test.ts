import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { tinyInput, tinyNetwork } from '../support/tiny-network.ts';

/** Codecs through real processes: messages are small, and results are right. */

let folder: string;
let model: string;
let expected: Float32Array;
interface Inferred {
  readonly results: readonly ResultObject[];
  readonly largest: number;
}
interface Bytes {
  readonly up: number;
  readonly down: number;
}
let raw: Bytes;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-codecs-'));
  model = join(folder, 'tiny.onnx');
  const input = tinyInput();
  await writeFile(model, writeModel(tinyNetwork()));
  await writeFile(join(folder, 'in.bin'), input.data);
  const session = await InferenceSession.create(model, { logSeverityLevel: 3 });
  const values = new Float32Array(input.data.slice().buffer);
  const { y } = await session.run({ x: new Tensor('float32', values, input.shape) });
  expected = y!.data as Float32Array;
  expect((await infer('raw', 2)).largest).toBeLessThan(1e-6);
  raw = await bytesOf('raw');
});
afterAll(() => rm(folder, { recursive: true }));

async function infer(codec: string, nodes: number, frames = 1): Promise<Inferred> {
  const dump = join(folder, 'out.bin');
  const files = Array.from({ length: frames }, () => join(folder, 'in.bin'));
  const cuts = ['--nodes', String(nodes), '--grid', '2x2', '--cut', 'a', '--cut', 'p'];
  const args = ['--model', model, '--tensor', '1x3x16x16', '--dump', dump, '--json', '--codec', codec];
  const { code, signal, stdout, stderr } = await runCli(['infer', ...files, ...args, ...cuts]);
  expect([code, signal, stderr.match(/TESSERA_\w+/)?.[0]]).toEqual([0, null, undefined]);
  const values = new Float32Array(new Uint8Array(await readFile(dump)).buffer);
  const range = Math.max(...expected) - Math.min(...expected);
  const largest = Math.max(...expected.map((value, i) => Math.abs(value - values[i]!))) / range;
  const results = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as ResultObject);
  return { results, largest };
}

/** Bytes of a frame at one node, which returns the second stage's results: all tiles of a stage travel in one message. */
async function bytesOf(codec: string): Promise<Bytes> {
  // Tiles that get no answer in time are sent twice, so the smallest of several frames is one without such tiles.
  const { results } = await infer(codec, 1, 4);
  const bytes = (key: 'bytes_up' | 'bytes_down') => Math.min(...results.map((result) => result[key]));
  return { up: bytes('bytes_up'), down: bytes('bytes_down') };
}

describe('infer --codec', () => {
  test.each([
    { codec: 'packed', approximate: false, within: 1e-6, down: 0.8 },
    { codec: 'fp16', approximate: true, within: 2e-3, down: 0.51 },
    { codec: 'q8:channel', approximate: true, within: 2e-2, down: 0.3 },
    { codec: 'clip:0:3:8', approximate: true, within: 2e-2, down: 0.25 },
    { codec: 'clip:0:3:4', approximate: true, within: 0.3, down: 0.12 },
  ])('$codec in two stages of tiles', async ({ codec, approximate, within, down }) => {
    const { results, largest } = await infer(codec, 2, 4);
    for (const result of results) expect(result).toMatchObject({ status: 'ok', approximate, missing: [] });
    const used = new Set(results.flatMap(({ tiles_per_node }) => Object.keys(tiles_per_node)));
    expect([...used].sort()).toEqual(['central', 'node-1', 'node-2']);
    expect(largest).toBeLessThan(within);
    const bytes = await bytesOf(codec);
    expect(bytes.down / raw.down).toBeLessThan(down);
    // The frame is sent, and what work messages say of the codec; what the first stage makes stays at the node.
    expect(bytes.up / raw.up).toBeLessThan(1.03);
  });

  test('an invalid codec is refused at once, with the accepted forms', async () => {
    const { code, stderr } = await runCli(['infer', join(folder, 'in.bin'), '--codec', 'clip:2:1:4']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--codec.*clip:2:1:4/s);
    expect(stderr).toContain('clip:A:B:BITS');
  });
});
