import type { GraphNode, Model } from './model.ts';
import { isRandomOperator } from './random-operator.ts';

/** The effect of a network on small differences, such as those between processors that round differently. */
export type RoundingEffect =
  /** They stay small. */
  | 'smooth'
  /** Some operators turn them into steps (quantisation, comparisons, the position of a maximum). */
  | 'jumps'
  /** The network draws random numbers, so no two runs are alike. */
  | 'random';

/** Operators of ONNX whose outputs jump where an input passes a bound, or that return a position or an order. */
const JUMPS =
  /^(Quantize|Dequantize|DynamicQuantize|QLinear|ConvInteger|MatMulInteger|Arg(Max|Min)|TopK|NonMaxSuppression|NonZero|Unique|Compress|Round|Floor|Ceil|Sign|Mod|Greater|Less|Equal|Not|And|Or|Xor|Where|IsNaN|IsInf|Hardmax|ThresholdedRelu|Shrink|RoiAlign|MaxRoiPool|MaxUnpool|BitShift|Bitwise|If|Loop|Scan)/;

/** Floating-point element types of ONNX: a cast to any other one rounds. */
const FLOATS = [1, 10, 11, 16];

function rounds({ op, attributes }: GraphNode): boolean {
  const to = attributes.get('to');
  return op === 'Cast' && !(to?.kind === 'int' && FLOATS.includes(to.value));
}

/** The effect of rounding on the outputs of a network. */
export function roundingEffect({ graph }: Pick<Model, 'graph'>): RoundingEffect {
  let jumps = false;
  for (const node of graph.nodes) {
    const { op, domain } = node;
    if (isRandomOperator(node, graph.initializers)) return 'random';
    jumps ||= JUMPS.test(op) || rounds(node) || (domain !== '' && domain !== 'ai.onnx');
  }
  return jumps ? 'jumps' : 'smooth';
}
