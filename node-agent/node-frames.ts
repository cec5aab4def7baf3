import type { FrameAnnounced } from '../shared/protocol/messages/born-frame.ts';

/**
 * The frames that are born at this node, while central or a part here may need them. Pure; times are of one steady clock,
 * ms.
 *
 *   announced --central has it--> kept --no model waits for it--> done --every i_id is freed--> gone
 *   announced, not accepted yet --no room for a newer frame--> gone
 *
 * 1. At most `frames` frames and `bytes` bytes are here; a frame for which there is no room is not added.
 * 2. A frame that central has is dropped only when central says so, or when each of its i_ids is of an earlier epoch or
 *    has ended: no frame is open for as long as an i_id is kept.
 * 3. A frame is announced again until central has it, and now and then until it is done: a central that was restarted
 *    does not know it.
 */

/** A picture and what central is told of it. */
export interface BornFrame {
  readonly about: FrameAnnounced;
  readonly d: Uint8Array;
}

/** Bounds of what is kept. */
export interface BornLimits {
  readonly frames: number;
  readonly bytes: number;
}

/** An announcement is repeated after this long without an answer, and after this long without `done`, ms. */
const REPEAT_MS = { announced: 5_000, kept: 30_000 } as const;
/** Frames that are announced again at a time: fewer than central reads in that time. */
const MOST_DUE = 50;
/** An i_id is kept for twice as long as a frame may be open, ms; the order to free it may have been lost. */
const I_ID_MS = 120_000;

interface Kept extends BornFrame {
  state: 'announced' | 'kept' | 'done';
  repeat_at: number;
  /** Under which it was accepted, and when. */
  readonly iIds: Map<string, number>;
}

/** See above. */
export class NodeFrames {
  readonly #limits: BornLimits;
  /** By camera and frame, the oldest first. */
  readonly #frames = new Map<string, Kept>();
  #bytes = 0;
  /** Frames that were dropped before central had them. */
  dropped = 0;

  constructor(limits: BornLimits) {
    this.#limits = limits;
  }

  /** Adds a frame that is about to be announced; false where there is no room for it. */
  add(frame: BornFrame, nowMs: number): boolean {
    const { camera, frame: id } = frame.about;
    const fits = (): boolean =>
      this.#frames.size < this.#limits.frames && this.#bytes + frame.d.byteLength <= this.#limits.bytes;
    for (const [name, { state, iIds }] of this.#frames) {
      if (fits()) break;
      if (state !== 'announced' || iIds.size > 0) continue;
      this.#drop(name);
      this.dropped++;
    }
    const name = nameOf(camera, id);
    if (!fits() || this.#frames.has(name)) {
      this.dropped++;
      return false;
    }
    this.#frames.set(name, { ...frame, state: 'announced', repeat_at: nowMs + REPEAT_MS.announced, iIds: new Map() });
    this.#bytes += frame.d.byteLength;
    return true;
  }

  /** Central has the announcement. */
  kept(camera: string, frame: string, nowMs: number): void {
    const known = this.#frames.get(nameOf(camera, frame));
    if (known === undefined || known.state === 'done') return;
    known.state = 'kept';
    known.repeat_at = nowMs + REPEAT_MS.kept;
  }

  /** No model waits for the frame any more. */
  done(camera: string, frame: string): void {
    const name = nameOf(camera, frame);
    const known = this.#frames.get(name);
    if (known === undefined) return;
    known.state = 'done';
    if (known.iIds.size === 0) this.#drop(name);
  }

  /** The frame was accepted under an i_id, and is kept until that is freed; undefined where it is not here. */
  accepted(camera: string, frame: string, iId: string, nowMs: number): BornFrame | undefined {
    const known = this.#frames.get(nameOf(camera, frame));
    known?.iIds.set(iId, nowMs);
    return known;
  }

  /** A frame that was accepted has ended. */
  free(iId: string): void {
    this.#release((bound) => bound === iId);
  }

  /** A central with this epoch is followed: what was accepted by an earlier one, or long ago, has ended. */
  follow(epoch: number, nowMs: number): void {
    this.#release((bound, sinceMs) => Number(bound.split('-')[0]) < epoch || nowMs - sinceMs >= I_ID_MS);
  }

  /** The connection was lost: all frames are due. */
  connected(nowMs: number): void {
    for (const frame of this.#frames.values()) frame.repeat_at = nowMs;
  }

  /** Frames to announce again now. */
  due(nowMs: number): FrameAnnounced[] {
    const isDue = ({ state, repeat_at }: Kept): boolean => state !== 'done' && repeat_at <= nowMs;
    const due = [...this.#frames.values()].filter(isDue).slice(0, MOST_DUE);
    for (const frame of due) frame.repeat_at = nowMs + REPEAT_MS[frame.state as 'announced' | 'kept'];
    return due.map(({ about }) => ({ ...about, repeated: true }));
  }

  #release(isOver: (iId: string, sinceMs: number) => boolean): void {
    for (const [name, { iIds, state }] of this.#frames) {
      for (const [iId, sinceMs] of iIds) if (isOver(iId, sinceMs)) iIds.delete(iId);
      if (state === 'done' && iIds.size === 0) this.#drop(name);
    }
  }

  #drop(name: string): void {
    this.#bytes -= this.#frames.get(name)!.d.byteLength;
    this.#frames.delete(name);
  }
}

function nameOf(camera: string, frame: string): string {
  return `${camera} ${frame}`;
}
