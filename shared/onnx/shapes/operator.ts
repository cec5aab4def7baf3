import { TesseraError } from '../../errors.ts';
import type { TensorSpec } from '../../tensor/tensor.ts';
import { intAttribute } from '../attributes.ts';
import type { GraphNode } from '../model.ts';

/** A node as a shape rule sees it: all types are known, and the values of constants. */
export interface Operator {
  readonly node: GraphNode;
  /** Version of the node's operator set. */
  readonly opset: number;
  /** Types of the inputs; undefined only where an optional input is absent. */
  readonly inputs: readonly (TensorSpec | undefined)[];
  /** Values of an input that is a small constant; undefined where it is absent, large or made at run time. */
  constant(index: number): readonly number[] | undefined;
}

/**
 * Infers the types of a node's outputs, in order. Undefined (for one output or for all) where a type depends on values
 * that are unknown before a run. Throws TESSERA_SHAPE where the inputs do not fit together.
 */
export type ShapeRule = (op: Operator) => readonly (TensorSpec | undefined)[] | undefined;

/** Shape rules by operator name; operators outside the default domain as `domain:name`. */
export type ShapeRules = Readonly<Record<string, ShapeRule>>;

/** The label by which people find a node in their network. */
export function nodeLabel(node: GraphNode): string {
  return `${node.op} "${node.name || node.outputs[0] || ''}"`;
}

/** The error for inputs that do not fit together. */
export function misfit(op: Operator, what: string): TesseraError {
  return new TesseraError('TESSERA_SHAPE', `${nodeLabel(op.node)} ${what}.`, {
    hint: 'If the input shape was given by hand (--input-shape, --tensor, or input.shape in model.yaml), check it.',
  });
}

/** The type of a required input; throws TESSERA_MODEL_INVALID where the node lacks it. */
export function input(op: Operator, index: number): TensorSpec {
  const spec = op.inputs[index];
  if (spec === undefined) {
    throw new TesseraError('TESSERA_MODEL_INVALID', `${nodeLabel(op.node)} lacks its input number ${index + 1}.`, {
      hint: 'The file is damaged or was written by a faulty exporter: export it again.',
    });
  }
  return spec;
}

/** An axis counted from the front; throws TESSERA_SHAPE where the rank has no such axis. */
export function axisOf(op: Operator, axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!(Number.isInteger(positive) && positive >= 0 && positive < rank)) {
    throw misfit(op, `names axis ${axis} of a tensor of rank ${rank}`);
  }
  return positive;
}

/** The attribute `axis`, counted from the front. */
export function axisAttribute(op: Operator, fallback: number, rank: number): number {
  return axisOf(op, intAttribute(op.node, 'axis', fallback), rank);
}

/** The common shape of a broadcast (ONNX: multidirectional broadcasting, as NumPy). */
export function broadcast(op: Operator, shapes: readonly (readonly number[])[]): number[] {
  const rank = shapes.reduce((most, shape) => Math.max(most, shape.length), 0);
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    shape.forEach((size, i) => {
      const axis = rank - shape.length + i;
      if (result[axis] === 1) result[axis] = size;
      else if (size !== 1 && size !== result[axis]) {
        throw misfit(op, `cannot broadcast ${shapes.map((each) => `[${each}]`).join(' with ')}`);
      }
    });
  }
  return result;
}
