import { TesseraError } from '../errors.ts';
import { dagOf } from '../onnx/dag.ts';
import type { GraphNode, ResolvedModel } from '../onnx/model.ts';
import { isFolded, type Layout } from './layout.ts';
import type { NodeRule } from './rules/rule.ts';
import { findTileable } from './tileable.ts';

/** A node of a segment; without a rule it depends on constants alone. */
export interface SegmentNode {
  readonly node: GraphNode;
  readonly rule: NodeRule | undefined;
}

/** A tileable piece of a network: what `extractSegment` cuts out, with the rule of each node and the layout of each map. */
export interface Segment {
  readonly resolved: ResolvedModel;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly SegmentNode[];
  readonly layouts: ReadonlyMap<string, Layout>;
  /** The output with the fewest cells (ties: the first), whose cells the grid counts. */
  readonly reference: string;
}

/** Cells of a map. */
export function area(layout: Layout): number {
  return layout.rows * layout.cols;
}

/**
 * The piece of a network that makes `outputs` from `inputs`, ready to be tiled. Throws TESSERA_PLAN_INVALID, with the
 * operator and the reason, where a node between them cannot be tiled.
 */
export function tileSegment(resolved: ResolvedModel, inputs: readonly string[], outputs: readonly string[]): Segment {
  const chosen = dagOf(resolved).between(inputs, outputs);
  const reach = findTileable(resolved, inputs, chosen);
  const stop = reach.stops.find((candidate) => !candidate.waits) ?? reach.stops[0];
  if (stop !== undefined)
    throw new TesseraError('TESSERA_PLAN_INVALID', `tiles cannot pass ${stop.op} "${stop.name}": it ${stop.reason}`, {
      hint: 'Cut the stage before that operator; `tessera model inspect` shows how far tiles reach.',
    });
  const nodes: SegmentNode[] = [];
  resolved.model.graph.nodes.forEach((node, index) => {
    if (chosen.has(index)) nodes.push({ node, rule: reach.rules.get(index) });
  });
  let reference: string | undefined;
  for (const output of outputs) {
    const layout = reach.layouts.get(output);
    if (inputs.includes(output) || layout === undefined || isFolded(layout))
      throw new TesseraError('TESSERA_PLAN_INVALID', `"${output}" cannot be the output of a tile stage`, {
        hint: 'Take a feature map with rows and columns on axes of their own.',
      });
    if (reference === undefined || area(layout) < area(reach.layouts.get(reference)!)) reference = output;
  }
  if (reference === undefined)
    throw new TesseraError('TESSERA_PLAN_INVALID', 'the stage has no outputs', { hint: 'Name at least one tensor.' });
  return { resolved, inputs, outputs, nodes, layouts: reach.layouts, reference };
}
