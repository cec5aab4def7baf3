import type { PartLink } from '../../shared/plan/compiled-plan.ts';
import type { Box } from '../../shared/tensor/tensor.ts';
import { WHOLE } from './plans.ts';

/** A region that a simulated node has. */
interface NodeRegion {
  readonly i_id: string;
  readonly plan: string;
  /** Nodes because of whose wrong results it is wrong. */
  readonly liars: readonly string[];
}

/** Which part made a region, and where it lies. */
export interface RegionName {
  readonly i_id: string;
  readonly stage: number;
  readonly t_id: number;
  readonly tensor: string;
  readonly box: Box;
}

function nameOf({ i_id, stage, t_id, tensor, box }: RegionName): string {
  return [i_id, stage, t_id, tensor, ...box.flat()].join(' ');
}

/** The regions that one simulated node has made or was sent, by sender, as those of two makers may differ. */
export class NodeRegions {
  readonly #own: string;
  readonly #senders = new Map<string, Map<string, NodeRegion>>();
  readonly #ended = new Set<string>();

  constructor(own: string) {
    this.#own = own;
  }

  get size(): number {
    return [...this.#senders.values()].reduce((sum, regions) => sum + regions.size, 0);
  }

  /** Keeps a region of a node, unless its frame has ended. */
  add(name: RegionName, from: string, plan: string, liars: readonly string[]): void {
    const regions = this.#senders.get(from) ?? new Map<string, NodeRegion>();
    this.#senders.set(from, regions);
    if (!this.#ended.has(name.i_id) && !regions.has(nameOf(name)))
      regions.set(nameOf(name), { i_id: name.i_id, plan, liars });
  }

  /** The region, or the larger one that it lies in, of one sender or made here. */
  find(i_id: string, { stage, t_id, tensor, box }: Omit<PartLink, 'bytes'>, from?: string): NodeRegion | undefined {
    const name = { i_id, stage, t_id, tensor };
    const regions = this.#senders.get(from ?? this.#own);
    return regions?.get(nameOf({ ...name, box: WHOLE })) ?? regions?.get(nameOf({ ...name, box }));
  }

  endFrame(i_id: string): void {
    this.#ended.add(i_id);
    this.#drop((region) => region.i_id === i_id);
  }

  dropPlan(plan: string): void {
    this.#drop((region) => region.plan === plan);
  }

  #drop(isGone: (region: NodeRegion) => boolean): void {
    for (const regions of this.#senders.values())
      for (const [name, region] of regions) if (isGone(region)) regions.delete(name);
  }
}
