import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { exitNetwork, tinyInput } from '../support/tiny-network.ts';

/** Early exits through real processes: a confident frame halves the nodes' work, an unsure one has the full result. */

const SHAPE = [1, 3, 16, 16];
const EXITS = [
  { tensor: 'early', threshold: 0.9 },
  { tensor: 'late', threshold: 0.9 },
];
/**
 * The logits grow with brightness: for a dim frame all classes are equal, for a bright one the prediction is confident.
 */
const BRIGHTNESS = { dim: 0.01, bright: 300 };

let folder: string;
/** The network's own outputs for both frames. */
const whole: Record<string, Record<string, Float32Array>> = {};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-exits-'));
  const onnx = writeModel(exitNetwork());
  const session = await InferenceSession.create(onnx, { logSeverityLevel: 3 });
  const unit = new Float32Array(tinyInput().data.slice().buffer);
  for (const [name, factor] of Object.entries(BRIGHTNESS)) {
    const values = unit.map((value) => value * factor);
    await writeFile(join(folder, `${name}.bin`), new Uint8Array(values.buffer));
    const found = await session.run({ x: new Tensor('float32', values, SHAPE) });
    whole[name] = Object.fromEntries(Object.entries(found).map(([key, { data }]) => [key, data as Float32Array]));
  }
  await mkdir(join(folder, 'model'));
  await writeFile(join(folder, 'model', 'exits.onnx'), onnx);
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the frames through two nodes; the values are those of the first frame. */
async function infer(card: object, frames: readonly string[], flags: readonly string[] = []) {
  const model = join(folder, 'model');
  const yaml = { name: 'exits', model: 'exits.onnx', task: 'classify', output: { decoder: 'logits' }, ...card };
  // JSON is YAML.
  await writeFile(join(model, 'model.yaml'), JSON.stringify(yaml));
  const dump = join(folder, 'out.bin');
  const files = frames.map((name) => join(folder, `${name}.bin`));
  const args = ['infer', ...files, '--model', model, '--tensor', SHAPE.join('x'), '--dump', dump, '--json', ...flags];
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stderr.match(/TESSERA_\w+.*/)?.[0]]).toEqual([0, undefined]);
  const results = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ResultObject);
  return { results, values: new Float32Array(new Uint8Array(await readFile(dump)).buffer) };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!))) / Math.max(...b.map(Math.abs));
}

const tilesOnNodes = ({ tiles_per_node: { central: _, ...nodes } }: ResultObject): number =>
  Object.values(nodes).reduce((sum, count) => sum + count, 0);

describe('exits between two stages of tiles', () => {
  test('a dim frame runs to its end and equals the whole network; a bright one ends after the first stage', async () => {
    const { results, values } = await infer({ exits: EXITS }, ['dim', 'bright'], ['--grid', '2x2']);
    const [dim, bright] = results as [ResultObject, ResultObject];
    expect(dim).toMatchObject({ status: 'ok', exit: null, approximate: false });
    expect(tilesOnNodes(dim)).toBe(8);
    expect(largestDifference(values, whole.dim!.y!)).toBeLessThan(1e-5);
    expect(bright).toMatchObject({ status: 'ok', exit: 0, approximate: true, missing: [] });
    expect(tilesOnNodes(bright)).toBe(4);
    expect(bright.bytes_down).toBeLessThan(dim.bytes_down);
    const most = whole.bright!.early!.indexOf(Math.max(...whole.bright!.early!));
    expect(bright.top).toMatchObject({ label: `class ${most}`, score: expect.closeTo(1, 2) });
  });

  test('the first confident one is used, and its tensor replaces the outputs', async () => {
    const exits = [{ tensor: 'late', threshold: 0.9 }];
    const { results, values } = await infer({ exits }, ['bright'], ['--grid', '2x2', '--cut', 'p']);
    expect(results[0]).toMatchObject({ status: 'ok', exit: 0 });
    expect(largestDifference(values, whole.bright!.late!)).toBeLessThan(1e-5);
  });

  test('with zero tiles and a clip codec from model.yaml', async () => {
    const tile = { grid: [2, 2], padding: 'zero' };
    const tiles = [
      { ...tile, after: 'p', clip: [0, 300], bits: 8 },
      { ...tile, after: 'q' },
    ];
    const { results, values } = await infer({ tiles, exits: EXITS }, ['bright']);
    expect(results[0]).toMatchObject({ status: 'ok', exit: 0 });
    expect(tilesOnNodes(results[0]!)).toBe(4);
    // The network was not retrained, so only the same prediction is expected.
    expect(values.indexOf(Math.max(...values))).toBe(whole.bright!.early!.indexOf(Math.max(...whole.bright!.early!)));
  });
});

test('--ignore-exits runs a bright frame to its end', async () => {
  const { results, values } = await infer({ exits: EXITS }, ['bright'], ['--grid', '2x2', '--ignore-exits']);
  expect(results[0]).toMatchObject({ exit: null, approximate: false });
  expect(largestDifference(values, whole.bright!.y!)).toBeLessThan(1e-5);
});

test('without exits in model.yaml the additional outputs are outputs', async () => {
  const card = { task: 'raw', output: { decoder: 'none' } };
  const { results, values } = await infer(card, ['bright'], ['--grid', '2x2', '--cut', 'p']);
  expect(results[0]).toMatchObject({ exit: null });
  expect(largestDifference(values, whole.bright!.early!)).toBeLessThan(1e-5);
});
