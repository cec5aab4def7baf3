import { nodeMacs } from '../../shared/onnx/cost.ts';
import { type CutPoint, cutPoints } from '../../shared/onnx/cuts.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { Initializer, ResolvedModel } from '../../shared/onnx/model.ts';
import { byteLength, type Dtype } from '../../shared/tensor/tensor.ts';

/** One operator of a network. */
export interface Layer {
  readonly name: string;
  readonly op: string;
  /** Tensors that it reads, without constants. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly macs: number;
  /** Bytes of the weights that it reads; absent where they are not known. */
  readonly weight_bytes?: number;
}

/** Consecutive layers between two cut points. */
export interface Block {
  /** For people: the tensors that cross behind it. */
  readonly name: string;
  /** Its layers, as indices; both ends included. */
  readonly first: number;
  readonly last: number;
  /** Tensors that cross behind it; behind the last block the network's outputs. */
  readonly cut: readonly string[];
  /** Bytes of these tensors. */
  readonly bytes: number;
}

/** A network as strategies see it: plain data, operators in topological order. */
export interface PlanningGraph {
  readonly layers: readonly Layer[];
  /** The network's inputs and the operators' outputs, if their shapes are known before a run. */
  readonly tensors: readonly {
    readonly name: string;
    readonly bytes: number;
    /** Absent in profiles. */
    readonly dtype?: Dtype;
    readonly shape?: readonly number[];
  }[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** All layers, divided at every cut point. */
  readonly blocks: readonly Block[];
}

/** The graph of a model as strategies see it. */
export function planningGraph(resolved: ResolvedModel): PlanningGraph {
  const { graph } = resolved.model;
  const { nodes, reads } = dagOf(resolved);
  const tensors = [...resolved.specs].flatMap(([name, spec]) =>
    graph.initializers.has(name) ? [] : [{ name, ...spec, bytes: byteLength(spec) }],
  );
  const outputs = graph.outputs.map(({ name }) => name);
  return {
    layers: nodes.map((node, index) => ({
      name: node.name,
      op: node.op,
      inputs: reads[index]!.filter((tensor) => !graph.initializers.has(tensor)),
      outputs: node.outputs.filter((tensor) => tensor !== ''),
      macs: nodeMacs(resolved, node),
      weight_bytes: reads[index]!.reduce((sum, tensor) => sum + storedBytes(graph.initializers.get(tensor)), 0),
    })),
    tensors,
    inputs: graph.inputs.map(({ name }) => name),
    outputs,
    blocks: blocksOf(cutPoints(resolved), nodes.length, outputs, tensors),
  };
}

function storedBytes(weight: Initializer | undefined): number {
  if (weight === undefined) return 0;
  return weight.data.kind === 'inline' ? weight.data.bytes.byteLength : weight.data.length;
}

/** The layers between cut points. */
function blocksOf(
  cuts: readonly CutPoint[],
  layers: number,
  outputs: readonly string[],
  tensors: PlanningGraph['tensors'],
): Block[] {
  const bytes = new Map(tensors.map((tensor) => [tensor.name, tensor.bytes]));
  const inner = cuts.filter(({ after }) => after < layers - 1);
  return [...inner, { after: layers - 1, tensors: outputs }].map(({ after, tensors: cut }, index) => ({
    name: cut.join(' + '),
    first: (inner[index - 1]?.after ?? -1) + 1,
    last: after,
    cut,
    bytes: cut.reduce((sum, tensor) => sum + (bytes.get(tensor) ?? 0), 0),
  }));
}

/** Multiply-adds of the whole network. */
export function totalMacs({ layers }: PlanningGraph): number {
  return layers.reduce((sum, { macs }) => sum + macs, 0);
}

/** Bytes of some tensors; those of unknown size count as 0. */
export function bytesOf({ tensors }: PlanningGraph, names: readonly string[]): number {
  return tensors.reduce((sum, { name, bytes }) => (names.includes(name) ? sum + bytes : sum), 0);
}
