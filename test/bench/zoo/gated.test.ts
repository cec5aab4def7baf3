import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ZOO } from '../../../bench/zoo/networks.ts';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { TensorStore } from '../../../shared/node/tensor-store.ts';
import { branchesOf } from '../../../shared/onnx/branch.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import type { GraphNode } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { Plan, Split } from '../../../shared/plan/plan.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { packModel } from '../../../shared/runtime/package.ts';
import { difference } from '../../../shared/tensor/compare.ts';
import { byteLength, type Tensor } from '../../../shared/tensor/tensor.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { noise, sessions } from '../../shared/tiling/network.ts';

/** A network of several routes is worth its gates only where the routes that a frame does not take cost nothing. */

const resolved = resolveModel(ZOO.get('gated')!.build({ width: 1 / 8 }));
const { nodes } = resolved.model.graph;
const made = (op: string): string[] => nodes.filter((node) => node.op === op).map(({ outputs }) => outputs[0]!);
const [isOpen, copies, answers, [result]] = [made('Equal'), made('Mul'), made('If'), made('Sum')];
const routes = nodes.filter(({ op }) => op === 'If');

/** A frame of one colour, with noise: the three choose the three routes. */
const COLOURS = [0b000, 0b010, 0b100] as const;
function frame(colour: number): Tensor {
  const cells = 128 * 128;
  const values = noise(3 * cells, 7919).map(
    (value, i) => 0.3 * value + ((colour >> Math.floor(i / cells)) & 1 ? 1 : -1),
  );
  return { dtype: 'float32', shape: [1, 3, 128, 128], data: new Uint8Array(Float32Array.from(values).buffer) };
}

async function wholeOf(input: Tensor): Promise<Tensor> {
  const { run, release } = sessions();
  try {
    return (await run(resolved.model, new Map([['input', input]]))).get(result!)!;
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
    const prefix = longestPrefix(resolved, ['input'], { rows: 2, cols: 2 });
    expect(prefix.outputs).toEqual([nodes.find(({ op }) => op === 'Mul')!.inputs[0]]);
    const [c, h, w] = [16, 32, 32];
    const convMacs = [1, 3, 6].map((blocks) => 2 * blocks * 9 * c * c * h * w + c * 100);
    const gates = c * 3;
    expect(modelTotals(resolved).macs).toBe(prefix.macs + gates + convMacs.reduce((sum, macs) => sum + macs, 0));
  });

  test('computes the route that a frame chooses, and no other', async () => {
    const chosen: number[] = [];
    for (const colour of COLOURS) {
      const session = await InferenceSession.create(writeModel(resolved.model), {
        enableProfiling: true,
        profileFilePrefix: join(folder, `profile-${colour}`),
        graphOptimizationLevel: 'disabled',
        intraOpNumThreads: 1,
      });
      const { data, shape } = frame(colour);
      await session.run({ input: new RuntimeTensor('float32', new Float32Array(data.buffer), [...shape]) });
      session.endProfiling();
      await session.release();
      const file = (await readdir(folder)).find((name) => name.startsWith(`profile-${colour}`))!;
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
    const manifest = await packModel({ name: 'gated', model: resolved.model, store });
    const [map] = longestPrefix(resolved, ['input'], { rows: 2, cols: 2 }).outputs as [string];
    const stage = (
      id: number,
      inputs: readonly string[],
      outputs: readonly string[],
      split: Split = { kind: 'whole' },
    ) => {
      const codec = Object.fromEntries(
        outputs.filter((name) => copies.includes(name)).map((name) => [name, { name: 'packed' as const }]),
      );
      return { id, inputs, outputs, split, on: { mode: 'share', nodes: '*' }, fallback: 'central', codec } as const;
    };
    const plan: Plan = {
      format: 'tessera-plan/1',
      id: 'p-0000a7ed',
      model: manifest.skeleton.sha,
      source: 'central',
      strategy: 'test',
      reason: 'tiles, gates, routes',
      predicted: null,
      stages: [
        stage(0, ['input'], [map], { kind: 'tiles', padding: 'halo', rows: [20, 12], cols: [16, 16] }),
        stage(1, [map], [...isOpen, ...copies]),
        ...answers.map((answer, route) => stage(2 + route, [isOpen[route]!, copies[route]!], [answer])),
        stage(2 + answers.length, answers, [result!]),
      ],
    };
    const compiled = compilePlan(plan, resolved);
    const runner = new StageRunner({ node: 'n1', store, threads: 1, sessionMemoryMb: 500 });
    const frames = new TensorStore();
    try {
      await runner.prepare(
        plan,
        plan.stages.map(({ id }) => id),
        manifest.skeleton.sha,
      );
      const bytes = byteLength(resolved.specs.get(map)!);
      for (const [index, colour] of COLOURS.entries()) {
        const input = frame(colour);
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
        const sizes = copies.map((name) => sent.get(name)!);
        const [least, middle, most] = sizes.toSorted((a, b) => a - b) as [number, number, number];
        expect(most).toBeGreaterThan(0.1 * bytes);
        expect(
          [least, middle].every((size) => size < 0.005 * bytes),
          `${sizes} of ${bytes} bytes`,
        ).toBe(true);
        const whole = await wholeOf(input);
        expect(difference(whole, frames.tensor(id, result!, compiled)!).largest).toBeLessThanOrEqual(1e-4);
      }
    } finally {
      await runner.stop();
    }
  });
});
