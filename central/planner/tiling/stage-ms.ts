import type { ShareBoxes } from '../../../shared/tiling/tiles-between.ts';
import type { Fleet } from './fleet.ts';

/** Who has what of the tensors at a place. */
export interface Held {
  /** The site of each part. */
  readonly sites: readonly number[];
  /** What the parts have of each tensor. */
  readonly made: readonly ShareBoxes[];
}

/** The parts of a stage. */
export interface Work {
  readonly sites: readonly number[];
  /** The time that each part takes. */
  readonly ms: readonly number[];
  /** What the parts need of each tensor. */
  readonly needs: readonly ShareBoxes[];
}

/** What two boxes have in common, as a share of the tensor. */
function overlap(a: ShareBoxes, i: number, b: ShareBoxes, j: number): number {
  let share = 1;
  for (let axis = 0; axis < 6; axis += 2) {
    const common = Math.min(a[i + axis + 1]!, b[j + axis + 1]!) - Math.max(a[i + axis]!, b[j + axis]!);
    if (common <= 0) return 0;
    share *= common;
  }
  return share;
}

/**
 * The time of a stage from the moment at which everything that it reads is made: each machine waits for what it lacks, and
 * then computes its parts. Everything that is sent over a link arrives when all of it has. Infinite without links.
 * `bytes`: of each tensor.
 */
export function stageMs({ hops, links, sites }: Fleet, bytes: readonly number[], held: Held, work: Work): number {
  const load = new Float64Array(links.length);
  const isSent = new Uint8Array(held.sites.length * work.sites.length);
  for (let part = 0; part < work.sites.length; part++)
    for (let holder = 0; holder < held.sites.length; holder++) {
      const [from, to] = [held.sites[holder]!, work.sites[part]!];
      if (from === to) continue;
      let sum = 0;
      for (let tensor = 0; tensor < bytes.length; tensor++)
        sum += bytes[tensor]! * overlap(held.made[tensor]!, 6 * holder, work.needs[tensor]!, 6 * part);
      if (sum === 0) continue;
      isSent[part * held.sites.length + holder] = 1;
      for (const link of hops[from]![to]!.links) load[link]! += sum;
    }
  const ready = new Float64Array(sites);
  for (let at = 0; at < isSent.length; at++) {
    if (isSent[at] === 0) continue;
    const to = work.sites[Math.floor(at / held.sites.length)]!;
    const { links: legs, fixed_ms, order_ms } = hops[held.sites[at % held.sites.length]!]![to]!;
    let ms = fixed_ms;
    for (const leg of legs) ms += load[leg]! * links[leg]!;
    ready[to] = Math.max(ready[to]!, ms, order_ms);
  }
  let end = 0;
  work.sites.forEach((site, part) => {
    ready[site]! += work.ms[part]!;
    end = Math.max(end, ready[site]!);
  });
  return end;
}
