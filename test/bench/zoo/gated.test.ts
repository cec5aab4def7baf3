import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { TensorStore } from '../../../shared/node/tensor-store.ts';
import { branchesOf } from '../../../shared/onnx/branch.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import type { GraphNode } from '../../../shared/onnx/model.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { packModel } from '../../../shared/runtime/package.ts';
import { difference } from '../../../shared/tensor/compare.ts';
import { byteLength, type Tensor } from '../../../shared/tensor/tensor.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { sessions } from '../../shared/tiling/network.ts';
import {
  GATED_FRAMES,
  GATED_MAP,
  GATED_NETWORK,
  GATED_RESULT,
  gatedPlan,
  ROUTE_INPUTS,
} from '../../support/gated-network.ts';

/** A network of several routes is worth its gates only where the routes that a frame does not take cost nothing. */

const { nodes } = GATED_NETWORK.model.graph;
const routes = nodes.filter(({ op }) => op === 'If');

async function wholeOf(input: Tensor): Promise<Tensor> {
  const { run, release } = sessions();
  try {
    return (await run(GATED_NETWORK.model, new Map([['input', input]]))).get(GATED_RESULT)!;
  } finally {
    await release();
  }
}

/** The names of the convolutions of a route. */
function convolutions(route: GraphNode): string[] {
  return branchesOf(route).flatMap((branch) => branch.nodes.filter(({ op }) => op === 'Conv').map(({ name }) => name));
}

describe('the gated network', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tessera-gated-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('is tiled up to its gates; a route counts as a whole layer of the cost of its convolutions', () => {
    const prefix = longestPrefix(GATED_NETWORK, ['input'], { rows: 2, cols: 2 });
    expect(prefix.outputs).toEqual([nodes.find(({ op }) => op === 'Mul')!.inputs[0]]);
    const [c, h, w] = [16, 32, 32];
    const convMacs = [1, 3, 6].map((blocks) => 2 * blocks * 9 * c * c * h * w + c * 100);
    const gates = c * 3;
    expect(modelTotals(GATED_NETWORK).macs).toBe(prefix.macs + gates + convMacs.reduce((sum, macs) => sum + macs, 0));
  });

  test('computes the route that a frame chooses, and no other', async () => {
    const chosen: number[] = [];
    for (const [index, { data, shape }] of GATED_FRAMES.entries()) {
      const session = await InferenceSession.create(writeModel(GATED_NETWORK.model), {
        enableProfiling: true,
        profileFilePrefix: join(folder, `profile-${index}`),
        graphOptimizationLevel: 'disabled',
        intraOpNumThreads: 1,
      });
      await session.run({ input: new RuntimeTensor('float32', new Float32Array(data.buffer), [...shape]) });
      session.endProfiling();
      await session.release();
      const file = (await readdir(folder)).find((name) => name.startsWith(`profile-${index}`))!;
      const events = JSON.parse(await readFile(join(folder, file), 'utf8')) as { name: string }[];
      const ran = new Set(events.map(({ name }) => name.replace(/_kernel_time$/, '')));
      const open = routes.filter((route) => convolutions(route).some((name) => ran.has(name)));
      expect(open).toHaveLength(1);
      expect(convolutions(open[0]!).every((name) => ran.has(name))).toBe(true);
      chosen.push(routes.indexOf(open[0]!));
    }
    expect(chosen.toSorted()).toEqual([0, 1, 2]);
  });

  test('sends its map to the route that a frame chooses, and next to nothing to the others', async () => {
    const store = await openBlobStore(join(folder, 'blobs'));
    const manifest = await packModel({ name: 'gated', model: GATED_NETWORK.model, store });
    const plan = gatedPlan(manifest.skeleton.sha, { gates: 'n1', routes: routes.map(() => 'n1') });
    const compiled = compilePlan(plan, GATED_NETWORK);
    const runner = new StageRunner({ node: 'n1', store, threads: 1, sessionMemoryMb: 500 });
    const frames = new TensorStore();
    try {
      await runner.prepare(
        plan,
        plan.stages.map(({ id }) => id),
        manifest.skeleton.sha,
      );
      const bytes = byteLength(GATED_NETWORK.specs.get(GATED_MAP)!);
      for (const [index, input] of GATED_FRAMES.entries()) {
        const id = `0-${index}`;
        frames.open(id, new Map([['input', input]]));
        const sent = new Map<string, number>();
        for (const [number, { parts }] of compiled.stages.entries())
          for (const { t_id } of parts) {
            const [work] = frames.pack(id, compiled, number, [t_id])!;
            const outcome = await runner.runPart(plan.id, number, work!);
            if ('error' in outcome) throw new Error(outcome.error.text);
            for (const { tensor, d } of outcome.out) sent.set(tensor, d.length);
            frames.paste(id, compiled, number, t_id, outcome.out);
          }
        const sizes = ROUTE_INPUTS.map((name) => sent.get(name)!);
        const [least, middle, most] = sizes.toSorted((a, b) => a - b) as [number, number, number];
        expect(most).toBeGreaterThan(0.1 * bytes);
        expect(
          [least, middle].every((size) => size < 0.005 * bytes),
          `${sizes} of ${bytes} bytes`,
        ).toBe(true);
        const whole = await wholeOf(input);
        expect(difference(whole, frames.tensor(id, GATED_RESULT, compiled)!).largest).toBeLessThanOrEqual(1e-4);
      }
    } finally {
      await runner.stop();
    }
  });
});
