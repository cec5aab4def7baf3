import type { GraphNode, Model } from '../../shared/onnx/model.ts';
import { isRandomOperator } from '../../shared/onnx/random-operator.ts';
import type { Steadiness } from '../assembly/agree.ts';

/** Operators of the ONNX text whose outputs jump where an input passes a bound, or that look for a place or an order. */
const JUMPS =
  /^(Quantize|Dequantize|DynamicQuantize|QLinear|ConvInteger|MatMulInteger|Arg(Max|Min)|TopK|NonMaxSuppression|NonZero|Unique|Compress|Round|Floor|Ceil|Sign|Mod|Greater|Less|Equal|Not|And|Or|Xor|Where|IsNaN|IsInf|Hardmax|ThresholdedRelu|Shrink|RoiAlign|MaxRoiPool|MaxUnpool|BitShift|Bitwise|If|Loop|Scan)/;

/** Element types of ONNX that hold fractions: a cast to any other one rounds. */
const FLOATS = [1, 10, 11, 16];

function rounds({ op, attributes }: GraphNode): boolean {
  const to = attributes.get('to');
  return op === 'Cast' && !(to?.kind === 'int' && FLOATS.includes(to.value));
}

/** How the outputs of a network answer to the rounding of its nodes' processors. */
export function steadinessOf({ graph }: Pick<Model, 'graph'>): Steadiness {
  let jumps = false;
  for (const node of graph.nodes) {
    const { op, domain } = node;
    if (isRandomOperator(node, graph.initializers)) return 'random';
    jumps ||= JUMPS.test(op) || rounds(node) || (domain !== '' && domain !== 'ai.onnx');
  }
  return jumps ? 'jumps' : 'smooth';
}
