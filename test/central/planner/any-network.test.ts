import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { choosePlan, type PlanRequest } from '../../../central/planner/default-plan.ts';
import { planOf } from '../../../central/planner/placement/stages.ts';
import { isNoPlan } from '../../../central/planner/strategy.ts';
import { loadServedModel, type ServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../../shared/plan/compiled-plan.ts';
import type { BlobStore } from '../../../shared/ports.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { loadSession } from '../../../shared/runtime/ort.ts';
import { openSigningKey, type SigningKey } from '../../../shared/runtime/signature.ts';
import { difference } from '../../../shared/tensor/compare.ts';
import { byteLength, elementCount, type Tensor } from '../../../shared/tensor/tensor.ts';
import { ODD_NETWORKS } from '../../support/odd-networks.ts';
import { placed } from '../../support/placements.ts';
import { profiledProblem } from '../../support/profiled.ts';
import { runPlan } from '../../support/run-plan.ts';

/**
 * "Any ONNX CNN" of the README: every plan of a network has to give the outputs that ONNX Runtime gives for the whole
 * network.
 */

let folder: string;
let store: BlobStore;
let key: SigningKey;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-any-'));
  store = await openBlobStore(join(folder, 'blobs'));
  key = await openSigningKey(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const card = parseCard({ name: 'net', task: 'raw' }, 'net');

const PLANS: readonly (readonly [string, Partial<PlanRequest> & { opaque?: true; divided?: true }])[] = [
  ['as it is chosen', {}],
  ['left to the runtime', { opaque: true }],
  ['whole on one node', { strategy: 'replicate' }],
  ['whole on central', { strategy: 'single' }],
  ['its layers here and there on four machines', { divided: true }],
];
const TILED: typeof PLANS = [
  ['2x2', { grid: { rows: 2, cols: 2 } }],
  ['3x1', { grid: { rows: 3, cols: 1 } }],
];
const TWO: typeof PLANS = [['two stages', { cuts: ['c', 'a'], grid: { rows: 2, cols: 2 } }]];

/** Whole stages on four machines, between which neighbouring layers are divided; undefined where there are no layers. */
function dividedPlan(served: ServedModel): CompiledPlan | undefined {
  const problem = profiledProblem(served.resolved, served.manifest.skeleton.sha);
  if (problem.graph.layers.length === 0) return undefined;
  const placement = placed(problem);
  const plan = planOf(
    problem,
    'test',
    'divided',
    placement,
    placement.vertices.map((_, v) => (5 * v + (v >> 2)) % 4),
  );
  if (isNoPlan(plan)) throw new Error(plan.reason);
  return compilePlan(plan, served.resolved);
}

describe.each(ODD_NETWORKS)('$what', ({ model, tiles, needsShapes = false }) => {
  const plans = PLANS.filter(([, { opaque }]) => !(opaque && needsShapes));
  const hasBoth = ['c', 'a'].every((name) => model.graph.nodes.some(({ outputs }) => outputs.includes(name)));
  test.each([...plans, ...(tiles ? TILED : []), ...(tiles && hasBoth ? TWO : [])])(
    'equals ONNX Runtime: %s',
    async (_, { opaque = false, divided, ...request }) => {
      const wanted = [...new Set(model.graph.outputs.map(({ name }) => name))];
      // ONNX Runtime's JavaScript API cannot return tensors with some names.
      const readable = wanted.filter((name) => name !== '__proto__' && !name.includes('\0'));
      const graph = { ...model.graph, outputs: model.graph.outputs.filter(({ name }) => readable.includes(name)) };
      const file = writeModel({ ...model, graph });
      const used = model.graph.inputs.at(-1)!.name === 'x' ? 'x' : model.graph.inputs[0]!.name;
      const served = await loadServedModel(
        { name: 'net', card, labels: [], model, picture: false, opaque },
        store,
        key,
      );
      const { shape, dtype } = served.input;
      const x = Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i * 0.7) + Math.cos(i * 0.013));
      const input: Tensor = { dtype, shape, data: new Uint8Array(x.buffer) };

      const session = await loadSession(file, { threads: 1 });
      const feeds = new Map(
        session.inputs.map(({ name, shape: given }): [string, Tensor] => {
          if (name === used) return [name, input];
          const spec = { dtype, shape: given as number[] };
          return [name, { ...spec, data: new Uint8Array(byteLength(spec)) }];
        }),
      );
      const whole = await session.run(feeds).finally(() => session.release());

      const compiled = divided ? dividedPlan(served) : choosePlan(served, { nodeCount: 3, ...request });
      if (compiled === undefined) return;
      const made = await runPlan(served, compiled, input, store);
      expect([...made.keys()]).toEqual(wanted);
      for (const name of readable) {
        const [expected, given] = [whole.get(name)!, made.get(name)!];
        expect({ dtype: given.dtype, shape: given.shape }).toEqual({
          dtype: expected.dtype,
          shape: [...expected.shape],
        });
        expect(difference(expected, given).largest).toBeLessThan(dtype === 'float32' ? 1e-5 : 1e-3);
      }
    },
  );
});
