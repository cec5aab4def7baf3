import { dagOf } from '../onnx/dag.ts';
import type { GraphNode, ResolvedModel } from '../onnx/model.ts';
import { capturedTensors } from '../onnx/order.ts';
import { isRandomOperator } from '../onnx/random-operator.ts';
import { numbersOf } from '../onnx/values.ts';
import { inferLayout } from './infer-layout.ts';
import type { Layout } from './layout.ts';
import { isObstacle, type NodeRule, type NodeView, type Obstacle } from './rules/rule.ts';
import { ruleFor } from './rules/table.ts';

/**
 * A node at which tiling ends. `reason` continues a sentence that begins with the operator: "GlobalAveragePool needs
 * the whole map".
 */
export interface Stop {
  /** Index in the graph's nodes. */
  readonly node: number;
  readonly name: string;
  readonly op: string;
  readonly reason: string;
  /** Whether the operator itself could be tiled but depends on another node that cannot. */
  readonly waits: boolean;
}

/** The part of a graph that can be tiled spatially, starting at some tensors. */
export interface Tileable {
  /** Indices of tileable nodes, in order. */
  readonly nodes: readonly number[];
  /** The nodes at which tiling ends, in order. */
  readonly stops: readonly Stop[];
  readonly rules: ReadonlyMap<number, NodeRule>;
  /** Layout of every tensor that tiles can read or make. */
  readonly layouts: ReadonlyMap<string, Layout>;
  /** Indices of nodes that depend on constants alone. */
  readonly constants: ReadonlySet<number>;
}

/** Most elements of a constant whose values are read; constants that define geometry are smaller. */
const MAXIMUM_VALUES = 4096;

/**
 * Follows the graph from `inputs` and finds every node whose output tiles can make from tiles of its inputs, for any
 * grid. `within` restricts the search to some nodes. Inputs of unknown shape are ignored.
 */
export function findTileable(
  resolved: ResolvedModel,
  inputs: readonly string[],
  within?: ReadonlySet<number>,
): Tileable {
  const { graph } = resolved.model;
  const layouts = new Map<string, Layout>();
  for (const input of inputs) {
    const layout = inferLayout(resolved, input);
    if (layout !== undefined) layouts.set(input, layout);
  }
  const fixed = new Set(graph.initializers.keys());
  const given = new Set(inputs);
  const rules = new Map<number, NodeRule>();
  const constants = new Set<number>();
  const stops: Stop[] = [];
  const dag = dagOf(resolved);
  graph.nodes.forEach((node, index) => {
    if (within !== undefined && !within.has(index)) return;
    if (node.outputs.some((output) => given.has(output))) return;
    const reads = dag.reads[index]!;
    if (reads.every((name) => fixed.has(name)) && !isRandomOperator(node, resolved.model.graph.initializers)) {
      constants.add(index);
      for (const output of node.outputs) fixed.add(output);
      return;
    }
    if (!reads.some((name) => layouts.has(name))) return;
    const missing = reads.find((name) => !fixed.has(name) && !layouts.has(name));
    const ruling =
      missing === undefined
        ? rulingOf(resolved, node, layouts, fixed, given)
        : { reason: `waits for "${missing}", which tiles cannot make` };
    if (isObstacle(ruling)) {
      const { reason } = ruling;
      stops.push({
        node: index,
        name: node.name || node.outputs[0] || '',
        op: node.op,
        reason,
        waits: missing !== undefined,
      });
      return;
    }
    rules.set(index, ruling);
    node.outputs.forEach((output, i) => {
      const layout = ruling.outputs[i];
      if (output !== '' && layout !== undefined) layouts.set(output, layout);
    });
  });
  return { nodes: [...rules.keys()], stops, rules, layouts, constants };
}

/** The rule for tiling a node whose inputs can all be tiled, or the reason why it has none. */
function rulingOf(
  resolved: ResolvedModel,
  node: GraphNode,
  layouts: ReadonlyMap<string, Layout>,
  fixed: ReadonlySet<string>,
  given: ReadonlySet<string>,
): NodeRule | Obstacle {
  if (capturedTensors(node).length > 0) return { reason: 'runs a graph of its own' };
  if (!resolved.specs.has(node.outputs[0] ?? '')) return { reason: 'has an output of unknown shape' };
  return ruleFor(viewOf(resolved, node, layouts, fixed, given));
}

/** A node as its rule sees it: `layouts` are those of the maps, `fixed` the constants, `given` the inputs of the stage. */
export function viewOf(
  resolved: ResolvedModel,
  node: GraphNode,
  layouts: ReadonlyMap<string, Layout>,
  fixed: ReadonlySet<string>,
  given: ReadonlySet<string>,
): NodeView {
  const { specs, model } = resolved;
  const dag = dagOf(resolved);
  return {
    node,
    opset: model.opsets.get('') ?? model.opsets.get('ai.onnx') ?? 1,
    map: (input) => (fixed.has(node.inputs[input] ?? '') ? undefined : layouts.get(node.inputs[input] ?? '')),
    given: (input) => given.has(node.inputs[input] ?? ''),
    maker: (input) => dag.nodes[dag.maker(node.inputs[input] ?? '') ?? -1],
    readers: (output) => dag.readers(node.outputs[output] ?? '').map((index) => dag.nodes[index]!),
    present: (input) => (node.inputs[input] ?? '') !== '',
    input: (index) => specs.get(node.inputs[index] ?? ''),
    made: (index) => specs.get(node.outputs[index] ?? '')?.dtype,
    output: (index) => specs.get(node.outputs[index] ?? '')?.shape ?? [],
    values(input) {
      const constant = model.graph.initializers.get(node.inputs[input] ?? '');
      if (constant === undefined || constant.dims.reduce((n, size) => n * size, 1) > MAXIMUM_VALUES) return undefined;
      return numbersOf(constant);
    },
  };
}
