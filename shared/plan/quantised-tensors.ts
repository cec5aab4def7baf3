import type { ClipSpec, CodecSpec } from '../codec/spec.ts';
import type { Plan, Stage } from './plan.ts';

/** The codec of a stage's output. A tensor may have the name of a property that every object has. */
export function codecOf({ codec }: Stage, tensor: string): CodecSpec {
  return Object.hasOwn(codec, tensor) ? codec[tensor]! : { name: 'raw' };
}

/** The outputs of a stage that are sent clipped: the stage's model quantises them (tiling/quantised-io.ts). */
export function quantisedOutputs(stage: Stage): ReadonlyMap<string, ClipSpec> {
  const clipped = new Map<string, ClipSpec>();
  for (const tensor of stage.outputs) {
    const codec = codecOf(stage, tensor);
    if (codec.name === 'clip') clipped.set(tensor, codec);
  }
  return clipped;
}

/**
 * Tensors of a plan that are kept as codes, a byte each, from the stage that makes them to those that read them. They
 * take a quarter of the memory and of the copying, and are sent on in the size in which they arrived. The model's
 * outputs are kept as values, since the application reads these.
 */
export function quantisedTensors(plan: Plan, modelOutputs: readonly string[]): ReadonlyMap<string, ClipSpec> {
  const quantised = new Map<string, ClipSpec>();
  for (const stage of plan.stages)
    for (const [tensor, clip] of quantisedOutputs(stage))
      if (!modelOutputs.includes(tensor)) quantised.set(tensor, clip);
  return quantised;
}
