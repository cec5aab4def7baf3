import type { Plan } from './plan.ts';
import { codecOf } from './quantised-tensors.ts';

/**
 * Codecs that stages of a plan need and that a node does not announce: those of its outputs and of its inputs. Central
 * does not send such a node these stages.
 */
export function missingCodecs(plan: Plan, stages: readonly number[], announced: readonly string[]): string[] {
  const made = new Map(plan.stages.flatMap((stage) => stage.outputs.map((tensor) => [tensor, codecOf(stage, tensor)])));
  const needed = new Set<string>();
  for (const stage of plan.stages) {
    if (!stages.includes(stage.id)) continue;
    for (const tensor of stage.outputs) needed.add(codecOf(stage, tensor).name);
    // Only clipped tensors are passed on in the codec in which they arrived (quantised-tensors.ts).
    for (const tensor of stage.inputs) if (made.get(tensor)?.name === 'clip') needed.add('clip');
  }
  return [...needed].filter((name) => !announced.includes(name));
}
