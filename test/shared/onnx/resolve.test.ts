import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import type { GraphNode, Model } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import { graphAttribute, writeModel } from '../../../shared/onnx/write.ts';
import { float, ints, node, sketch, weights } from './build.ts';
import { body } from './functions.ts';
import { feedsOf, largestDifference, missing, NETWORKS, network, run, TOPOLOGIES, typesByRunning } from './networks.ts';

describe("types of every tensor of real networks equal the runtime's", () => {
  for (const name of [...Object.keys(NETWORKS), ...TOPOLOGIES]) {
    test.skipIf(missing(name))(`${name} ${missing(name) || ''}`, async () => {
      const resolved = network(name);
      const names = resolved.model.graph.nodes.flatMap((each) => each.outputs).filter((output) => output !== '');
      expect(names.filter((output) => !resolved.specs.has(output))).toEqual([]);
      const real = await typesByRunning(resolved);
      expect(real.size).toBe(new Set(names).size);
      for (const [tensor, spec] of real) expect([tensor, resolved.specs.get(tensor)]).toEqual([tensor, spec]);
    });
  }
});

/** The nodes that PyTorch's exporter writes for interpolate, view and pad with dynamic axes. */
const dynamic = sketch({
  nodes: [
    node('Conv', ['x', 'w'], ['c'], { strides: [2, 2], pads: [1, 1, 1, 1] }),
    // x.view(x.size(0), 2, -1, x.size(3))
    node('Shape', ['c'], ['c_shape']),
    node('Constant', [], ['axis0'], { value: { kind: 'tensor', value: constantTensor('', 'int64', [], [0]) } }),
    node('Gather', ['c_shape', 'axis0'], ['n']),
    node('Unsqueeze', ['n', 'zeros'], ['n1']),
    node('Constant', [], ['two'], { value_ints: [2] }),
    node('Constant', [], ['rest'], { value_ints: [-1] }),
    node('Gather', ['c_shape', 'three'], ['width'], { axis: 0 }),
    node('Concat', ['n1', 'two', 'rest', 'width'], ['view'], { axis: 0 }),
    node('Reshape', ['c', 'view'], ['viewed']),
    // interpolate(c, size=x.shape[2:])
    node('Shape', ['x'], ['x_shape']),
    node('Slice', ['x_shape', 'from2', 'to4', 'zeros'], ['hw']),
    node('Cast', ['hw'], ['hw64'], { to: 7 }),
    node('Slice', ['c_shape', 'zeros', 'from2', 'zeros'], ['nc']),
    node('Concat', ['nc', 'hw64'], ['sizes'], { axis: 0 }),
    node('Resize', ['c', '', '', 'sizes'], ['large'], { mode: 'nearest' }),
    // interpolate(c, scale_factor=0.5 * 3): scales by arithmetic in floats
    node('Constant', [], ['half'], { value_float: float(0.5) }),
    node('Constant', [], ['factor'], { value_floats: { kind: 'floats', value: [2, 2, 3, 3] } }),
    node('Mul', ['factor', 'half'], ['scales']),
    node('Resize', ['c', '', 'scales'], ['scaled'], { mode: 'nearest' }),
    // pad(c, (1, 2, 3, 4)): the exporter's way of reversing the list
    node('ConstantOfShape', ['four'], ['fill'], {
      value: { kind: 'tensor', value: constantTensor('', 'int64', [1], [0]) },
    }),
    node('Concat', ['given', 'fill'], ['padded_list'], { axis: 0 }),
    node('Reshape', ['padded_list', 'pairs'], ['as_pairs']),
    node('Slice', ['as_pairs', 'last', 'least', 'zeros', 'last'], ['turned']),
    node('Transpose', ['turned'], ['columns'], { perm: [1, 0] }),
    node('Reshape', ['columns', 'rest'], ['pads']),
    node('Pad', ['c', 'pads'], ['padded'], { mode: 'constant' }),
    // expand_as with Where(Equal(size, -1), 1, size)
    node('ConstantOfShape', ['rank'], ['ones'], {
      value: { kind: 'tensor', value: constantTensor('', 'int64', [1], [1]) },
    }),
    node('Equal', ['wanted', 'minus'], ['is_minus']),
    node('Where', ['is_minus', 'ones', 'wanted'], ['expanded_shape']),
    node('Expand', ['scalar', 'expanded_shape'], ['expanded']),
    node('Add', ['padded', 'expanded'], ['sum']),
  ],
  inputs: { x: ['batch', 3, 'height', 'width'] },
  outputs: ['viewed', 'large', 'scaled', 'sum'],
  constants: [
    weights('w', [4, 3, 3, 3]),
    ints('zeros', [0]),
    ints('three', [3]),
    ints('from2', [2]),
    ints('to4', [2 ** 63]),
    ints('four', [4]),
    ints('given', [1, 2, 3, 4]),
    ints('pairs', [-1, 2]),
    ints('last', [-1]),
    ints('least', [-(2 ** 63)]),
    ints('rank', [4]),
    ints('wanted', [1, 4, -1, -1]),
    ints('minus', [-1, -1, -1, -1]),
    weights('scalar', [1, 1, 1, 1]),
  ],
});

describe('a network exported with dynamic axes', () => {
  const resolved = resolveModel(dynamic, { inputShapes: { x: [1, 3, 20, 28] } });

  test('loses all its shape arithmetic, so that Reshape, Resize and Pad have constant parameters', () => {
    expect(resolved.model.graph.nodes.map(({ op }) => op)).toEqual([
      'Conv',
      'Reshape',
      'Resize',
      'Resize',
      'Pad',
      'Add',
    ]);
    const { nodes, initializers } = resolved.model.graph;
    for (const each of nodes.slice(1, 5)) {
      for (const name of each.inputs.slice(1)) expect(name === '' || initializers.has(name)).toBe(true);
    }
  });

  test("has the runtime's types, and computes the same", async () => {
    for (const [tensor, spec] of await typesByRunning(resolved)) {
      expect([tensor, resolved.specs.get(tensor)]).toEqual([tensor, spec]);
    }
    const feeds = feedsOf(resolved, Math.sin);
    const expected = await run(writeModel(dynamic), feeds);
    const folded = await run(writeModel(resolved.model), feeds);
    for (const [name, tensor] of Object.entries(expected)) expect(largestDifference(folded[name]!, tensor)).toBe(0);
  });
});

function refusal(model: Model, options: Parameters<typeof resolveModel>[1] = {}): TesseraError {
  try {
    resolveModel(model, options);
  } catch (error) {
    if (error instanceof TesseraError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('open dimensions', () => {
  const relu = (shape: readonly (number | string)[] | undefined) =>
    sketch({ nodes: [node('Relu', ['x'], ['y'])], inputs: { x: shape }, outputs: ['y'] });
  const shapeOf = (model: Model, options: Parameters<typeof resolveModel>[1] = {}) =>
    resolveModel(model, options).specs.get('y')?.shape;

  test.each([[['N', 3, 4, 4]], [[-1, 3, 4, 4]], [[0, 3, 4, 4]], [['', 3, 4, 4]]])(
    'a batch of %j is 1, since frames come one at a time',
    (shape) => {
      expect(shapeOf(relu(shape))).toEqual([1, 3, 4, 4]);
      expect(shapeOf(relu(shape), { batch: 5 })).toEqual([5, 3, 4, 4]);
    },
  );

  test('others are named together with the flags that set them', () => {
    const { code, message, hint } = refusal(relu(['N', 3, 'height', 4]));
    expect(code).toBe('TESSERA_SHAPE');
    expect(message).toContain('"height" (axis 2)');
    for (const way of ['--input-shape 1x3x224x4', '--tensor', 'input.shape']) expect(hint).toContain(way);
  });

  test('the given shape fixes them, also the same symbol of another input', () => {
    expect(shapeOf(relu(['N', 3, 'h', 'w']), { inputShapes: { x: [1, 3, 5, 7] } })).toEqual([1, 3, 5, 7]);
    const two = sketch({
      nodes: [node('Add', ['x', 'z'], ['y'])],
      inputs: { x: [1, 'h'], z: [1, 'h'] },
      outputs: ['y'],
    });
    expect(resolveModel(two, { inputShapes: { x: [1, 9] } }).specs.get('z')?.shape).toEqual([1, 9]);
  });

  test('a shape that contradicts the file, or is for no input, is refused', () => {
    expect(refusal(relu([1, 3, 4, 4]), { inputShapes: { x: [1, 3, 8, 8] } }).message).toContain('does not fit');
    expect(refusal(relu([1, 3, 4, 4]), { inputShapes: { image: [1, 3, 4, 4] } }).hint).toContain('"x"');
    expect(refusal(relu(undefined)).message).toContain('does not say what shape');
  });
});

test('an If that a fixed shape decides is replaced by its branch, so that later types are known', async () => {
  const branch = (name: string, op: string, inputs: readonly string[], output: string) => {
    const constants = [ints(`${output}_axes`, [1])];
    return graphAttribute(
      name,
      sketch({ nodes: [node(op, inputs, [output])], inputs: {}, outputs: [output], constants }).graph,
    );
  };
  // What PyTorch exports for x.squeeze(1) with a dynamic axis 1.
  const model = sketch({
    nodes: [
      node('Shape', ['x'], ['shape']),
      node('Gather', ['shape', 'one'], ['size']),
      node('Equal', ['size', 'one'], ['is_one']),
      node('If', ['is_one'], ['squeezed'], {
        then_branch: branch('then_branch', 'Squeeze', ['x', 'thin_axes'], 'thin'),
        else_branch: branch('else_branch', 'Identity', ['x'], 'thick'),
      }),
      node('Relu', ['squeezed'], ['y']),
    ],
    inputs: { x: [2, 'c', 4] },
    outputs: ['y'],
    constants: [constantTensor('one', 'int64', [], [1])],
  });
  const shapeFor = (channels: number) =>
    resolveModel(model, { inputShapes: { x: [2, channels, 4] } }).specs.get('y')?.shape;
  expect([shapeFor(1), shapeFor(3)]).toEqual([
    [2, 4],
    [2, 3, 4],
  ]);
  const resolved = resolveModel(model, { inputShapes: { x: [2, 1, 4] } });
  const { y } = await run(writeModel(resolved.model), feedsOf(resolved, Math.sin));
  expect(y!.dims).toEqual([2, 4]);
});

describe('an If that a run decides', () => {
  const choose = (thenNodes: readonly GraphNode[], elseNodes: readonly GraphNode[]) =>
    resolveModel(
      sketch({
        nodes: [
          node('ReduceMean', ['x'], ['m'], { keepdims: 0 }),
          node('Greater', ['m', 'zero'], ['is']),
          node('If', ['is'], ['y'], {
            then_branch: body('then_branch', thenNodes, ['t']),
            else_branch: body('else_branch', elseNodes, ['e']),
          }),
          node('Relu', ['y'], ['z']),
        ],
        inputs: { x: [1, 3, 8, 8] },
        outputs: ['z'],
        constants: [constantTensor('zero', 'float32', [], [0]), weights('w', [4, 3, 3, 3]), weights('v', [4, 3, 1, 1])],
      }),
    );
  const wide = [node('Conv', ['x', 'w'], ['c'], { pads: [1, 1, 1, 1] }), node('Neg', ['c'], ['t'])];

  test('has the shape on which its branches agree, and costs as much as the costlier one', () => {
    const { specs, branchMacs } = choose(wide, [node('Conv', ['x', 'v'], ['e'])]);
    expect(['y', 'z'].map((name) => specs.get(name)?.shape)).toEqual([
      [1, 4, 8, 8],
      [1, 4, 8, 8],
    ]);
    expect(branchMacs?.get('y')).toBe(8 * 8 * 4 * 3 * 9);
    expect(specs.has('c'), 'a tensor inside a branch').toBe(false);
  });

  test('may hold another one', () => {
    const inner = body('then_branch', [node('Conv', ['x', 'v'], ['deep'])], ['deep']);
    const nested = node('If', ['is'], ['e'], {
      then_branch: inner,
      else_branch: body('else_branch', [node('Conv', ['x', 'w'], ['flat'], { pads: [1, 1, 1, 1] })], ['flat']),
    });
    const { specs, branchMacs } = choose([node('Conv', ['x', 'v'], ['t'])], [nested]);
    expect([specs.get('y')?.shape, branchMacs?.get('y')]).toEqual([[1, 4, 8, 8], 8 * 8 * 4 * 3 * 9]);
  });

  test.each([
    ['make different shapes', [node('Identity', ['x'], ['e'])]],
    ['do not fit in one that may never be chosen', [node('MatMul', ['w', 'v'], ['e'])]],
    ['hold an unknown operator', [{ ...node('Magic', ['x'], ['e']), domain: 'some.where' }]],
  ])('has no shape where its branches %s', (_, nodes) => {
    const { specs, model } = choose(wide, nodes);
    expect([specs.has('y'), specs.has('z')]).toEqual([false, false]);
    expect(model.graph.nodes.map(({ op }) => op)).toEqual(['ReduceMean', 'Greater', 'If', 'Relu']);
  });
});

test('an unknown operator leaves only its outputs without types', () => {
  const model = sketch({
    nodes: [
      { ...node('Magic', ['x'], ['m']), domain: 'some.where' },
      node('Relu', ['m'], ['r']),
      node('Neg', ['x'], ['n']),
      node('NonMaxSuppression', ['boxes', 'scores'], ['chosen']),
    ],
    inputs: { x: [1, 2], boxes: [1, 6, 4], scores: [1, 1, 6] },
    outputs: ['r', 'n', 'chosen'],
  });
  const { specs } = resolveModel(model);
  expect(['m', 'r', 'n', 'chosen'].map((name) => specs.get(name)?.shape)).toEqual([
    undefined,
    undefined,
    [1, 2],
    undefined,
  ]);
});

test('a window that does not fit its input is an error that names the operator', () => {
  const nodes = [node('MaxPool', ['x'], ['pool5'], { kernel_shape: [7, 7] })];
  const { code, message } = refusal(sketch({ nodes, inputs: { x: [1, 1, 4, 4] }, outputs: ['pool5'] }));
  expect([code, message]).toEqual([
    'TESSERA_SHAPE',
    'MaxPool "pool5" slides a window of 7 over 4 elements, which are too few.',
  ]);
});

test('operator sets before 7 are refused: their broadcasting means something else', () => {
  const old = sketch({ nodes: [node('Relu', ['x'], ['y'])], inputs: { x: [1] }, outputs: ['y'], opset: 6 });
  expect(refusal(old).code).toBe('TESSERA_MODEL_UNSUPPORTED');
});

test('nodes that no output needs are removed, and so are declared types of other sizes', () => {
  const model = sketch({
    nodes: [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['unused'])],
    inputs: { x: [1, 2] },
    outputs: ['y'],
    constants: [weights('w', [3])],
  });
  const { graph } = resolveModel(model).model;
  expect([graph.nodes.length, graph.initializers.size, graph.outputs[0]?.shape]).toEqual([1, 0, [1, 2]]);
});
