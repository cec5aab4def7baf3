import { TesseraError } from '../../../shared/errors.ts';
import type { SchedulablePart, SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import { CENTRAL, type Placement } from '../../../shared/plan/plan.ts';
import { allocate, type Load, type NodeCapacity } from '../../scheduler/allocate.ts';
import type { PlanningNode, Problem } from '../strategy.ts';

/** The node of every part, by stage and t_id. */
export type Places = readonly (readonly string[])[];

/** How fast a node computes a stage's parts, as the scheduler sees it. */
export type Capacity = (stage: number, node: string) => NodeCapacity;

/** The nodes that a placement names. Central is in `*` and in a tier only where it is named. */
export function candidatesOf(on: Placement, nodes: readonly PlanningNode[]): readonly string[] {
  if ('nodes' in on && on.nodes !== '*') return on.nodes;
  const agents = nodes.filter(({ id, tier }) => id !== CENTRAL && (!('tier' in on) || tier === on.tier));
  return agents.map(({ id }) => id);
}

/** Cost and bytes of a part, as the scheduler weighs it. */
export function loadOf({ cost, bytes_in, bytes_out }: SchedulablePart): Load {
  return { cost: Math.max(1, cost), bytes: bytes_in + bytes_out };
}

/**
 * Where the runtime puts the parts of a frame (coordinator/routes.ts): at their pins; else where most bytes of their
 * input are made; else by the scheduler's allocation. Where frames go whole to one of several nodes there are several
 * answers, for frames that take turns.
 */
export function placesOf(
  { nodes }: Pick<Problem, 'nodes'>,
  schedulable: SchedulablePlan,
  capacity: Capacity,
): Places[] {
  const { plan } = schedulable;
  const turns = plan.stages.map(({ on }) => (on.mode === 'replicate' ? candidatesOf(on, nodes).length : 1));
  return Array.from({ length: Math.max(1, ...turns) }, (_, turn) => placesOfTurn(nodes, schedulable, capacity, turn));
}

function placesOfTurn(
  nodes: readonly PlanningNode[],
  { plan, stages }: SchedulablePlan,
  capacity: Capacity,
  turn: number,
): Places {
  const places: string[][] = [];
  const mostAt = (parts: readonly SchedulablePart[], may: readonly string[]): string | undefined => {
    const bytes = new Map<string, number>();
    for (const link of parts.flatMap(({ links }) => links)) {
      const node = places[link.stage]![link.t_id]!;
      if (may.includes(node)) bytes.set(node, (bytes.get(node) ?? 0) + link.bytes);
    }
    return [...bytes].reduce<[string, number] | undefined>(
      (best, entry) => (best !== undefined && best[1] >= entry[1] ? best : entry),
      undefined,
    )?.[0];
  };
  for (const { id, on } of plan.stages) {
    const { parts } = stages[id]!;
    const may = candidatesOf(on, nodes);
    if (may.length === 0) throw new TesseraError('TESSERA_PROFILE', `the profile has no node that may run stage ${id}`);
    if (on.parts !== undefined) places.push([...on.parts]);
    else if (may.length === 1) places.push(parts.map(() => may[0]!));
    else if (on.mode === 'replicate') {
      const node = mostAt(parts, may) ?? may[turn % may.length]!;
      places.push(parts.map(() => node));
    } else {
      const homes = parts.map((part) => mostAt([part], may));
      const left = parts.filter((_, index) => homes[index] === undefined);
      const chosen = allocate(
        left.map(loadOf),
        may.map((node) => capacity(id, node)),
      );
      places.push(homes.map((home) => home ?? may[chosen.shift()!]!));
    }
  }
  return places;
}
