import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deployModel } from '../../central/deployment.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { node, sketch } from '../shared/onnx/build.ts';
import { call, withFunctions } from '../shared/onnx/functions.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-deployment-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function deployed(model: Model) {
  const card = parseCard({ name: 'm', task: 'raw' }, 'model.yaml');
  const request = { name: 'm', card, labels: [], model, picture: false };
  return deployModel(request, await openBlobStore(folder), await openSigningKey(folder));
}

describe('deployModel', () => {
  it('takes a network of local functions', async () => {
    const model = withFunctions(
      sketch({ nodes: [call(node('F', ['x'], ['y']))], inputs: { x: ['N', 3] }, outputs: ['y'] }),
      [{ name: 'F', inputs: ['x'], outputs: ['y'], nodes: [node('Relu', ['x'], ['y'])] }],
    );
    expect((await deployed(model)).resolved.specs.get('y')?.shape).toEqual([1, 3]);
  });

  it('names the operator that hides the shape of an output, or else nobody knows what to take out', async () => {
    const model = sketch({
      nodes: [{ ...node('NonZero', ['x'], ['where']), name: 'nonzero_7' }, node('Neg', ['where'], ['y'])],
      inputs: { x: [1, 3] },
      outputs: ['y'],
    });
    await expect(deployed(model)).rejects.toMatchObject({
      code: 'TESSERA_MODEL_UNSUPPORTED',
      message: expect.stringMatching(/output "y" of model "m" cannot be known: what NonZero "nonzero_7" makes/),
      hint: expect.stringContaining('extract_model'),
    });
  });
});
