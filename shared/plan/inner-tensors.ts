import type { TensorNames } from '../onnx/tensor-names.ts';
import type { Plan } from './plan.ts';

/** Renames tensors in a plan from the names in the user's file to those used internally (onnx/tensor-names.ts). */
export function withInnerTensors(plan: Plan, names: TensorNames): Plan {
  const inner = (tensor: string): string => names.inner(tensor);
  const stages = plan.stages.map((stage) => ({
    ...stage,
    inputs: stage.inputs.map(inner),
    outputs: stage.outputs.map(inner),
    codec: Object.fromEntries(Object.entries(stage.codec).map(([tensor, codec]) => [inner(tensor), codec])),
    ...(stage.exit === undefined ? {} : { exit: { ...stage.exit, tensor: inner(stage.exit.tensor) } }),
  }));
  return { ...plan, stages };
}
