import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { drawScene, seedRanges } from '../../shared/scene/scene.ts';
import { runCli } from '../support/run-cli.ts';

/** `tessera infer` as its users run it: a private cluster of real processes around a real broker. */

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');
const mnist = join(data, 'models', 'mnist-8.onnx');
const resnet = join(data, 'models', 'cifar10_resnet20.onnx');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-infer-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function scene(seed: number): Promise<{ file: string; label: string }> {
  const { label, rgb, width, height } = drawScene(seedRanges.heldOut.from + seed);
  const file = join(folder, `scene-${seed}.jpg`);
  await writeFile(file, await encodeJpeg(rgb, width, height, 90));
  return { file, label };
}

/** Raw float32 values in [-1, 1) that anybody can make again. */
function values(count: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** The first output of a network in one process, straight from ONNX Runtime. */
async function whole(model: string, input: Float32Array, shape: number[]): Promise<Float32Array> {
  const session = await InferenceSession.create(model, { logSeverityLevel: 3 });
  const outputs = await session.run({ [session.inputNames[0]!]: new Tensor('float32', input, shape) });
  return outputs[session.outputNames[0]!]!.data as Float32Array;
}

function largestShare(expected: Float32Array, given: Float32Array): number {
  expect(given.length).toBe(expected.length);
  const range = Math.max(...expected) - Math.min(...expected);
  return Math.max(...expected.map((value, i) => Math.abs(value - given[i]!))) / range;
}

async function inferTensor(model: string, shape: number[], flags: string[]) {
  const input = values(shape.reduce((a, b) => a * b));
  const [inFile, outFile] = [join(folder, 'in.bin'), join(folder, 'out.bin')];
  await writeFile(inFile, new Uint8Array(input.buffer));
  const tensor = shape.join('x');
  const args = ['infer', inFile, '--model', model, '--tensor', tensor, '--dump', outFile, '--json', ...flags];
  const { code, stdout, stderr } = await runCli(args);
  expect(stderr + stdout).not.toContain('TESSERA_');
  expect(code).toBe(0);
  const given = new Float32Array(new Uint8Array(await readFile(outFile)).buffer);
  return { result: JSON.parse(stdout), largest: largestShare(await whole(model, input, shape), given) };
}

describe('tessera infer', () => {
  test('the bundled model says what is drawn, and who computed it', async () => {
    const scenes = await Promise.all([1, 2, 3].map(scene));
    const { code, stdout } = await runCli(['infer', ...scenes.map(({ file }) => file), '--json']);
    expect(code).toBe(0);
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map((result) => result.top?.label)).toEqual(scenes.map(({ label }) => label));
    for (const result of results) {
      expect(result).toMatchObject({ v: 1, status: 'ok', width: 640, height: 480, task: 'classify', missing: [] });
      expect(Object.keys(result.tiles_per_node)).toEqual(expect.arrayContaining(['node-1', 'node-2', 'central']));
      expect(result.bytes_up).toBeGreaterThan(0);
      expect(result.bytes_down).toBeGreaterThan(0);
      expect(result.macs_on_nodes).toBeGreaterThan(0.5);
    }
  });

  test.skipIf(!existsSync(mnist))(`equals the whole network, uneven tiles on three nodes (${mnist})`, async () => {
    const { result, largest } = await inferTensor(mnist, [1, 1, 28, 28], ['--nodes', '3', '--grid', '1,3x2,2']);
    expect(largest).toBeLessThanOrEqual(1e-4);
    expect(result).toMatchObject({ status: 'ok', approximate: false });
  });

  test.skipIf(!existsSync(resnet))(`two tile stages one after the other equal the whole (${resnet})`, async () => {
    const { stdout } = await runCli(['model', 'inspect', resnet, '--json']);
    const { layers } = JSON.parse(stdout) as { layers: { output: string; cut: boolean; tileable: boolean }[] };
    const cuts = layers.filter(({ cut, tileable }) => cut && tileable).map(({ output }) => output);
    const [first, second] = [cuts[Math.floor(cuts.length / 4)]!, cuts[Math.floor(cuts.length / 2)]!];
    const flags = ['--nodes', '2', '--grid', '2x2', '--cut', first, '--cut', second];
    const { result, largest } = await inferTensor(resnet, [1, 3, 32, 32], flags);
    expect(largest).toBeLessThanOrEqual(1e-4);
    expect(Object.values<number>(result.tiles_per_node).reduce((a, b) => a + b)).toBe(9);
  });

  test.skipIf(!existsSync(resnet))(`one node may do it all (${resnet})`, async () => {
    const { largest } = await inferTensor(resnet, [1, 3, 32, 32], ['--nodes', '1', '--strategy', 'whole-replicate']);
    expect(largest).toBe(0);
  });

  test('tiles without halo are said to be approximate', async () => {
    const { file } = await scene(4);
    const { code, stdout } = await runCli(['infer', file, '--padding', 'zero', '--grid', '2x2', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'ok', approximate: true });
  });

  test('--compare names the faster way', async () => {
    const { file } = await scene(5);
    const { stderr } = await runCli(['infer', file, '--compare']);
    expect(stderr).toMatch(/median latency: 2 nodes [\d.]+ ms, one node [\d.]+ ms; /);
  });

  test('what is not a picture ends with an error result, and the next one is served', async () => {
    const bad = join(folder, 'bad.jpg');
    const { file, label } = await scene(6);
    await writeFile(bad, (await readFile(file)).subarray(0, 2000));
    const { code, stdout } = await runCli(['infer', bad, file, '--json']);
    const [first, second] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({ status: 'error', error: { code: 'TESSERA_INPUT_INVALID' } });
    expect(second).toMatchObject({ status: 'ok', top: { label } });
    expect(code).toBe(1);
  });

  test.each([
    [['infer', 'none.jpg'], 'TESSERA_USAGE'],
    [['infer', 'package.json', '--tensor', '1x3x4x4', '--model', 'scenes'], 'TESSERA_USAGE'],
    [['infer', 'none.jpg', '--grid', '2by2'], 'TESSERA_PLAN_INVALID'],
  ])('%s ends with a coded error and a way out', async (args, code) => {
    const { stderr, stdout } = await runCli(args);
    expect(stderr).toMatch(new RegExp(`^error ${code}: .+\nhint: .+\n$`));
    expect(stdout).toBe('');
  });
});
