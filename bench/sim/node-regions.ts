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

/** The regions that one simulated node has made or was sent. */
export class NodeRegions {
  readonly #regions = new Map<string, NodeRegion>();
  readonly #ended = new Set<string>();

  get size(): number {
    return this.#regions.size;
  }

  /** Keeps a region, unless its frame has ended. */
  add(name: RegionName, plan: string, liars: readonly string[]): void {
    if (!this.#ended.has(name.i_id) && !this.#regions.has(nameOf(name)))
      this.#regions.set(nameOf(name), { i_id: name.i_id, plan, liars });
  }

  /** The region, or the larger one that it lies in. */
  find(i_id: string, { stage, t_id, tensor, box }: Omit<PartLink, 'bytes'>): NodeRegion | undefined {
    const name = { i_id, stage, t_id, tensor };
    return this.#regions.get(nameOf({ ...name, box: WHOLE })) ?? this.#regions.get(nameOf({ ...name, box }));
  }

  endFrame(i_id: string): void {
    this.#ended.add(i_id);
    this.#drop((region) => region.i_id === i_id);
  }

  dropPlan(plan: string): void {
    this.#drop((region) => region.plan === plan);
  }

  #drop(isGone: (region: NodeRegion) => boolean): void {
    for (const [name, region] of this.#regions) if (isGone(region)) this.#regions.delete(name);
  }
}
