import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadServedModel, type ServedModel, withCutWeights } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { Plan, Stage } from '../../../shared/plan/plan.ts';
import type { BlobStore } from '../../../shared/ports.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { loadSession } from '../../../shared/runtime/ort.ts';
import { openSigningKey, requireSignature, type SigningKey } from '../../../shared/runtime/signature.ts';
import { difference } from '../../../shared/tensor/compare.ts';
import { numbers } from '../../../shared/tensor/numbers.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';
import { runPlan } from '../../support/run-plan.ts';
import { tinyInput, tinyNetwork, tinyPlan } from '../../support/tiny-network.ts';

/** Lost if these fail: a node fetches weights that it does not compute with, or computes with wrong ones. */

let folder: string;
let store: BlobStore;
let key: SigningKey;
let served: ServedModel;
let whole: Tensor;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-stage-slices-'));
  store = await openBlobStore(join(folder, 'blobs'));
  key = await openSigningKey(folder);
  const card = parseCard({ name: 'tiny', task: 'raw' }, 'tiny');
  served = await loadServedModel({ name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false }, store, key);
  const session = await loadSession(writeModel(tinyNetwork()), { threads: 1 });
  whole = (await session.run(new Map([['x', tinyInput()]]))).get('y')!;
  await session.release();
});
afterAll(() => rm(folder, { recursive: true }));

/** x -> p in tiles, p -> y in slices of 5 and 3 channels. */
function planOf(change: Partial<Stage> = {}): Plan {
  const tiles = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [8] } as const;
  const plan = tinyPlan(served.manifest.skeleton.sha, tiles);
  const [stage] = plan.stages;
  const split = { kind: 'channels', sizes: [5, 3] } as const;
  return {
    ...plan,
    stages: [
      { ...stage!, outputs: ['p'] },
      { ...stage!, id: 1, inputs: ['p'], split, ...change },
    ],
  };
}

describe('a stage in slices of channels', () => {
  it('after a stage in tiles gives the whole network', async () => {
    const compiled = compilePlan(planOf(), served.resolved);
    const cut = await withCutWeights(served, compiled, store, key);
    const made = await runPlan(cut, compiled, tinyInput(), store);
    expect(difference(whole, made.get('y')!).largest).toBeLessThanOrEqual(1e-6);
  });

  it('sends its results clipped where the plan says so', async () => {
    const b = Math.max(...Array.from(numbers(whole)));
    const codec = { y: { name: 'clip', a: 0, b, bits: 8 } } as const;
    const compiled = compilePlan(planOf({ codec }), served.resolved);
    const cut = await withCutWeights(served, compiled, store, key);
    const made = await runPlan(cut, compiled, tinyInput(), store);
    expect(difference(whole, made.get('y')!).largest).toBeLessThanOrEqual(0.5 / 255 + 1e-6);
  });

  it('has its slices among the pieces of the model, and central signs them', async () => {
    const compiled = compilePlan(planOf(), served.resolved);
    const { manifest } = await withCutWeights(served, compiled, store, key);
    const sizes = manifest.slices!.map(({ tensor, size }) => ({ tensor, size }));
    expect(sizes).toEqual([
      { tensor: 'w2', size: 5 * 16 * 9 * 4 },
      { tensor: 'w2', size: 3 * 16 * 9 * 4 },
    ]);
    requireSignature(manifest, [key.publicKey]);
    const other = { ...manifest, slices: manifest.slices!.map((slice) => ({ ...slice, sha: 'a'.repeat(64) })) };
    expect(() => requireSignature(other, [key.publicKey])).toThrow(/not signed/);
  });

  it('a node reads the slice of the part that is pinned to it, and runs no other part', async () => {
    const plan = planOf({ on: { mode: 'share', nodes: ['n1', 'n2'], parts: ['n1', 'n2'] } });
    const { manifest } = await withCutWeights(served, compilePlan(plan, served.resolved), store, key);
    const { skeleton, slices } = manifest;
    const runner = new StageRunner({ node: 'n2', store, threads: 1, sessionMemoryMb: 100 });
    expect(await runner.weights(plan, [1], skeleton.sha, slices)).toEqual([slices![1]!.sha]);
    await runner.prepare(plan, [1], skeleton.sha, slices);
    const codec = { name: 'raw' } as const;
    const part = (t_id: number, channels: [number, number]) =>
      runner.runPart(plan.id, 1, {
        t_id,
        in: [],
        out: [{ tensor: 'y', box: [[0, 1], channels, [0, 8], [0, 8]], codec }],
      });
    expect(await part(0, [0, 5])).toMatchObject({ error: { code: 'bad-input', text: 'stage 1 has no tile 0 here' } });
    expect(await part(1, [5, 8])).toMatchObject({ error: { code: 'bad-input', text: 'input "p" is missing' } });
    await runner.stop();
  });

  it('is refused where the manifest names no such slice', async () => {
    const plan = planOf();
    const { manifest } = await withCutWeights(served, compilePlan(plan, served.resolved), store, key);
    const runner = new StageRunner({ node: 'n1', store, threads: 1, sessionMemoryMb: 100 });
    for (const slices of [undefined, manifest.slices!.slice(1), manifest.slices!.map((one) => ({ ...one, size: 4 }))])
      await expect(runner.prepare(plan, [1], manifest.skeleton.sha, slices)).rejects.toMatchObject({
        code: 'TESSERA_BLOB',
        message: expect.stringContaining('no slice of 2880 bytes of the weights "w2"'),
      });
    await runner.stop();
  });
});
