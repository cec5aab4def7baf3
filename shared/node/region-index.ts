import type { RegionPlace } from '../protocol/messages/region.ts';
import { contains, sameBox } from '../tensor/tensor.ts';
import { regionsText } from './region-text.ts';
import type { Refusal } from './work-queue.ts';

/**
 * What a node knows of the regions that its executor keeps, and of the parts that read or make them. It holds no bytes;
 * times are those of one steady clock, ms.
 *
 *   region: awaited (a begun part reads it) --received, or made by a part here--> held
 *           received before its part has begun, or opened here --> held
 *           held --frame freed, plan released, epoch over, unused for long, executor lost it--> gone
 *   part:   begun --its last region is here--> ready --ended--> gone
 *           begun --nobody here makes a held region any more--> stuck --ended--> gone
 *
 * 1. Bytes that are held, and those that begun parts still add, never exceed the limit together.
 * 2. Room for what a begun part reads and makes is reserved, so that it is not refused when it comes.
 * 3. Room is made only by dropping frames of which no part has begun and nothing was opened here, the oldest first.
 * 4. A region counts for a part only if the part names its sender; what was made or opened here, if it names none.
 * 5. Nothing of a frame is accepted after it was freed.
 */

/** A region and the bytes that it takes. */
export interface SizedPlace extends RegionPlace {
  readonly bytes: number;
}

/** A region that a part reads. `from`: the node that sends it; absent: it was opened here, or a part here makes it. */
export interface Need extends SizedPlace {
  readonly from?: string;
}

/** The regions of a part, besides those that came along with its work. */
export interface PartRegions {
  readonly iId: string;
  readonly plan: string;
  readonly needs: readonly Need[];
  readonly makes: readonly SizedPlace[];
}

/** What a change meant for begun parts: those that can run now, and those whose regions will not come. */
export interface Settled<P> {
  readonly ready: P[];
  readonly stuck: { readonly part: P; readonly missing: readonly Need[] }[];
}

interface Held extends SizedPlace {
  /** The sender; undefined: made or opened here. */
  readonly from: string | undefined;
}

interface Begun<P> {
  readonly part: P;
  /** Needs that are not held yet. */
  unmet: readonly Need[];
  waits: boolean;
}

interface Frame<P> {
  readonly plan: string;
  usedMs: number;
  hasWork: boolean;
  held: Held[];
  readonly begun: Map<P, Begun<P>>;
}

/** What a kept region costs besides its bytes, so that a flood of small ones meets the limit too. */
const OVERHEAD_BYTES = 128;
/** A frame that no part has used for so long is dropped: central has lost it, or frees it too late. */
export const UNUSED_MS = 120_000;
/** How many freed frames are remembered. */
const FREED = 1024;

/** The regions of a node; see above. */
export class RegionIndex<P extends PartRegions = PartRegions> {
  readonly #limit: number;
  readonly #drop: (iIds: readonly string[]) => void;
  /** By i_id, the oldest first. */
  readonly #frames = new Map<string, Frame<P>>();
  readonly #freed = new Set<string>();
  #heldBytes = 0;
  #reservedBytes = 0;

  /** `drop` tells the executor which frames it need not keep any longer. */
  constructor(limitBytes: number, drop: (iIds: readonly string[]) => void) {
    this.#limit = limitBytes;
    this.#drop = drop;
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#heldBytes;
  }

  /** Bytes that begun parts will add. */
  get reserved(): number {
    return this.#reservedBytes;
  }

  /** Whether anything is held or awaited. */
  get isEmpty(): boolean {
    return this.#frames.size === 0;
  }

  /** Whether the frame was freed. */
  isFreed(iId: string): boolean {
    return this.#freed.has(iId);
  }

  /** Begins a part: it is ready (undefined), has to wait, or cannot run here. */
  begin(part: P, nowMs: number): 'waits' | Refusal | undefined {
    if (part.needs.length === 0 && part.makes.length === 0) return undefined;
    const frame = this.#named(part.iId, part.plan, nowMs);
    const unmet = part.needs.filter((need) => !isHeld(frame, need));
    const missing = unmet.filter((need) => !isComing(frame, need));
    if (missing.length > 0) return { code: 'missing-input', text: `${regionsText(missing)} is not here`, missing };
    const bytes = reservation(part, unmet);
    if (!this.#makeRoom(part.iId, bytes))
      return {
        code: 'out-of-memory',
        text: `${this.#heldBytes + this.#reservedBytes} bytes of regions are kept or awaited, ${bytes} more exceed ${this.#limit}`,
      };
    this.#frames.set(part.iId, frame);
    frame.hasWork = true;
    frame.usedMs = nowMs;
    const waits = unmet.length > 0;
    frame.begun.set(part, { part, unmet, waits });
    this.#reservedBytes += bytes;
    return waits ? 'waits' : undefined;
  }

  /**
   * A part has ended; `isMade`: the executor keeps what it makes. `lost`: regions that turned out not to be here. What the
   * executor kept for a frame that is gone is dropped.
   */
  end(part: P, isMade: boolean, nowMs: number, lost: readonly RegionPlace[] = []): Settled<P> {
    const frame = this.#frames.get(part.iId);
    const begun = frame?.begun.get(part);
    if (frame === undefined || begun === undefined) {
      if (isMade && part.makes.length > 0 && frame === undefined) this.#drop([part.iId]);
      return { ready: [], stuck: [] };
    }
    frame.usedMs = nowMs;
    frame.begun.delete(part);
    this.#reservedBytes -= reservation(part, begun.unmet);
    if (isMade) for (const made of part.makes) this.#hold(frame, { ...made, from: undefined });
    for (const place of lost) {
      const gone = frame.held.filter((held) => held.tensor === place.tensor && contains(held.box, place.box));
      frame.held = frame.held.filter((held) => !gone.includes(held));
      this.#heldBytes -= sum(gone);
    }
    return this.#settle(frame);
  }

  /** Holds the input of a frame that central has this node open; false where there is no room, or it was freed. */
  open(iId: string, plan: string, region: SizedPlace, nowMs: number): boolean {
    const frame = this.#named(iId, plan, nowMs);
    if (this.#freed.has(iId) || !this.#makeRoom(iId, cost(region))) return false;
    this.#hold(frame, { ...region, from: undefined });
    this.#frames.set(iId, frame);
    frame.hasWork = true;
    frame.usedMs = nowMs;
    return true;
  }

  /** Whether a tensor of an opened frame, or a region of it that was made here, is held. */
  holds(iId: string, tensor: string): boolean {
    return this.#frames.get(iId)?.held.some((held) => held.tensor === tensor && held.from === undefined) === true;
  }

  /** A node sent regions; returns those to be kept. */
  receive<R extends SizedPlace>(iId: string, plan: string, from: string, regions: readonly R[], nowMs: number): R[] {
    if (this.#freed.has(iId)) return [];
    const frame = this.#frames.get(iId) ?? newFrame<P>(plan, nowMs);
    if (frame.plan !== plan) return [];
    const kept = regions.filter((region) => {
      if (
        frame.held.some((held) => held.from === from && held.tensor === region.tensor && sameBox(held.box, region.box))
      )
        return false;
      const held = { tensor: region.tensor, box: region.box, bytes: region.bytes, from };
      const met = [...frame.begun.values()].flatMap(({ unmet }) => unmet.filter((need) => isMet(held, need)));
      const more = cost(region) - sum(met.filter(isReserved));
      if (met.length > 0 ? !this.#makeRoom(iId, more) : !this.#fits(more)) return false;
      this.#hold(frame, held);
      this.#meet(frame);
      return true;
    });
    if (kept.length === 0) return kept;
    frame.usedMs = nowMs;
    this.#frames.set(iId, frame);
    return kept;
  }

  /** The frame's regions are used. */
  use(iId: string, nowMs: number): void {
    const frame = this.#frames.get(iId);
    if (frame !== undefined) frame.usedMs = nowMs;
  }

  /** The regions that a begun part still waits for. */
  unmet(part: P): readonly Need[] {
    return this.#frames.get(part.iId)?.begun.get(part)?.unmet ?? [];
  }

  /** Begun parts of a frame that waited and can run now. */
  settle(iId: string): Settled<P> {
    const frame = this.#frames.get(iId);
    return frame === undefined ? { ready: [], stuck: [] } : this.#settle(frame);
  }

  /** The frames have ended. */
  free(iIds: readonly string[]): void {
    for (const iId of iIds) {
      this.#freed.add(iId);
      if (this.#freed.size > FREED) this.#freed.delete(this.#freed.values().next().value!);
    }
    this.dropFrames((iId) => iIds.includes(iId));
  }

  /** Drops those frames that match. */
  dropFrames(isGone: (iId: string, plan: string) => boolean): void {
    const gone = [...this.#frames].filter(([iId, { plan }]) => isGone(iId, plan));
    for (const [iId, frame] of gone) this.#forget(iId, frame);
    if (gone.length > 0) this.#drop(gone.map(([iId]) => iId));
  }

  /** Drops frames that were not used for long and of which no part is under way. */
  dropUnused(nowMs: number): void {
    const isUnused = ({ begun, usedMs }: Frame<P>): boolean => begun.size === 0 && nowMs - usedMs >= UNUSED_MS;
    this.dropFrames((iId) => isUnused(this.#frames.get(iId)!));
  }

  #settle(frame: Frame<P>): Settled<P> {
    this.#meet(frame);
    const settled: Settled<P> = { ready: [], stuck: [] };
    for (const begun of frame.begun.values()) {
      if (!begun.waits) continue;
      const missing = begun.unmet.filter((need) => !isComing(frame, need));
      if (missing.length > 0) settled.stuck.push({ part: begun.part, missing });
      if (begun.unmet.length > 0) continue;
      begun.waits = false;
      settled.ready.push(begun.part);
    }
    return settled;
  }

  /** Needs whose regions are held need no room any more. */
  #meet(frame: Frame<P>): void {
    for (const begun of frame.begun.values()) {
      const unmet = begun.unmet.filter((need) => !isHeld(frame, need));
      this.#reservedBytes -= reservation(begun.part, begun.unmet) - reservation(begun.part, unmet);
      begun.unmet = unmet;
    }
  }

  /** A frame that central names with its plan. What nodes sent of it for another plan is dropped. */
  #named(iId: string, plan: string, nowMs: number): Frame<P> {
    const known = this.#frames.get(iId);
    if (known !== undefined && (known.hasWork || known.plan === plan)) return known;
    if (known !== undefined) this.dropFrames((of) => of === iId);
    return newFrame<P>(plan, nowMs);
  }

  #hold(frame: Frame<P>, held: Held): void {
    frame.held.push(held);
    this.#heldBytes += cost(held);
  }

  #fits(bytes: number): boolean {
    return this.#heldBytes + this.#reservedBytes + bytes <= this.#limit;
  }

  #makeRoom(iId: string, bytes: number): boolean {
    for (const [other, frame] of this.#frames) {
      if (this.#fits(bytes)) return true;
      if (frame.hasWork || other === iId) continue;
      this.#forget(other, frame);
      this.#drop([other]);
    }
    return this.#fits(bytes);
  }

  #forget(iId: string, frame: Frame<P>): void {
    this.#frames.delete(iId);
    this.#heldBytes -= sum(frame.held);
    for (const { part, unmet } of frame.begun.values()) this.#reservedBytes -= reservation(part, unmet);
  }
}

function newFrame<P>(plan: string, usedMs: number): Frame<P> {
  return { plan, usedMs, hasWork: false, held: [], begun: new Map() };
}

function cost({ bytes }: SizedPlace): number {
  return bytes + OVERHEAD_BYTES;
}

function sum(regions: readonly SizedPlace[]): number {
  return regions.reduce((total, region) => total + cost(region), 0);
}

/** Whether a need has room of its own: a region that is made here has that of the part that makes it. */
function isReserved({ from }: Need): boolean {
  return from !== undefined;
}

/** Bytes that a part still adds. */
function reservation({ makes }: PartRegions, unmet: readonly Need[]): number {
  return sum(makes) + sum(unmet.filter(isReserved));
}

function isMet({ tensor, box, from }: Held, need: Need): boolean {
  return tensor === need.tensor && need.from === from && contains(box, need.box);
}

function isHeld<P>({ held }: Frame<P>, need: Need): boolean {
  return held.some((one) => isMet(one, need));
}

function isComing<P extends PartRegions>({ begun }: Frame<P>, need: Need): boolean {
  if (need.from !== undefined) return true;
  return [...begun.values()].some(({ part }) =>
    part.makes.some(({ tensor, box }) => tensor === need.tensor && contains(box, need.box)),
  );
}

/** A region by its place alone. */
export function placeOf({ tensor, box }: RegionPlace): RegionPlace {
  return { tensor, box };
}
