import { codecOf } from '../../shared/plan/held-codes.ts';
import type { Plan } from '../../shared/plan/plan.ts';

/**
 * Codecs that stages of a plan need of a node and that the node does not announce: those of what it makes, and those in
 * which its inputs come to it. Central does not ask such a node for these stages.
 */
export function missingCodecs(plan: Plan, stages: readonly number[], announced: readonly string[]): string[] {
  const made = new Map(plan.stages.flatMap((stage) => stage.outputs.map((tensor) => [tensor, codecOf(stage, tensor)])));
  const needed = new Set<string>();
  for (const stage of plan.stages) {
    if (!stages.includes(stage.id)) continue;
    for (const tensor of stage.outputs) needed.add(codecOf(stage, tensor).name);
    // Only clipped tensors are kept and sent on in their codec (plan/held-codes.ts).
    for (const tensor of stage.inputs) if (made.get(tensor)?.name === 'clip') needed.add('clip');
  }
  return [...needed].filter((name) => !announced.includes(name));
}
