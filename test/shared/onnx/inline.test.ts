import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import { singleCuts } from '../../../shared/onnx/cuts.ts';
import { extractSegment } from '../../../shared/onnx/extract.ts';
import type { Model } from '../../../shared/onnx/model.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { expectLossless } from '../tiling/network.ts';
import { float, ints, node, sketch, weights } from './build.ts';
import { body, call, DOMAIN, type FunctionSketch, reference, withFunctions } from './functions.ts';
import { feedsOf, largestDifference, run, typesByRunning } from './networks.ts';

/** Convolution and activation as exporters write a module: strides come from the call, alpha has a default. */
const block: FunctionSketch = {
  name: 'Block',
  inputs: ['x', 'w', 'b'],
  outputs: ['y'],
  attributes: ['strides'],
  defaults: { alpha: float(0.25) },
  nodes: [
    node('Conv', ['x', 'w', 'b'], ['t'], { pads: [1, 1, 1, 1], strides: reference('strides', 'strides', 7) }),
    node('LeakyRelu', ['t'], ['y'], { alpha: reference('alpha', 'alpha', 1) }),
  ],
};

/** Two blocks and a skip connection, with a constant and an unused output. */
const residual: FunctionSketch = {
  name: 'Residual',
  inputs: ['x', 'w'],
  outputs: ['y', 'inner'],
  attributes: ['slope'],
  opsets: { '': 13, [DOMAIN]: 1 },
  nodes: [
    call(node('Block', ['x', 'w'], ['inner'], { alpha: reference('alpha', 'slope', 1) })),
    node('Constant', [], ['half'], { value: { kind: 'tensor', value: constantTensor('', 'float32', [], [0.5]) } }),
    node('Mul', ['inner', 'half'], ['t']),
    node('Add', ['t', 'x'], ['y']),
  ],
};

const network = withFunctions(
  sketch({
    nodes: [
      call(node('Block', ['x', 'w0', 'b0'], ['a'], { strides: [2, 2] })),
      // The name that a tensor of this call would get is taken by the next node.
      { ...call(node('Residual', ['a', 'w1'], ['b', 'b_inner'], { slope: float(0.1) })), name: 'layer' },
      node('Relu', ['b'], ['layer/t']),
      { ...call(node('Residual', ['layer/t', 'w1'], ['c', 'c_inner'])), name: '' },
      node('GlobalAveragePool', ['c'], ['p']),
      node('Flatten', ['p'], ['y']),
    ],
    inputs: { x: ['N', 3, 16, 16] },
    outputs: ['y'],
    constants: [weights('w0', [8, 3, 3, 3]), weights('b0', [8]), weights('w1', [8, 8, 3, 3])],
  }),
  [residual, block],
);

async function expectSame(model: Model): Promise<void> {
  const resolved = resolveModel(readModel(writeModel(model)));
  const feeds = feedsOf(resolved, Math.sin);
  const expected = await run(writeModel(model), feeds);
  const inlined = await run(writeModel(resolved.model), feeds);
  for (const [name, tensor] of Object.entries(expected)) {
    expect(inlined[name]!.dims).toEqual(tensor.dims);
    expect(largestDifference(inlined[name]!, tensor)).toBe(0);
  }
}

describe('a network of local functions', () => {
  const resolved = resolveModel(readModel(writeModel(network)));

  test("computes ONNX Runtime's result of the functions, with the same types", async () => {
    await expectSame(network);
    for (const [tensor, spec] of await typesByRunning(resolved))
      expect([tensor, resolved.specs.get(tensor)]).toEqual([tensor, spec]);
  });

  test('has operators only, each tensor made once, and no functions', () => {
    const { graph, unknown } = resolved.model;
    expect(new Set(graph.nodes.map(({ domain }) => domain))).toEqual(new Set(['']));
    expect(graph.nodes.filter(({ op }) => op === 'Conv')).toHaveLength(3);
    const made = graph.nodes.flatMap(({ outputs }) => outputs);
    expect(new Set(made).size).toBe(made.length);
    expect(unknown).toHaveLength(0);
  });

  test('can be cut inside a function, and both segments together equal the whole', async () => {
    const cut = singleCuts(resolved).find(({ tensor }) => tensor.includes('/'))!.tensor;
    const feeds = feedsOf(resolved, Math.sin);
    const head = await run(writeModel(extractSegment(resolved, ['x'], [cut]).model), feeds);
    const tail = await run(writeModel(extractSegment(resolved, [cut], ['y']).model), { [cut]: head[cut]! });
    const whole = await run(writeModel(network), feeds);
    expect(largestDifference(tail.y!, whole.y!)).toBe(0);
  });

  test('is tiled through all its functions, with the same result', async () => {
    const { outputs, convMacs } = longestPrefix(resolved, ['x'], { rows: 2, cols: 2 });
    expect(convMacs).toBe(modelTotals(resolved).convMacs);
    await expectLossless(resolved, outputs, [[2, 2]], ['x']);
  });

  test('keeps its functions when it is read and written', () => {
    expect(readModel(writeModel(network)).unknown).toEqual(network.unknown);
  });
});

test('outputs that are inputs, and outputs named twice, are kept', async () => {
  const twice: FunctionSketch = {
    name: 'Twice',
    inputs: ['x'],
    outputs: ['x', 'y', 'y'],
    nodes: [node('Neg', ['x'], ['y'])],
  };
  const model = withFunctions(
    sketch({
      nodes: [call(node('Twice', ['x'], ['same', 'first', 'second'])), node('Sum', ['same', 'first', 'second'], ['y'])],
      inputs: { x: [4] },
      outputs: ['y'],
    }),
    [twice],
  );
  const resolved = resolveModel(model);
  const { y } = await run(
    writeModel(resolved.model),
    feedsOf(resolved, (i) => i),
  );
  expect([...(y!.data as Float32Array)].map(Math.abs)).toEqual([0, 1, 2, 3]);
});

test('overloads of one name are kept apart', () => {
  const of = (op: string, overload: string): FunctionSketch => ({
    name: 'F',
    inputs: ['x'],
    outputs: ['y'],
    nodes: [node(op, ['x'], ['y'])],
    overload,
  });
  const nodes = [call(node('F', ['x'], ['a']), 'one'), call(node('F', ['a'], ['y']), 'two')];
  const model = withFunctions(sketch({ nodes, inputs: { x: [1] }, outputs: ['y'] }), [
    of('Neg', 'one'),
    of('Abs', 'two'),
  ]);
  expect(resolveModel(model).model.graph.nodes.map(({ op }) => op)).toEqual(['Neg', 'Abs']);
});

describe('subgraphs inside functions', () => {
  /** Reads `x`, `t` and an attribute of the function from within both branches. */
  const choose: FunctionSketch = {
    name: 'Choose',
    inputs: ['x', 'condition'],
    outputs: ['y'],
    attributes: ['slope'],
    nodes: [
      node('Neg', ['x'], ['t']),
      node('If', ['condition'], ['chosen'], {
        then_branch: body(
          'then_branch',
          [node('LeakyRelu', ['t'], ['r'], { alpha: reference('alpha', 'slope', 1) })],
          ['r'],
        ),
        else_branch: body('else_branch', [node('Add', ['x', 't'], ['r'])], ['r']),
      }),
      node('Relu', ['chosen'], ['y']),
    ],
  };
  const modelOf = (condition: 'input' | 'initializer') =>
    withFunctions(
      sketch({
        nodes: [
          node('Cast', [condition === 'input' ? 'x' : 'number'], ['every'], { to: 9 }),
          node('Slice', ['every', 'zero', 'one'], ['condition']),
          call(node('Choose', ['x', 'condition'], ['a'], { slope: float(0.5) })),
          call(node('Choose', ['a', 'condition'], ['y'], { slope: float(0.25) })),
        ],
        inputs: { x: [4] },
        outputs: ['y'],
        constants: [ints('zero', [0]), ints('one', [1]), ints('number', [1])],
      }),
      [choose],
    );

  test.each(['input', 'initializer'] as const)('with a condition from an %s', async (condition) => {
    const model = modelOf(condition);
    const resolved = resolveModel(readModel(writeModel(model)));
    expect(resolved.specs.get('y')?.shape).toEqual([4]);
    for (const sign of [1, -1, 0]) {
      const feeds = feedsOf(resolved, (i) => sign * (i + 1));
      const expected = await run(writeModel(model), feeds);
      expect((await run(writeModel(resolved.model), feeds)).y!.data).toEqual(expected.y!.data);
    }
  });
});

function refusal(model: Model): TesseraError {
  try {
    resolveModel(model);
  } catch (error) {
    if (error instanceof TesseraError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** A chain of functions, each of which calls the next `width` times. */
function chain(length: number, width: number, last: FunctionSketch['nodes']): Model {
  const functions = Array.from({ length }, (_, i): FunctionSketch => {
    const next = Array.from({ length: width }, (_, k) => call(node(`F${i + 1}`, ['x'], [k === 0 ? 'y' : `y${k}`])));
    return { name: `F${i}`, inputs: ['x'], outputs: ['y'], nodes: i + 1 < length ? next : last };
  });
  return withFunctions(
    sketch({ nodes: [call(node('F0', ['x'], ['y']))], inputs: { x: [1] }, outputs: ['y'] }),
    functions,
  );
}
const relu = [node('Relu', ['x'], ['y'])];

describe('hostile functions are refused before they take memory', () => {
  test.each([
    ['that call themselves', chain(3, 1, [call(node('F1', ['x'], ['y']))]), /calls itself/],
    ['nested without end', chain(1000, 1, relu), /more than 64 deep/],
    ['that double at each level', chain(40, 2, relu), /more than 20000 nodes/],
    [
      'with endless names',
      chain(14, 2, [node('Relu', ['x'], ['q'.repeat(100_000)]), node('Relu', ['q'.repeat(100_000)], ['y'])]),
      /too large/,
    ],
    [
      'called with too many arguments',
      withFunctions(
        { ...chain(1, 1, relu), graph: { ...chain(1, 1, relu).graph, nodes: [call(node('F0', ['x', 'x'], ['y']))] } },
        [{ name: 'F0', inputs: ['x'], outputs: ['y'], nodes: relu }],
      ),
      /more arguments/,
    ],
    ['without a maker for their output', chain(1, 1, [node('Relu', ['x'], ['z'])]), /Nothing makes the output "y"/],
    ['with a cycle', chain(1, 1, [node('Add', ['x', 'y'], ['z']), node('Relu', ['z'], ['y'])]), /cycle/],
  ])('%s', (_, model, message) => {
    const { code, message: said } = refusal(readModel(writeModel(model)));
    expect([code, said]).toEqual(['TESSERA_MODEL_INVALID', expect.stringMatching(message)]);
  });

  test('a function twice', () => {
    const model = chain(1, 1, relu);
    expect(refusal({ ...model, unknown: Uint8Array.from([...model.unknown, ...model.unknown]) }).message).toContain(
      'twice',
    );
  });

  test('changed bytes give a model or a coded error, never a crash', () => {
    const bytes = writeModel(network);
    const at = fc.nat(bytes.length - 1);
    const near = fc.integer({ min: bytes.length - network.unknown.length, max: bytes.length - 1 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.oneof(near, at), fc.nat(255)), { minLength: 1, maxLength: 5 }), (changes) => {
        const damaged = bytes.slice();
        for (const [where, to] of changes) damaged[where] = to;
        try {
          resolveModel(readModel(damaged));
        } catch (error) {
          if (!(error instanceof TesseraError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('operator sets', () => {
  const one = (opsets: Readonly<Record<string, number>>, nodes = relu) =>
    withFunctions(sketch({ nodes: [call(node('F', ['x'], ['y']))], inputs: { x: [1] }, outputs: ['y'] }), [
      { name: 'F', inputs: ['x'], outputs: ['y'], nodes, opsets },
    ]);

  test('that only a function imports are imported by the model afterwards', () => {
    const gelu = [{ ...node('Gelu', ['x'], ['y']), domain: 'com.microsoft' }];
    expect(resolveModel(one({ '': 13, 'com.microsoft': 1 }, gelu)).model.opsets.get('com.microsoft')).toBe(1);
  });

  test('that differ leave the call to the runtime, since operators may mean something else', () => {
    const { model, specs } = resolveModel(one({ '': 11 }));
    expect([model.graph.nodes.map(({ op }) => op), specs.has('y')]).toEqual([['F'], false]);
    expect(model.unknown.length).toBeGreaterThan(0);
  });

  test('that differ for operators no function uses do not matter', () => {
    expect(resolveModel(one({ '': 13, 'ai.onnx.ml': 2 })).specs.has('y')).toBe(true);
  });
});
