import { byteLength, type TensorSpec } from '../tensor/tensor.ts';
import { modelTotals, nodeMacs, nodeParams, type Totals } from './cost.ts';
import type { ResolvedModel } from './model.ts';

/** An input or output of a model; `spec` is undefined where its shape is unknown before a run. */
export interface DescribedTensor {
  readonly name: string;
  readonly spec: TensorSpec | undefined;
}

/** One operator of a model, as `tessera model inspect` lists it. */
export interface DescribedLayer {
  readonly name: string;
  readonly op: string;
  /** Name of the first output; plans and cuts name the layer by it. */
  readonly output: string;
  /** Shape of the first output; undefined where it is unknown before a run. */
  readonly shape: readonly number[] | undefined;
  /** Bytes of the first output; 0 where its shape is not known. */
  readonly bytes: number;
  readonly macs: number;
  readonly params: number;
}

/** A model as plain data: inputs and outputs, layers in order, cost. */
export interface ModelDescription {
  readonly producer: string;
  readonly irVersion: number;
  /** Version of ONNX's default operator set. */
  readonly opset: number;
  readonly inputs: readonly DescribedTensor[];
  readonly outputs: readonly DescribedTensor[];
  readonly layers: readonly DescribedLayer[];
  readonly totals: Totals;
}

/** Describes a resolved model for people and for JSON. */
export function describeModel(resolved: ResolvedModel): ModelDescription {
  const { model, specs } = resolved;
  const described = ({ name }: { readonly name: string }) => ({ name, spec: specs.get(name) });
  return {
    producer: model.producer,
    irVersion: model.irVersion,
    opset: model.opsets.get('') ?? 1,
    inputs: model.graph.inputs.map(described),
    outputs: model.graph.outputs.map(described),
    layers: model.graph.nodes.map((node) => {
      const output = node.outputs[0] ?? '';
      const spec = specs.get(output);
      return {
        name: node.name || output,
        op: node.op,
        output,
        shape: spec?.shape,
        bytes: spec === undefined ? 0 : byteLength(spec),
        macs: nodeMacs(resolved, node),
        params: nodeParams(resolved, node),
      };
    }),
    totals: modelTotals(resolved),
  };
}
