import type { Attribute, GraphNode, Model } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { constantTensor } from '../../shared/onnx/values.ts';
import { graphAttribute } from '../../shared/onnx/write.ts';
import type { Dtype } from '../../shared/tensor/tensor.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import { SeededValues } from '../harness/seeded-values.ts';

/** The name of the network below, among the networks of plan-forms. */
export const IF_AND_LOOP = 'if_and_loop';

const [SIDE, CHANNELS] = [32, 8];

type Port = readonly [name: string, dtype: Dtype, shape: readonly number[]];

/** A graph that a node runs, as its attribute `name`. */
function body(name: string, nodes: readonly GraphNode[], inputs: readonly Port[], outputs: readonly Port[]): Attribute {
  const ports = (of: readonly Port[]) => of.map(([port, dtype, shape]) => valueInfo(port, { dtype, shape }));
  const sketch = { nodes, initializers: new Map(), inputs: ports(inputs), outputs: ports(outputs) };
  return graphAttribute(name, newModel({ producer: 'tessera-bench', name, ...sketch }).graph);
}

/**
 * x [1, 3, 32, 32] -> four convolutions, an If that the frame decides, a convolution, a Loop of three turns, and y
 * [1, 8, 32, 32]. The published networks have neither operator.
 */
export function ifAndLoop(): Model {
  const map: readonly number[] = [1, CHANNELS, SIDE, SIDE];
  const seeded = new SeededValues(1);
  const weights = Array.from({ length: 6 }, (_, i) => {
    const dims = [CHANNELS, i === 0 ? 3 : CHANNELS, 3, 3];
    const count = dims.reduce((all, size) => all * size, 1);
    return constantTensor(`w${i}`, 'float32', dims, [...seeded.normal(count, i, 1 / 8)]);
  });
  const constants = [
    ...weights,
    constantTensor('zero', 'float32', [], [0]),
    constantTensor('half', 'float32', [], [0.5]),
    constantTensor('turns', 'int64', [], [3]),
    constantTensor('shape', 'int64', [4], [...map]),
  ];
  const attributes: Record<string, Attribute> = {
    kernel_shape: { kind: 'ints', value: [3, 3] },
    pads: { kind: 'ints', value: [1, 1, 1, 1] },
  };
  const conv = (i: number, from: string): GraphNode => newNode('Conv', [from, `w${i}`], [`c${i}`], attributes);
  const then = body('then_branch', [newNode('Neg', ['c3'], ['then'])], [], [['then', 'float32', map]]);
  const otherwise = body('else_branch', [newNode('Abs', ['c3'], ['else'])], [], [['else', 'float32', map]]);
  const turn = body(
    'body',
    [newNode('Mul', ['value', 'half'], ['halved']), newNode('Identity', ['go'], ['on'])],
    [
      ['turn', 'int64', []],
      ['go', 'bool', []],
      ['value', 'float32', map],
    ],
    [
      ['on', 'bool', []],
      ['halved', 'float32', map],
    ],
  );
  return newModel({
    producer: 'tessera-bench',
    name: IF_AND_LOOP,
    nodes: [
      conv(0, 'x'),
      conv(1, 'c0'),
      conv(2, 'c1'),
      conv(3, 'c2'),
      newNode('ReduceMean', ['c3'], ['mean'], { keepdims: { kind: 'int', value: 0 } }),
      newNode('Greater', ['mean', 'zero'], ['is']),
      newNode('If', ['is'], ['chosen'], { then_branch: then, else_branch: otherwise }),
      // Shape inference stops at If and Loop.
      newNode('Reshape', ['chosen', 'shape'], ['c']),
      conv(4, 'c'),
      newNode('Loop', ['turns', '', 'c4'], ['looped'], { body: turn }),
      newNode('Reshape', ['looped', 'shape'], ['d']),
      conv(5, 'd'),
      newNode('Relu', ['c5'], ['y']),
    ],
    initializers: new Map(constants.map((each) => [each.name, each])),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: map })],
  });
}
