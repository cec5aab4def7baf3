import { nodeMacs } from '../../shared/onnx/cost.ts';
import { type CutPoint, cutPoints } from '../../shared/onnx/cuts.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { byteLength, type Dtype } from '../../shared/tensor/tensor.ts';

/** One operator of a network. */
export interface Layer {
  readonly name: string;
  readonly op: string;
  /** Tensors that it reads, without constants. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly macs: number;
}

/** A network as strategies see it: plain data, operators in topological order. */
export interface PlanningGraph {
  readonly layers: readonly Layer[];
  /** The network's inputs and the operators' outputs, if their shapes are known before a run. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: Dtype;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The cut points, in order: where the operators can be divided into consecutive stages. */
  readonly cuts: readonly CutPoint[];
}

/** The graph of a model as strategies see it. */
export function planningGraph(resolved: ResolvedModel): PlanningGraph {
  const { graph } = resolved.model;
  const { nodes, reads } = dagOf(resolved);
  return {
    layers: nodes.map((node, index) => ({
      name: node.name,
      op: node.op,
      inputs: reads[index]!.filter((tensor) => !graph.initializers.has(tensor)),
      outputs: node.outputs.filter((tensor) => tensor !== ''),
      macs: nodeMacs(resolved, node),
    })),
    tensors: [...resolved.specs].flatMap(([name, spec]) =>
      graph.initializers.has(name) ? [] : [{ name, ...spec, bytes: byteLength(spec) }],
    ),
    inputs: graph.inputs.map(({ name }) => name),
    outputs: graph.outputs.map(({ name }) => name),
    cuts: cutPoints(resolved),
  };
}

/** Multiply-adds of the whole network. */
export function totalMacs({ layers }: PlanningGraph): number {
  return layers.reduce((sum, { macs }) => sum + macs, 0);
}

/** Bytes of some tensors; those of unknown size count as 0. */
export function bytesOf({ tensors }: PlanningGraph, names: readonly string[]): number {
  return tensors.reduce((sum, { name, bytes }) => (names.includes(name) ? sum + bytes : sum), 0);
}
