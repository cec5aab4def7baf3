import type { SchedulablePart, SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { quantisedTensors } from '../../../shared/plan/quantised-tensors.ts';
import type { PlanningGraph } from '../graph.ts';
import type { NoPlan, Problem } from '../strategy.ts';
import { layersBetween } from './stage-layers.ts';

/** A plan of whole stages as the coordinator would see it, without the network itself. Boxes of regions are empty. */
export function sketch(plan: Plan, graph: PlanningGraph): SchedulablePlan {
  const { layers, tensors, outputs: answers } = graph;
  const quantised = quantisedTensors(plan, answers);
  const sizes = new Map(tensors.map(({ name, bytes }) => [name, quantised.has(name) ? bytes / 4 : bytes]));
  const size = (names: readonly string[]): number => names.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
  const maker = new Map(plan.stages.flatMap(({ id, outputs }) => outputs.map((tensor) => [tensor, id])));
  const stages = plan.stages.map(({ id, inputs, outputs, split }) => {
    if (split.kind !== 'whole') throw new Error(`stage ${id} is split, so that only a compiled plan tells its regions`);
    const made = inputs.filter((tensor) => maker.has(tensor));
    const part: SchedulablePart = {
      t_id: 0,
      cost: layersBetween(graph, inputs, outputs).reduce((sum, index) => sum + layers[index]!.macs, 0),
      bytes_in: size(inputs),
      bytes_out: size(outputs),
      reads_frame: made.length < inputs.length,
      links: made.map((tensor) => ({ stage: maker.get(tensor)!, t_id: 0, tensor, box: [], bytes: size([tensor]) })),
      out: outputs.map((tensor) => ({ tensor, box: [], bytes: size([tensor]) })),
    };
    return { parts: [part] };
  });
  return { plan, stages, answers, frame_bytes: size([...sizes.keys()]) };
}

/** A plan as the coordinator would see it; why not where parts of its stages do not fit the network, or need its file. */
export function outlineOf({ graph, tiler }: Problem, plan: Plan): SchedulablePlan | NoPlan {
  return plan.stages.every(({ split }) => split.kind === 'whole') ? sketch(plan, graph) : tiler.outline(plan);
}
