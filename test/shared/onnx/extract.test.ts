import type { Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { singleCuts } from '../../../shared/onnx/cuts.ts';
import { extractSegment } from '../../../shared/onnx/extract.ts';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { node, sketch, weights } from './build.ts';
import { feedsOf, largestDifference, missing, NETWORKS, network, run, TOPOLOGIES } from './networks.ts';

/** x -> stem -> two branches -> sum -> y, and an early output beside it. */
const branching = resolveModel(
  sketch({
    nodes: [
      node('Conv', ['x', 'w1'], ['stem']),
      node('Relu', ['stem'], ['r']),
      node('Conv', ['r', 'w2'], ['left']),
      node('Mul', ['r', 'scale'], ['right']),
      node('Add', ['left', 'right'], ['sum']),
      node('Relu', ['sum'], ['last']),
      node('GlobalAveragePool', ['last'], ['y']),
    ],
    inputs: { x: [1, 2, 6, 6] },
    outputs: ['y'],
    constants: [weights('w1', [4, 2, 1, 1]), weights('w2', [4, 4, 1, 1]), weights('scale', [1])],
  }),
);

function refusal(inputs: readonly string[], outputs: readonly string[], model: ResolvedModel = branching): string {
  try {
    extractSegment(model, inputs, outputs);
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    expect([error.code, Boolean(error.hint)]).toEqual(['TESSERA_PLAN_INVALID', true]);
    return error.message;
  }
  throw new Error('nothing was thrown');
}

test('a segment has the nodes between, the weights they need, and nothing else', () => {
  const { model, specs } = extractSegment(branching, ['r'], ['sum']);
  expect(model.graph.nodes.map(({ outputs }) => outputs[0])).toEqual(['left', 'right', 'sum']);
  expect([...model.graph.initializers.keys()].sort()).toEqual(['scale', 'w2']);
  expect(model.graph.inputs).toEqual([{ name: 'r', dtype: 'float32', elementType: 1, shape: [1, 4, 6, 6] }]);
  expect(model.graph.outputs[0]?.shape).toEqual([1, 4, 6, 6]);
  expect([...specs.keys()].sort()).toEqual(['left', 'r', 'right', 'scale', 'sum', 'w2']);
});

test('a skip connection is an input of its own', () => {
  const { model } = extractSegment(branching, ['left', 'right'], ['y']);
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(['left', 'right']);
});

test('an impossible cut is refused with the name of the tensor, so that a wrong plan is found before it runs', () => {
  expect(refusal(['left'], ['sum'])).toContain('needs the model\'s input "x"');
  expect(refusal(['ghost'], ['sum'])).toContain('"ghost"');
  expect(refusal(['r'], ['ghost'])).toContain('"ghost"');
  expect(refusal(['r'], ['r'])).toContain('both input and output');
});

test('constants made by operators go with the segment that reads them', () => {
  const model = resolveModel(
    sketch({
      nodes: [
        node('Relu', ['x'], ['a']),
        node('Exp', ['w'], ['positive']),
        node('Mul', ['a', 'positive'], ['b']),
        node('Relu', ['b'], ['y']),
      ],
      inputs: { x: [1, 4] },
      outputs: ['y'],
      constants: [weights('w', [4])],
    }),
  );
  expect(extractSegment(model, ['a'], ['y']).model.graph.nodes.map(({ op }) => op)).toEqual(['Exp', 'Mul', 'Relu']);
  expect(singleCuts(model).map(({ tensor }) => tensor)).toEqual(['a', 'b']);
});

describe('cut points', () => {
  test('are the places with exactly one live tensor', () => {
    expect(singleCuts(branching)).toEqual([
      { tensor: 'stem', bytes: 576, nodeIndex: 0 },
      { tensor: 'r', bytes: 576, nodeIndex: 1 },
      { tensor: 'sum', bytes: 576, nodeIndex: 4 },
      { tensor: 'last', bytes: 576, nodeIndex: 5 },
    ]);
  });

  test('end where an early output would stay live', () => {
    const { graph } = branching.model;
    const early = {
      ...branching.model,
      graph: { ...graph, outputs: [...graph.outputs, { ...graph.outputs[0]!, name: 'left' }] },
    };
    expect(singleCuts(resolveModel(early)).map(({ tensor }) => tensor)).toEqual(['stem', 'r']);
  });

  test('do not exist beside a second input that is needed later', () => {
    const two = sketch({
      nodes: [node('Relu', ['x'], ['a']), node('Add', ['a', 'z'], ['b']), node('Relu', ['b'], ['y'])],
      inputs: { x: [1], z: [1] },
      outputs: ['y'],
    });
    expect(singleCuts(resolveModel(two)).map(({ tensor }) => tensor)).toEqual(['b']);
  });

  /** Counted in the published architectures: blocks end where branches meet. */
  const counts: Readonly<Record<string, readonly [least: number, through: string]>> = {
    'topologies/light_vgg19.onnx': [40, 'MaxPool'],
    'topologies/light_resnet50.onnx': [30, 'Sum'],
    'topologies/light_densenet121.onnx': [60, 'Concat'],
    'topologies/light_inception_v1.onnx': [15, 'Concat'],
    'mobilenet_v2.onnx': [45, 'Add'],
  };
  for (const [name, [least, through]] of Object.entries(counts)) {
    test.skipIf(missing(name))(`${name} can be cut in many places ${missing(name) || ''}`, () => {
      const resolved = network(name);
      const cuts = singleCuts(resolved);
      expect(cuts.length).toBeGreaterThanOrEqual(least);
      expect(cuts.some(({ nodeIndex }) => resolved.model.graph.nodes[nodeIndex]?.op === through)).toBe(true);
    });
  }
});

describe('the segments of a real network, run one after another, give the result of the whole', () => {
  for (const name of Object.keys(NETWORKS)) {
    test.skipIf(missing(name))(`${name} ${missing(name) || ''}`, async () => {
      const resolved = network(name);
      const outputs = resolved.model.graph.outputs.map((output) => output.name);
      const inputs = resolved.model.graph.inputs.map((input) => input.name);
      const feeds = feedsOf(resolved, (i) => Math.sin(i) * 2);
      const whole = await run(writeModel(resolved.model), feeds);
      const cuts = singleCuts(resolved);
      const chosen = [0.3, 0.7].map((share) => cuts[Math.floor(cuts.length * share)]!.tensor);
      let tensors: Record<string, Tensor> = feeds;
      const places = [inputs, ...new Set(chosen.map((tensor) => [tensor])), outputs];
      for (let i = 0; i + 1 < places.length; i++) {
        const piece = extractSegment(resolved, places[i]!, places[i + 1]!);
        tensors = await run(writeModel(piece.model), tensors);
      }
      for (const output of outputs) expect(largestDifference(tensors[output]!, whole[output]!)).toBeLessThan(1e-5);
    });
  }
});

test.skipIf(missing(TOPOLOGIES[0]!))('every cut of every topology gives two valid segments', () => {
  for (const name of TOPOLOGIES) {
    const resolved = network(name);
    const { inputs, outputs, nodes } = resolved.model.graph;
    for (const { tensor } of singleCuts(resolved)) {
      const head = extractSegment(
        resolved,
        inputs.map((input) => input.name),
        [tensor],
      );
      const tail = extractSegment(
        resolved,
        [tensor],
        outputs.map((output) => output.name),
      );
      const both = head.model.graph.nodes.length + tail.model.graph.nodes.length;
      expect(both).toBeGreaterThanOrEqual(nodes.length);
    }
  }
});
