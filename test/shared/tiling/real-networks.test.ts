import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { beforeSoftmax, seedWeights } from '../../../bench/harness/weights.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { loadModelFile } from '../../../shared/runtime/package.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { expectLossless, type GridSizes } from './network.ts';

/** Real networks lie outside of the repository; all of them on all grids: `npm run bench -- lossless`. */
const folder = join(process.env.TESSERA_DATA ?? '../shared/data', 'models');

const SAMPLE: [file: string, leastShare: number, shape?: readonly number[]][] = [
  ['mnist-8.onnx', 1],
  ['cifar10_resnet20.onnx', 1],
  ['person_vww_96.onnx', 1],
  ['ultraface_rfb_320.onnx', 1],
  ['FastestDet.onnx', 1],
  ['super_resolution_x3.onnx', 1, [1, 1, 48, 40]],
  // Its head needs the whole map; the backbone before it has 83 % of the convolutions.
  ['deeplabv3_mnv2_dm05.onnx', 0.82],
  ['topologies/light_shufflenet.onnx', 1],
];

const GRIDS: GridSizes[] = [
  [2, 2],
  [
    [1, 3, 2],
    [2, 1],
  ],
];

describe('real networks in tiles equal the whole', () => {
  test.for(SAMPLE)('%s', { timeout: 60_000 }, async ([file, leastShare, shape], { skip }) => {
    const path = join(folder, file);
    skip(!existsSync(path), `${path} is missing; TESSERA_DATA names the folder that holds models/`);
    const model = await loadModelFile(path);
    const seeded = file.includes('light_') ? beforeSoftmax(seedWeights(model, 1)) : model;
    const input = model.graph.inputs[0]!.name;
    const resolved = resolveModel(seeded, shape === undefined ? {} : { inputShapes: { [input]: shape } });
    const prefix = longestPrefix(resolved, [input], { rows: 3, cols: 2 });
    expect(prefix.convMacs / modelTotals(resolved).convMacs).toBeGreaterThanOrEqual(leastShare);
    await expectLossless(resolved, prefix.outputs, GRIDS, [input]);
  });
});
