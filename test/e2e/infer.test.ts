import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, parse, resolve } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import type { GraphNode } from '../../shared/onnx/model.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

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

/** Deterministic float32 values in [-1, 1). */
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
  test('the bundled model predicts the drawn object, and the result names the nodes', async () => {
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
      // All tiles, and what follows on central.
      const { central, ...nodes } = result.tiles_per_node as Record<string, number>;
      expect([central, Object.values(nodes).reduce((sum, count) => sum + count, 0)]).toEqual([1, 16]);
      expect(result.bytes_up).toBeGreaterThan(0);
      expect(result.bytes_down).toBeGreaterThan(0);
      expect(result.macs_on_nodes).toBeGreaterThan(0.5);
    }
    // How a frame is shared depends on how fast the nodes were; over all frames each has had some.
    const used = new Set(results.flatMap((result) => result.nodes as string[]));
    expect([...used].sort()).toEqual(['central', 'node-1', 'node-2']);
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
    const { largest } = await inferTensor(resnet, [1, 3, 32, 32], ['--nodes', '1', '--strategy', 'replicate']);
    expect(largest).toBe(0);
  });

  test('tiles without halo are marked as approximate', async () => {
    const { file } = await scene(4);
    const { code, stdout } = await runCli([
      'infer',
      file,
      '--nodes',
      '1',
      '--padding',
      'zero',
      '--grid',
      '2x2',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'ok', approximate: true });
  });

  test('lines name their file, and --save writes annotated pictures', async () => {
    const files = (await Promise.all([8, 9].map(scene))).map(({ file }) => file);
    const saved = join(folder, 'seen');
    const { code, stdout, stderr } = await runCli(['infer', ...files, '--nodes', '1', '--save', saved]);
    expect(code).toBe(0);
    expect(stderr).not.toContain(' warn ');
    const lines = stdout.trim().split('\n');
    expect(lines.map((line) => line.split(': ')[0])).toEqual(files);
    const pictures = files.map((file) => join(saved, `${parse(file).name}.annotated.jpg`));
    for (const path of pictures) {
      expect(stderr).toContain(`saved ${path}`);
      expect([...(await readFile(path)).subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
    }
    const again = await runCli(['infer', files[0]!, '--nodes', '1', '--save', saved, '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({
      file: files[0],
      saved: [join(saved, `${parse(files[0]!).name}-2.annotated.jpg`)],
    });
  });

  test('--compare names the faster way', async () => {
    const { file } = await scene(5);
    const { stderr } = await runCli(['infer', file, '--compare']);
    expect(stderr).toMatch(/median latency: 2 nodes [\d.]+ ms, one node [\d.]+ ms; /);
  });

  test('a file that is no picture ends with an error result, and the next one is served', async () => {
    const bad = join(folder, 'bad.jpg');
    const { file, label } = await scene(6);
    await writeFile(bad, (await readFile(file)).subarray(0, 2000));
    const { code, stdout } = await runCli(['infer', bad, file, '--nodes', '1', '--json']);
    const [first, second] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({ status: 'error', error: { code: 'TESSERA_INPUT_INVALID' } });
    expect(second).toMatchObject({ status: 'ok', top: { label } });
    expect(code).toBe(1);
  });

  test.each(['single', 'replicate', 'two-stage'])('--strategy %s needs nothing else', async (strategy) => {
    const { file, label } = await scene(7);
    const { code, stdout } = await runCli(['infer', file, '--strategy', strategy, '--json']);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    // The bundled model is compared with the form in which it was retrained, and that is its tiles.
    expect(result).toMatchObject({ status: 'ok', approximate: true, top: { label } });
    expect(result.macs_on_nodes > 0).toBe(strategy !== 'single');
  });

  test('runs a plan from a file, and refuses one of another model', async () => {
    const { file, label } = await scene(8);
    const planFile = join(folder, 'plan.json');
    const stage = { on: { mode: 'replicate', nodes: '*' }, split: { kind: 'whole' }, codec: {} };
    const plan = {
      format: 'tessera-plan/1',
      id: 'p-0a1b2c',
      model: '0'.repeat(64),
      source: 'central',
      strategy: 'by hand',
      reason: 'each frame whole on one node',
      stages: [{ id: 0, inputs: ['tessera_frame'], outputs: ['logits'], ...stage }],
      predicted: null,
    };
    await writeFile(planFile, JSON.stringify(plan));
    const refused = await runCli(['infer', file, '--nodes', '1', '--plan', planFile]);
    expect(refused.stderr).toContain('error TESSERA_PLAN_INVALID');
    const [, sha] = /this one's is ([0-9a-f]{64})/.exec(refused.stderr)!;
    await writeFile(planFile, JSON.stringify({ ...plan, model: sha }));
    const { code, stdout } = await runCli(['infer', file, '--nodes', '1', '--plan', planFile, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'ok', plan: 'p-0a1b2c', top: { label } });
  });

  test('stops soon on SIGTERM, and leaves nothing behind', async () => {
    const tmp = join(folder, 'tmp');
    await mkdir(tmp);
    const { file } = await scene(9);
    const files = Array.from({ length: 5000 }, () => file);
    const infer = new RunningCli(['infer', ...files, '--json'], { env: { TMPDIR: tmp } });
    await infer.printed(/"status":"ok"/);
    const started = performance.now();
    expect((await infer.stop('SIGTERM')).code).toBe(0);
    expect(performance.now() - started).toBeLessThan(8000);
    expect(await readdir(tmp)).toEqual([]);
  });

  test('a network of uint8 tensors accepts bytes, and refuses other sizes with a hint', async () => {
    const input = join(folder, 'bytes.bin');
    const model = join(folder, 'bytes.onnx');
    const tiny = tinyNetwork();
    const [{ name, shape }] = tiny.graph.inputs as unknown as [{ name: string; shape: number[] }];
    const cast: GraphNode = {
      name: 'cast',
      op: 'Cast',
      domain: '',
      inputs: ['pixels'],
      outputs: [name],
      attributes: new Map([['to', { kind: 'int', value: 1 }]]),
    };
    const inputs = [{ name: 'pixels', dtype: 'uint8', elementType: 2, shape } as const];
    await writeFile(
      model,
      writeModel({ ...tiny, graph: { ...tiny.graph, inputs, nodes: [cast, ...tiny.graph.nodes] } }),
    );
    const bytes = shape.reduce((a, b) => a * b);
    await writeFile(input, new Uint8Array(bytes).fill(7));
    const tensor = ['--tensor', shape.join('x'), '--dump', join(folder, 'o.bin')];
    const args = ['infer', input, '--model', model, '--nodes', '1', ...tensor];
    expect(await runCli(args)).toMatchObject({ code: 0 });
    await writeFile(input, new Uint8Array(bytes * 4));
    expect((await runCli(args)).stderr).toMatch(
      new RegExp(`error TESSERA_USAGE: .*uint8 ${shape.join('x')} is ${bytes}`),
    );
  });

  test('a file that is no picture is refused by name before anything starts', async () => {
    const gif = join(folder, 'a.gif');
    await writeFile(gif, 'GIF89a........');
    const { code, stderr, stdout } = await runCli(['infer', gif]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/error TESSERA_INPUT_INVALID: .*a\.gif is a GIF, not a JPEG or PNG\nhint: /);
  });

  test.each([
    [['infer', 'none.jpg'], 'TESSERA_USAGE'],
    [['infer', 'package.json', '--dump', '/nonexistent/y.bin'], 'TESSERA_USAGE'],
    [['infer', 'package.json', '--tensor', '1x3x4x4', '--model', 'scenes'], 'TESSERA_USAGE'],
    [['infer', 'none.jpg', '--grid', '2by2'], 'TESSERA_USAGE'],
  ])('%s ends with a coded error and a hint', async (args, code) => {
    const { stderr, stdout } = await runCli(args);
    expect(stderr).toMatch(new RegExp(`^error ${code}: .+\nhint: .+\n$`));
    expect(stdout).toBe('');
  });
});
