import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { choosePlan, type PlanRequest } from '../../../central/planner/default-plan.ts';
import { loadServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import type { BlobStore } from '../../../shared/ports.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { loadSession } from '../../../shared/runtime/ort.ts';
import { openSigningKey, type SigningKey } from '../../../shared/runtime/signature.ts';
import { difference } from '../../../shared/tensor/compare.ts';
import { byteLength, elementCount, type Tensor } from '../../../shared/tensor/tensor.ts';
import { ODD_NETWORKS } from '../../support/odd-networks.ts';
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

const PLANS: readonly (readonly [string, Partial<PlanRequest> & { opaque?: true }])[] = [
  ['as it is chosen', {}],
  ['left to the runtime', { opaque: true }],
  ['whole on one node', { strategy: 'whole-replicate' }],
  ['whole on central', { strategy: 'whole-central' }],
];
const TILED: typeof PLANS = [
  ['2x2', { grid: { rows: 2, cols: 2 } }],
  ['3x1', { grid: { rows: 3, cols: 1 } }],
];
const TWO: typeof PLANS = [['two stages', { cuts: ['c', 'a'], grid: { rows: 2, cols: 2 } }]];

describe.each(ODD_NETWORKS)('$what', ({ model, tiles, needsShapes = false }) => {
  const plans = PLANS.filter(([, { opaque }]) => !(opaque && needsShapes));
  const hasBoth = ['c', 'a'].every((name) => model.graph.nodes.some(({ outputs }) => outputs.includes(name)));
  test.each([...plans, ...(tiles ? TILED : []), ...(tiles && hasBoth ? TWO : [])])(
    'equals ONNX Runtime: %s',
    async (_, { opaque = false, ...request }) => {
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

      const compiled = choosePlan(served, { nodeCount: 3, ...request });
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
