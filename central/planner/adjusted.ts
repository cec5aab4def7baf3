import type { Plan } from '../../shared/plan/plan.ts';
import { layersBetween } from './cost/stage-layers.ts';
import { adjust, type Band } from './placement/heuristic.ts';
import { placementOf } from './placement/of-problem.ts';
import type { Labels, PlacementProblem } from './placement/placement.ts';
import { planOf } from './placement/stages.ts';
import { isNoPlan, type NoPlan, type Problem, type Strategy } from './strategy.ts';

/** What D3's local adjustment begins with: a plan, and the machines and links for which it was made. */
export interface Adjustable extends Pick<Problem, 'nodes' | 'links'> {
  readonly plan: Plan;
  readonly band: Band;
}

/**
 * D3's local adjustment (ICDCS 2021, section IV) of a plan whose stages are whole and at one machine each: only layers
 * whose time or transfer left the band are placed anew, with what depends on them.
 */
export function adjustmentOf({ plan, nodes, links, band }: Adjustable): Strategy {
  return {
    name: 'adjust',
    propose: (problem) => {
      const now = placementOf(problem, 'layers');
      const before = placementOf({ ...problem, nodes, links }, 'layers');
      if (isNoPlan(now)) return now;
      if (isNoPlan(before)) return before;
      if (before.machines.map(({ id }) => id).join() !== now.machines.map(({ id }) => id).join())
        return notAdjustable('other machines are there');
      const labels = labelsOf(plan, problem, now);
      if (labels === undefined) return notAdjustable('not every stage is whole and at one machine');
      const adjusted = adjust(before, now, labels, band);
      if (adjusted === undefined) return { kind: 'impossible', reason: 'a layer can run nowhere any more' };
      const found = planOf(problem, 'adjust', 'what changed was placed anew', now, adjusted);
      return isNoPlan(found) ? found : [found];
    },
  };
}

function notAdjustable(reason: string): NoPlan {
  return { kind: 'not-asked', reason };
}

/** The machine of each layer in a plan; undefined where a layer has none, or several. */
function labelsOf({ stages }: Plan, { graph }: Problem, { machines, vertices }: PlacementProblem): Labels | undefined {
  const machineOf = new Map<number, number>();
  for (const { inputs, outputs, split, on } of stages) {
    if (split.kind !== 'whole' || !('nodes' in on) || on.nodes === '*' || on.nodes.length !== 1) return undefined;
    const machine = machines.findIndex(({ id }) => id === on.nodes[0]);
    if (machine === -1) return undefined;
    for (const layer of layersBetween(graph, inputs, outputs)) machineOf.set(layer, machine);
  }
  const labels = vertices.map(({ layers }) => machineOf.get(layers[0]!));
  return labels.every((machine) => machine !== undefined) ? labels : undefined;
}
