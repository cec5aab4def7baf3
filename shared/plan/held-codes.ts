import type { ClipSpec, CodecSpec } from '../codec/spec.ts';
import type { Plan, Stage } from './plan.ts';

/** How an output of a stage travels. A tensor may have any name, also that of something that every object has. */
export function codecOf({ codec }: Stage, tensor: string): CodecSpec {
  return Object.hasOwn(codec, tensor) ? codec[tensor]! : { name: 'raw' };
}

/** The outputs of a stage that travel clipped: its model quantises them itself (tiling/code-ports.ts). */
export function clippedOutputs(stage: Stage): ReadonlyMap<string, ClipSpec> {
  const clipped = new Map<string, ClipSpec>();
  for (const tensor of stage.outputs) {
    const codec = codecOf(stage, tensor);
    if (codec.name === 'clip') clipped.set(tensor, codec);
  }
  return clipped;
}

/**
 * Tensors of a plan that are kept as codes, a byte each, between the stage that makes them and those that read them: a
 * quarter of the memory and of the copying, and what goes out to a further tile stage is as small as what came in.
 * Outputs of the model are not among them: somebody wants their values. Central and nodes find the same.
 */
export function heldCodes(plan: Plan, modelOutputs: readonly string[]): ReadonlyMap<string, ClipSpec> {
  const held = new Map<string, ClipSpec>();
  for (const stage of plan.stages)
    for (const [tensor, clip] of clippedOutputs(stage)) if (!modelOutputs.includes(tensor)) held.set(tensor, clip);
  return held;
}
