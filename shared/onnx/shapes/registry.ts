import { elementCount, type TensorSpec } from '../../tensor/tensor.ts';
import type { GraphNode } from '../model.ts';
import { ELEMENTWISE } from './elementwise.ts';
import { GENERATION } from './generation.ts';
import { LAYOUT } from './layout.ts';
import { misfit, type Operator, type ShapeRule } from './operator.ts';
import { PRODUCTS } from './products.ts';
import { REDUCTIONS } from './reductions.ts';
import { RESIZING } from './resize.ts';
import { SELECTION } from './selection.ts';
import { WINDOWS } from './windows.ts';

// To add an operator: its shape rule in a file of this list, and a tiling rule in shared/tiling/rules/table.ts.
const RULES: ReadonlyMap<string, ShapeRule> = new Map(
  [ELEMENTWISE, GENERATION, LAYOUT, PRODUCTS, REDUCTIONS, RESIZING, SELECTION, WINDOWS].flatMap((family) =>
    Object.entries(family),
  ),
);

function ruleOf({ domain, op }: GraphNode): ShapeRule | undefined {
  return RULES.get(domain === '' ? op : `${domain}:${op}`);
}

/** Whether a shape rule exists for a node's operator. */
export function hasShapeRule(node: GraphNode): boolean {
  return ruleOf(node) !== undefined;
}

/**
 * Types of a node's outputs, in order; undefined where the operator has no shape rule, and where the type is unknown
 * before a run. Throws TESSERA_SHAPE where the inputs do not fit together.
 */
export function inferOutputs(op: Operator): readonly (TensorSpec | undefined)[] {
  const outputs = ruleOf(op.node)?.(op) ?? [];
  for (const spec of outputs) {
    if (spec === undefined) continue;
    const fits = spec.shape.every((size) => Number.isSafeInteger(size) && size >= 0);
    if (!fits || !Number.isSafeInteger(elementCount(spec.shape) * 8)) {
      throw misfit(op, `would make a tensor of the impossible shape [${spec.shape}]`);
    }
  }
  return outputs;
}
