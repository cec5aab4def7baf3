import type { TensorNames } from '../onnx/tensor-names.ts';
import type { Plan } from './plan.ts';

/** The names of a network's tensors in the user's file and in plans (onnx/tensor-names.ts). */
export interface PlanNames {
  readonly names: TensorNames;
  /** The network's own input, as plans name it. */
  readonly ownInput: string;
  /** What frames become: the same, or the picture from which the graph makes it. */
  readonly input: { readonly name: string };
}

/**
 * Renames tensors in a plan from the names in the user's file to those used internally. What reads the network's own
 * input reads the frame, which may be a picture before its preprocessing.
 */
export function withInnerTensors(plan: Plan, { names, ownInput, input }: PlanNames): Plan {
  const inner = (tensor: string): string => names.inner(tensor);
  const isMade = plan.stages.some(({ outputs }) => outputs.some((tensor) => inner(tensor) === ownInput));
  const read = (tensor: string): string => (inner(tensor) === ownInput && !isMade ? input.name : inner(tensor));
  const stages = plan.stages.map((stage) => ({
    ...stage,
    inputs: stage.inputs.map(read),
    outputs: stage.outputs.map(inner),
    codec: Object.fromEntries(Object.entries(stage.codec).map(([tensor, codec]) => [inner(tensor), codec])),
    ...(stage.exit === undefined ? {} : { exit: { ...stage.exit, tensor: inner(stage.exit.tensor) } }),
  }));
  return { ...plan, stages };
}
