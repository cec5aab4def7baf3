import type { Attribute, GraphNode, Model } from '../../shared/onnx/model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { constantTensor } from '../../shared/onnx/values.ts';
import { graphAttribute } from '../../shared/onnx/write.ts';
import type { Dtype } from '../../shared/tensor/tensor.ts';
import { float, ints, node, sketch, weights } from '../shared/onnx/build.ts';
import { body, call, withFunctions } from '../shared/onnx/functions.ts';

/**
 * Networks that ONNX Runtime runs and that are unusual in one way each: Tessera may not refuse them, or compute other
 * outputs.
 */
export interface OddNetwork {
  readonly what: string;
  readonly model: Model;
  /** Some of its operators have rules for tiles, so that a grid may be requested. */
  readonly tiles: boolean;
  /** It has one input only after shape inference. */
  readonly needsShapes?: true;
}

const X = { x: [1, 3, 16, 20] };
const conv = (from: string, weight: string, to: string, strides = 1): GraphNode =>
  node('Conv', [from, weight], [to], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [strides, strides] });
const W1 = weights('w1', [8, 3, 3, 3]);
const W2 = weights('w2', [4, 8, 3, 3]);
const foreign = (made: GraphNode, domain = 'com.microsoft'): GraphNode => ({ ...made, domain });
const microsoft = (model: Model): Model => ({ ...model, opsets: new Map([...model.opsets, ['com.microsoft', 1]]) });

/** conv -> relu, the beginning of most. */
const head = [conv('x', 'w1', 'c'), node('Relu', ['c'], ['a'])];

/** A graph attribute whose inputs have types, as Loop and Scan require. */
function typedBody(
  name: string,
  nodes: readonly GraphNode[],
  inputs: readonly (readonly [string, Dtype, readonly (number | string)[]])[],
  outputs: readonly (readonly [string, Dtype, readonly (number | string)[]])[],
): Attribute {
  const port = ([tensor, dtype, shape]: (typeof inputs)[number]) => ({
    ...valueInfo(tensor, { dtype, shape: [] }),
    shape,
  });
  const inner = sketch({ nodes, inputs: {}, outputs: [] });
  return graphAttribute(name, { ...inner.graph, inputs: inputs.map(port), outputs: outputs.map(port) });
}

/** Outputs with the type that ONNX requires where they are constants. */
function typed(model: Model, types: Readonly<Record<string, Dtype>>): Model {
  const outputs = model.graph.outputs.map((output) => {
    const dtype = types[output.name];
    return dtype === undefined ? output : { ...valueInfo(output.name, { dtype, shape: [] }), shape: undefined };
  });
  return { ...model, graph: { ...model.graph, outputs } };
}

const constants: readonly OddNetwork[] = [
  {
    what: 'an output that is a weight',
    model: typed(
      sketch({ nodes: [...head, conv('a', 'w2', 'y', 2)], inputs: X, outputs: ['y', 'w1'], constants: [W1, W2] }),
      {
        w1: 'float32',
      },
    ),
    tiles: true,
  },
  {
    what: 'priors: an output made of constants alone, read by nothing',
    model: sketch({
      nodes: [
        node('Exp', ['anchors'], ['e']),
        node('Concat', ['e', 'anchors'], ['priors'], { axis: 0 }),
        ...head,
        conv('a', 'w2', 'y'),
      ],
      inputs: X,
      outputs: ['y', 'priors'],
      constants: [W1, W2, weights('anchors', [3, 4])],
    }),
    tiles: true,
  },
  {
    what: 'priors made of the shape of a map',
    model: sketch({
      nodes: [...head, node('Shape', ['a'], ['s']), node('Cast', ['s'], ['priors'], { to: 1 }), conv('a', 'w2', 'y')],
      inputs: X,
      outputs: ['priors', 'y'],
      constants: [W1, W2],
    }),
    tiles: true,
  },
  {
    what: 'an output of constants that the network reads too',
    model: sketch({
      nodes: [node('Exp', ['b'], ['bias']), ...head, node('Add', ['a', 'bias'], ['y'])],
      inputs: X,
      outputs: ['bias', 'y'],
      constants: [W1, weights('b', [1, 8, 1, 1])],
    }),
    tiles: true,
  },
  {
    what: 'nothing but a constant',
    model: typed(sketch({ nodes: [], inputs: X, outputs: ['w1'], constants: [W1] }), { w1: 'float32' }),
    tiles: false,
  },
];

const rims: readonly OddNetwork[] = [
  {
    what: 'its input as an output',
    model: sketch({ nodes: head, inputs: X, outputs: ['a', 'x'], constants: [W1] }),
    tiles: true,
  },
  { what: 'nothing but its input', model: sketch({ nodes: [], inputs: X, outputs: ['x'] }), tiles: false },
  {
    what: 'the same output twice',
    model: sketch({ nodes: head, inputs: X, outputs: ['a', 'a', 'c', 'a'], constants: [W1] }),
    tiles: true,
  },
  {
    what: 'outputs that are read on',
    model: sketch({ nodes: [...head, conv('a', 'w2', 'y')], inputs: X, outputs: ['c', 'a', 'y'], constants: [W1, W2] }),
    tiles: true,
  },
  {
    what: 'an input that nothing reads',
    model: sketch({ nodes: head, inputs: { training: [1, 2], ...X }, outputs: ['a'], constants: [W1] }),
    tiles: true,
  },
  {
    what: 'an input of which only the shape is read',
    needsShapes: true,
    model: sketch({
      nodes: [...head, node('Shape', ['like'], ['s']), node('Reshape', ['a', 's'], ['y'])],
      inputs: { ...X, like: [8, 16, 20] },
      outputs: ['y'],
      constants: [W1],
    }),
    tiles: true,
  },
  {
    what: 'a hundred outputs',
    model: sketch({
      nodes: [...head, ...Array.from({ length: 100 }, (_, i) => node('Mul', ['a', 'k'], [`m${i}`]))],
      inputs: X,
      outputs: Array.from({ length: 100 }, (_, i) => `m${i}`),
      constants: [W1, weights('k', [1])],
    }),
    tiles: true,
  },
  {
    what: 'an output of eight axes',
    model: sketch({
      nodes: [...head, node('Reshape', ['a', 'shape'], ['y'])],
      inputs: X,
      outputs: ['y'],
      constants: [W1, ints('shape', [1, 2, 2, 2, 4, 4, 5, 4])],
    }),
    tiles: true,
  },
  ...(['bool', 'uint8', 'int64', 'float64', 'float16'] as const).map((dtype) => ({
    what: `outputs of ${dtype}`,
    model: sketch({
      nodes: [
        ...head,
        node('Cast', ['a'], ['y'], { to: { bool: 9, uint8: 2, int64: 7, float64: 11, float16: 10 }[dtype] }),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1],
    }),
    tiles: true,
  })),
];

/** Names that some converters write, or that users might choose. */
export const ODD_NAMES: readonly string[] = [
  'StatefulPartitionedCall/block/Relu;StatefulPartitionedCall/block/BatchNorm;'.repeat(40),
  'n'.repeat(70_000),
  '中文/📷;äöü',
  ' ',
  '"quoted\' and, [bracketed]: {x}"',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'a\nb\tc\u001b[31m',
  'tessera_geometry',
  'tessera_frame',
  'central',
  '*',
  '+/#',
  '%s$HOME`id`',
  '0',
];

const named = ODD_NAMES.map((name) => ({
  what: `a map and an output called ${JSON.stringify(name.slice(0, 40))}`,
  model: sketch({
    nodes: [conv('x', 'w1', name), node('Relu', [name], ['a']), conv('a', 'w2', 'y')],
    inputs: X,
    outputs: [name, 'y'],
    constants: [W1, W2],
  }),
  tiles: true,
}));

const allNamed: OddNetwork = {
  what: 'odd names everywhere, within a body too',
  model: sketch({
    nodes: [
      conv(ODD_NAMES[1]!, ODD_NAMES[0]!, '__proto__'),
      node('ReduceMax', ['__proto__'], ['top'], { keepdims: 0 }),
      node('Greater', ['top', 'tessera_x'], ['is']),
      node('If', ['is'], ['y'], {
        then_branch: body('then_branch', [node('Relu', ['__proto__'], ['inner_a'])], ['inner_a']),
        else_branch: body('else_branch', [node('Neg', ['__proto__'], ['inner_b'])], ['inner_b']),
      }),
    ],
    inputs: { [ODD_NAMES[1]!]: [1, 3, 16, 20] },
    outputs: ['y', '__proto__'],
    constants: [{ ...W1, name: ODD_NAMES[0]! }, constantTensor('tessera_x', 'float32', [], [0])],
  }),
  tiles: false,
};

const foreignOperators: readonly OddNetwork[] = [
  {
    what: 'an operator of the runtime at its end',
    model: microsoft(
      sketch({ nodes: [...head, foreign(node('Gelu', ['a'], ['y']))], inputs: X, outputs: ['y'], constants: [W1] }),
    ),
    tiles: true,
  },
  {
    what: 'an operator of the runtime in its middle, and an output before it',
    model: microsoft(
      sketch({
        nodes: [...head, foreign(node('QuickGelu', ['a'], ['g'], { alpha: float(1.5) })), conv('g', 'w2', 'y')],
        inputs: X,
        outputs: ['y', 'a'],
        constants: [W1, W2],
      }),
    ),
    tiles: true,
  },
  {
    what: 'an operator of the runtime at its beginning',
    model: microsoft(
      sketch({
        nodes: [foreign(node('Gelu', ['x'], ['g'])), conv('g', 'w1', 'y')],
        inputs: X,
        outputs: ['y'],
        constants: [W1],
      }),
    ),
    tiles: false,
  },
  {
    what: 'a fused convolution of the runtime',
    model: microsoft(
      sketch({
        nodes: [
          foreign(
            node('FusedConv', ['x', 'w1'], ['c'], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], activation: 'Relu' }),
          ),
          conv('c', 'w2', 'y'),
        ],
        inputs: X,
        outputs: ['y'],
        constants: [W1, W2],
      }),
    ),
    tiles: false,
  },
  {
    what: 'ImageScaler, which ONNX has dropped',
    model: sketch({
      nodes: [
        node('ImageScaler', ['x'], ['s'], { scale: float(0.5), bias: { kind: 'floats', value: [0.1, 0.2, 0.3] } }),
        conv('s', 'w1', 'y'),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1],
      opset: 7,
    }),
    tiles: false,
  },
  {
    what: 'ScaledTanh and ParametricSoftplus, which ONNX has dropped',
    model: sketch({
      nodes: [
        ...head,
        node('ScaledTanh', ['a'], ['t'], { alpha: float(0.5), beta: float(2) }),
        node('ParametricSoftplus', ['t'], ['y'], { alpha: float(0.5), beta: float(2) }),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1],
      opset: 9,
    }),
    tiles: true,
  },
];

const scalar = (name: string, dtype: Dtype, value: number) => constantTensor(name, dtype, [], [value]);

const control: readonly OddNetwork[] = [
  {
    what: 'an If that a frame decides',
    model: sketch({
      nodes: [
        ...head,
        node('ReduceMean', ['a'], ['m'], { keepdims: 0 }),
        node('Greater', ['m', 'zero'], ['is']),
        node('If', ['is'], ['y'], {
          then_branch: body('then_branch', [node('Neg', ['a'], ['t'])], ['t']),
          else_branch: body('else_branch', [node('Abs', ['a'], ['e'])], ['e']),
        }),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1, scalar('zero', 'float32', 0)],
    }),
    tiles: true,
  },
  {
    what: 'a Loop',
    model: sketch({
      nodes: [
        ...head,
        node('Loop', ['three', '', 'a'], ['y'], {
          body: typedBody(
            'body',
            [node('Mul', ['v', 'half'], ['w']), node('Identity', ['go'], ['on'])],
            [
              ['i', 'int64', []],
              ['go', 'bool', []],
              ['v', 'float32', ['n', 'c', 'h', 'w']],
            ],
            [
              ['on', 'bool', []],
              ['w', 'float32', ['n', 'c', 'h', 'w']],
            ],
          ),
        }),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1, scalar('three', 'int64', 3), scalar('half', 'float32', 0.5)],
    }),
    tiles: true,
  },
  {
    what: 'a Scan over rows, and convolutions after it',
    model: sketch({
      nodes: [
        node('Scan', ['start', 'x'], ['last', 's'], {
          num_scan_inputs: 1,
          scan_input_axes: [2],
          scan_output_axes: [2],
          body: typedBody(
            'body',
            [node('Add', ['state', 'row'], ['sum']), node('Identity', ['sum'], ['out'])],
            [
              ['state', 'float32', [1, 3, 20]],
              ['row', 'float32', [1, 3, 20]],
            ],
            [
              ['sum', 'float32', [1, 3, 20]],
              ['out', 'float32', [1, 3, 20]],
            ],
          ),
        }),
        conv('s', 'w1', 'y'),
      ],
      inputs: X,
      outputs: ['y', 'last'],
      constants: [W1, constantTensor('start', 'float32', [1, 3, 20], new Array(60).fill(0))],
    }),
    tiles: false,
  },
  {
    what: 'a function of its own around an unknown operator',
    model: withFunctions(
      sketch({ nodes: [...head, call(node('Twice', ['a'], ['y']))], inputs: X, outputs: ['y'], constants: [W1] }),
      [{ name: 'Twice', inputs: ['p'], outputs: ['q'], nodes: [node('Add', ['p', 'p'], ['q'])] }],
    ),
    tiles: true,
  },
  {
    what: 'a function of another operator set than its own',
    model: withFunctions(
      sketch({
        nodes: [...head, call(node('Half', ['a'], ['y']))],
        inputs: X,
        outputs: ['y'],
        constants: [W1],
        opset: 17,
      }),
      [
        {
          name: 'Half',
          inputs: ['p'],
          outputs: ['q'],
          nodes: [node('ReduceMean', ['p'], ['m'], { axes: [1] }), node('Mul', ['m', 'p'], ['q'])],
          opsets: { '': 13 },
        },
      ],
    ),
    tiles: true,
  },
  {
    what: 'a sequence inside',
    model: sketch({
      nodes: [
        ...head,
        node('SplitToSequence', ['a'], ['list'], { axis: 1, keepdims: 1 }),
        node('SequenceAt', ['list', 'two'], ['y']),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1, scalar('two', 'int64', 2)],
    }),
    tiles: true,
  },
  {
    what: 'an optional inside',
    model: sketch({
      nodes: [...head, node('Optional', ['a'], ['maybe']), node('OptionalGetElement', ['maybe'], ['y'])],
      inputs: X,
      outputs: ['y'],
      constants: [W1],
      opset: 18,
    }),
    tiles: true,
  },
];

const dependent: readonly OddNetwork[] = [
  {
    what: 'NonMaxSuppression at its end',
    model: sketch({
      nodes: [
        conv('x', 'w1', 'c'),
        node('Sigmoid', ['c'], ['g']),
        node('Reshape', ['g', 'boxes_shape'], ['boxes']),
        node('Reshape', ['g', 'scores_shape'], ['scores']),
        node('NonMaxSuppression', ['boxes', 'scores', 'most', 'iou', 'least'], ['picked']),
      ],
      inputs: X,
      outputs: ['picked', 'boxes'],
      constants: [
        W1,
        ints('boxes_shape', [1, 640, 4]),
        ints('scores_shape', [1, 4, 640]),
        scalar('most', 'int64', 20),
        scalar('iou', 'float32', 0.5),
        scalar('least', 'float32', 0.6),
      ],
    }),
    tiles: true,
  },
  {
    what: 'NonZero of nothing: an output without elements',
    model: sketch({
      nodes: [...head, node('Sub', ['a', 'a'], ['z']), node('NonZero', ['z'], ['at']), conv('a', 'w2', 'y')],
      inputs: X,
      outputs: ['at', 'y'],
      constants: [W1, W2],
    }),
    tiles: true,
  },
  {
    what: 'a Compress whose result is worked on',
    model: sketch({
      nodes: [
        ...head,
        node('Flatten', ['a'], ['f'], { axis: 0 }),
        node('Reshape', ['f', 'minus'], ['v']),
        node('Greater', ['v', 'zero'], ['is']),
        node('Compress', ['v', 'is'], ['k']),
        node('Mul', ['k', 'k'], ['y']),
      ],
      inputs: X,
      outputs: ['y'],
      constants: [W1, ints('minus', [-1]), scalar('zero', 'float32', 1)],
    }),
    tiles: true,
  },
];

/** Chains of common operators at every operator set that ONNX Runtime reads. */
const versions: readonly OddNetwork[] = [
  6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
].map((opset) => ({
  what: `operator set ${opset}`,
  model: sketch({
    nodes: [
      conv('x', 'w1', 'c'),
      node('Relu', ['c'], ['a']),
      node('MaxPool', ['a'], ['p'], { kernel_shape: [2, 2], strides: [2, 2] }),
      conv('p', 'w2', 'd'),
      node('GlobalAveragePool', ['d'], ['g']),
      node('Flatten', ['g'], ['y']),
    ],
    inputs: X,
    outputs: ['y'],
    constants: [W1, W2],
    opset,
  }),
  // There are no tiling rules for operators before version 7.
  tiles: opset >= 7,
}));

/** All of them. */
export const ODD_NETWORKS: readonly OddNetwork[] = [
  ...constants,
  ...rims,
  ...named,
  allNamed,
  ...foreignOperators,
  ...control,
  ...dependent,
  ...versions,
];
