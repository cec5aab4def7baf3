import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadServedModel, withStoredWeights } from '../../central/served-model.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { ints, node, sketch } from '../shared/onnx/build.ts';
import { call, withFunctions } from '../shared/onnx/functions.ts';
import { tinyNetwork, tinyPlan } from '../support/tiny-network.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-served-model-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function loaded(model: Model) {
  const card = parseCard({ name: 'm', task: 'raw' }, 'model.yaml');
  const request = { name: 'm', card, labels: [], model, picture: false };
  return loadServedModel(request, await openBlobStore(folder), await openSigningKey(folder));
}

describe('loadServedModel', () => {
  it('accepts a network of local functions', async () => {
    const model = withFunctions(
      sketch({ nodes: [call(node('F', ['x'], ['y']))], inputs: { x: ['N', 3] }, outputs: ['y'] }),
      [{ name: 'F', inputs: ['x'], outputs: ['y'], nodes: [node('Relu', ['x'], ['y'])] }],
    );
    expect((await loaded(model)).resolved.specs.get('y')?.shape).toEqual([1, 3]);
  });

  it('accepts an output whose shape only a run shows; a plan that sends it between machines names the operator whose output it is', async () => {
    const model = sketch({
      nodes: [{ ...node('NonZero', ['x'], ['where']), name: 'nonzero_7' }, node('Neg', ['where'], ['y'])],
      inputs: { x: [1, 3] },
      outputs: ['y'],
    });
    const { resolved, outputs, input, manifest } = await loaded(model);
    expect([outputs, resolved.specs.has('y')]).toEqual([['y'], false]);
    const plan = tinyPlan(manifest.skeleton.sha, { kind: 'whole' });
    const stages = [
      { ...plan.stages[0]!, inputs: [input.name], outputs: ['where'] },
      { ...plan.stages[0]!, id: 1, inputs: ['where'], outputs: ['y'] },
    ];
    expect(() => compilePlan({ ...plan, stages }, resolved)).toThrow(/"where" cannot be known.*NonZero "nonzero_7"/);
  });

  it('ignores inputs that no operator reads, and says when more than one is read', async () => {
    const nodes = [node('Relu', ['x'], ['y'])];
    const unused = sketch({ nodes, inputs: { training: [1], x: [1, 3] }, outputs: ['y'] });
    expect((await loaded(unused)).input.name).toBe('x');
    const both = sketch({ nodes: [node('Add', ['x', 'z'], ['y'])], inputs: { x: [1], z: [1] }, outputs: ['y'] });
    await expect(loaded(both)).rejects.toMatchObject({
      code: 'TESSERA_MODEL_UNSUPPORTED',
      message: expect.stringMatching(/2 inputs: x, z/),
    });
  });

  it('says what a message cannot carry: too many outputs, too many axes, elements that are no numbers', async () => {
    const relu = node('Relu', ['x'], ['a']);
    const many = Array.from({ length: 257 }, (_, i) => node('Neg', ['a'], [`n${i}`]));
    const flood = sketch({ nodes: [relu, ...many], inputs: { x: [1, 3] }, outputs: many.map(({ name }) => name) });
    const deep = sketch({
      nodes: [relu, node('Reshape', ['a', 'shape'], ['y'])],
      inputs: { x: [1, 3] },
      outputs: ['y'],
      constants: [ints('shape', [1, 1, 1, 1, 1, 1, 1, 1, 3])],
    });
    const texts = sketch({ nodes: [node('Cast', ['x'], ['y'], { to: 8 })], inputs: { x: [1, 3] }, outputs: ['y'] });
    const text = { ...texts, graph: { ...texts.graph, outputs: [{ ...texts.graph.outputs[0]!, elementType: 8 }] } };
    for (const [model, message] of [
      [flood, /257 outputs; at most 256/],
      [deep, /"y" has 9 axes; at most 8/],
      [text, /"y" is not a tensor of plain numbers/],
    ] as const)
      await expect(loaded(model)).rejects.toMatchObject({
        code: 'TESSERA_MODEL_UNSUPPORTED',
        message: expect.stringMatching(message),
        hint: expect.any(String),
      });
  });

  it('refuses a card whose input.tensor is not an input of the network', async () => {
    const model = sketch({ nodes: [node('Relu', ['x'], ['y'])], inputs: { x: [1, 3] }, outputs: ['y'] });
    const card = parseCard({ name: 'm', task: 'raw', input: { tensor: 'image' } }, 'model.yaml');
    const request = { name: 'm', card, labels: [], model, picture: false };
    const attempt = loadServedModel(request, await openBlobStore(folder), await openSigningKey(folder));
    await expect(attempt).rejects.toMatchObject({ code: 'TESSERA_MODEL_CARD', hint: 'its inputs are "x"' });
  });
});

it('keeps no large weights in memory once they are stored, and compiles the same plans', async () => {
  const model = await loaded(tinyNetwork());
  const stored = await withStoredWeights(model, await openBlobStore(folder));
  const inline = [...stored.resolved.model.graph.initializers.values()].flatMap(({ data }) =>
    data.kind === 'inline' ? [data.bytes.byteLength] : [],
  );
  expect(Math.max(...inline)).toBeLessThan(1024);
  expect([...stored.resolved.specs]).toEqual([...model.resolved.specs]);
  const split = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [8] } as const;
  const plan = tinyPlan(model.manifest.skeleton.sha, split);
  expect(compilePlan(plan, stored.resolved)).toEqual(compilePlan(plan, model.resolved));
});
