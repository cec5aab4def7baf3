import { expect, test } from 'vitest';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { unknownShapeReason } from '../../../shared/onnx/unknown-shape.ts';
import { node, sketch } from './build.ts';
import { body } from './functions.ts';

test('the operator that stops the inference is named, however far it is from the output', () => {
  const resolved = resolveModel(
    sketch({
      nodes: [
        node('Relu', ['x'], ['known']),
        { ...node('Loop', ['', '', 'known'], ['looped'], { body: body('body', [], ['known']) }), name: 'loop_3' },
        node('Neg', ['looped'], ['n']),
        node('Add', ['known', 'n'], ['y']),
        { ...node('Magic', ['known'], ['m']), domain: 'some.where' },
        node('Relu', ['m'], ['z']),
      ],
      inputs: { x: [1, 2] },
      outputs: ['y', 'z', 'known'],
    }),
  );
  expect(['y', 'z', 'known', 'nothing'].map((name) => unknownShapeReason(resolved, name))).toEqual([
    'the output of Loop "loop_3" is unknown before a run',
    'Magic "m" is an operator of "some.where", which has no shape rule',
    undefined,
    undefined,
  ]);
});

test('an input or constant of an unsupported element type is named', () => {
  const model = sketch({ nodes: [node('Relu', ['x'], ['y'])], inputs: { x: [1] }, outputs: ['y'] });
  const inputs = model.graph.inputs.map((input) => ({ ...input, dtype: 'other', elementType: 16 }) as const);
  const resolved = resolveModel({ ...model, graph: { ...model.graph, inputs } });
  expect(unknownShapeReason(resolved, 'y')).toBe('"x" is of a type that Tessera does not handle');
});
