import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { Stage } from '../../shared/plan/plan.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';
import { difference } from '../../shared/tensor/compare.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { gridSizes } from '../../shared/tiling/grid.ts';
import { longestPrefix } from '../../shared/tiling/prefix.ts';
import { type RunModel, runStage } from '../../shared/tiling/reference.ts';
import { buildStage } from '../../shared/tiling/stage.ts';

/**
 * Real networks over real brokers and processes: a distributed network must equal the whole; FDSP must equal its
 * definition.
 */

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');
const models = join(data, 'models');
const SAMPLE = ['mnist-8', 'FastestDet', 'mobilenet_v1_025_128', 'light_shufflenet'];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-lossless-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('distributed networks', () => {
  test.skipIf(!existsSync(models))(`a sample of the lossless benchmark passes (networks in ${models})`, () => {
    const bench = resolve('dist/bench/main.js');
    const args = [bench, 'lossless', '--networks', SAMPLE.join(), '--data', data, '--json'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const result = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect({ ...result, rows: [], stderr: result.pass ? '' : stderr }).toMatchObject({ pass: true, limit: 1e-4 });
    expect(result.rows).toHaveLength(SAMPLE.length * 6);
    for (const row of result.rows) {
      expect(row.tiles_on_nodes).toBe(row.tiles);
      expect(row.conv_macs_on_nodes).toBeGreaterThanOrEqual(0.8 * row.conv_macs_within_reach);
    }
  });

  const resnet = join(models, 'cifar10_resnet20.onnx');
  test.skipIf(!existsSync(resnet))(`FDSP on nodes equals FDSP in one process (${resnet})`, async () => {
    const shape = [1, 3, 32, 32];
    const values = Float32Array.from({ length: 3072 }, (_, i) => Math.sin(i * 1.7) * Math.cos(i * 0.31));
    const input: Tensor = { dtype: 'float32', shape, data: new Uint8Array(values.buffer) };
    const [inFile, outFile] = [join(folder, 'in.bin'), join(folder, 'out.bin')];
    await writeFile(inFile, input.data);
    const flags = [
      '--model',
      resnet,
      '--tensor',
      shape.join('x'),
      '--padding',
      'zero',
      '--grid',
      '4x2',
      '--nodes',
      '3',
    ];
    const { stdout, code } = await runCli(['infer', inFile, ...flags, '--dump', outFile, '--json']);
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, approximate: true, status: 'ok' });

    const resolved = resolveModel(await loadModelFile(resnet));
    const [first] = resolved.model.graph.inputs;
    const prefix = longestPrefix(resolved, [first!.name], { rows: 4, cols: 2 });
    const sizes = gridSizes({ rows: 4, cols: 2 }, prefix.reference!.rows, prefix.reference!.cols, 'prefix');
    const stage = (inputs: readonly string[], outputs: readonly string[], split: Stage['split']): Stage => {
      return { id: 0, inputs, outputs, split, on: { mode: 'share', nodes: '*' }, fallback: 'central', codec: {} };
    };
    const run: RunModel = async (model, feeds) => {
      const session = await loadSession(writeModel(model), { threads: 1 });
      const outputs = await session.run(feeds);
      await session.release();
      return outputs;
    };
    const outputs = resolved.model.graph.outputs.map(({ name }) => name);
    const tiles = buildStage(
      resolved,
      stage([first!.name], prefix.outputs, { kind: 'tiles', padding: 'zero', ...sizes }),
    );
    const rest = buildStage(resolved, stage(prefix.outputs, outputs, { kind: 'whole' }));
    const middle = await runStage(tiles, new Map([[first!.name, input]]), resolved.specs, run);
    const expected = (await runStage(rest, middle, resolved.specs, run)).get(outputs[0]!)!;
    const given: Tensor = { ...expected, data: new Uint8Array(await readFile(outFile)) };
    expect(difference(expected, given).largest).toBeLessThanOrEqual(1e-5);
  });
});
