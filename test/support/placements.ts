import type fc from 'fast-check';
import { type Grain, placementOf } from '../../central/planner/placement/of-problem.ts';
import type { PlacementProblem } from '../../central/planner/placement/placement.ts';
import { problemOfProfile } from '../../central/planner/profile/problem.ts';
import { isNoPlan, type Problem } from '../../central/planner/strategy.ts';
import { type RandomOptions, randomProfiles } from './random-profiles.ts';

/** The placement problem of a problem that has one. */
export function placed(problem: Problem, grain: Grain = 'layers'): PlacementProblem {
  const placement = placementOf(problem, grain);
  if (isNoPlan(placement)) throw new Error(placement.reason);
  return placement;
}

/** Random placement problems. */
export function randomPlacements(options: RandomOptions, grain: Grain = 'layers'): fc.Arbitrary<PlacementProblem> {
  return randomProfiles(options).map((profile) => placed(problemOfProfile(profile), grain));
}

/** What hand-worked placement problems are made of. */
export interface Drawing {
  /** Tiers of the machines; the first is the source. */
  readonly ranks: readonly number[];
  /** For each vertex its time on each machine, and what it reads: -1 means the frame, of 1 byte. */
  readonly vertices: readonly {
    readonly ms: readonly number[];
    readonly reads: readonly number[];
    readonly bytes: number;
  }[];
  /** The time of a byte from one machine to another; default: the distance of their numbers. */
  readonly way?: (from: number, to: number) => number;
  readonly sink?: number;
}

/** A placement problem by hand: each vertex makes one tensor; transfers take time in proportion to bytes. */
export function drawn({ ranks, vertices, way = (from, to) => Math.abs(to - from), sink }: Drawing): PlacementProblem {
  const readersOf = (maker: number): number[] => vertices.flatMap(({ reads }, v) => (reads.includes(maker) ? [v] : []));
  const all = [-1, ...vertices.keys()].filter((maker) => maker >= 0 || readersOf(-1).length > 0);
  const tensors = all.map((maker) => {
    const readers = readersOf(maker);
    return { name: `t${maker}`, bytes: vertices[maker]?.bytes ?? 1, maker, readers, isAnswer: readers.length === 0 };
  });
  return {
    machines: ranks.map((rank, m) => ({ id: `m${m}`, rank })),
    vertices: vertices.map(({ ms, reads }, v) => ({
      layers: [v],
      ms,
      inputs: reads.map((maker) => all.indexOf(maker)),
      outputs: [all.indexOf(v)],
    })),
    tensors,
    source: 0,
    sink,
    hop: (from, to, bytes) => (from === to ? 0 : bytes * way(from, to)),
  };
}
