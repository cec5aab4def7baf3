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
  readonly result: ResultObject;
  readonly up: number;
  readonly down: number;
  readonly largest: number;
}
let raw: Inferred;
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
  raw = await infer('raw');
  expect(raw.largest).toBeLessThan(1e-6);
});
afterAll(() => rm(folder, { recursive: true }));

async function infer(codec: string): Promise<Inferred> {
  const dump = join(folder, 'out.bin');
  const cuts = ['--grid', '2x2', '--cut', 'a', '--cut', 'p'];
  const args = ['infer', join(folder, 'in.bin'), '--model', model, '--tensor', '1x3x16x16', '--dump', dump, '--json'];
  const again = Array.from({ length: 4 }, () => join(folder, 'in.bin'));
  const { code, stdout, stderr } = await runCli([...args, ...cuts, '--codec', codec, ...again]);
  expect([code, stderr.match(/TESSERA_\w+/)?.[0]]).toEqual([0, undefined]);
  const values = new Float32Array(new Uint8Array(await readFile(dump)).buffer);
  const range = Math.max(...expected) - Math.min(...expected);
  const largest = Math.max(...expected.map((value, i) => Math.abs(value - values[i]!))) / range;
  // A tile without an answer is sent twice, so the smallest frame is one without hedging.
  const results = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as ResultObject);
  const bytes = (key: 'bytes_up' | 'bytes_down') => Math.min(...results.map((result) => result[key]));
  return { result: results[0]!, up: bytes('bytes_up'), down: bytes('bytes_down'), largest };
}

describe('infer --codec', () => {
  test.each([
    { codec: 'packed', approximate: false, within: 1e-6, down: 0.7, up: 1.01 },
    { codec: 'fp16', approximate: true, within: 2e-3, down: 0.51, up: 1.01 },
    { codec: 'q8:channel', approximate: true, within: 2e-2, down: 0.25, up: 1.01 },
    { codec: 'clip:0:3:8', approximate: true, within: 2e-2, down: 0.25, up: 0.46 },
    { codec: 'clip:0:3:4', approximate: true, within: 0.3, down: 0.12, up: 0.36 },
  ])('$codec in two stages of tiles', async ({ codec, approximate, within, down, up }) => {
    const { result, largest, ...bytes } = await infer(codec);
    expect(result).toMatchObject({ status: 'ok', approximate, missing: [] });
    expect(Object.keys(result.tiles_per_node).sort()).toEqual(['central', 'node-1', 'node-2']);
    expect(largest).toBeLessThan(within);
    expect(bytes.down / raw.down).toBeLessThan(down);
    // The inputs of the second stage are sent quantised, as the first stage's results arrive.
    expect(bytes.up / raw.up).toBeLessThan(up);
  });

  test('an invalid codec is refused at once, with the accepted forms', async () => {
    const { code, stderr } = await runCli(['infer', join(folder, 'in.bin'), '--codec', 'clip:2:1:4']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--codec.*clip:2:1:4/s);
    expect(stderr).toContain('clip:A:B:BITS');
  });
});
