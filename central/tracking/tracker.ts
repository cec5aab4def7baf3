import { assign } from './assignment.ts';
import { type Box, beginMotion, boxOf, correctMotion, type Motion, overlap, predictMotion } from './motion.ts';

/** What a detector found in a frame. */
export interface Detection {
  readonly label: string;
  readonly score: number;
  readonly box: Box;
}

/** How detections become objects. */
export interface TrackerOptions {
  /** Least score of a detection that begins an object; detections below it only continue one. */
  readonly startScore: number;
  /** Seconds without a detection after which an object is gone. */
  readonly goneAfterS: number;
}

/** An object that is followed from frame to frame. */
export interface Track {
  /** Counts from 0. */
  readonly number: number;
  readonly label: string;
  /** The box and score of its last detection; null where a classifier saw it. */
  readonly box: Box | null;
  readonly score: number;
  /** The best score so far. */
  readonly topScore: number;
  /** Times of its first and last detection, s. */
  readonly since: number;
  readonly seen: number;
}

/** What a frame changed. */
export interface TrackChanges {
  /** Objects that were detected for the second time. */
  readonly begun: readonly Track[];
  /** Known objects that were detected in the frame. */
  readonly seen: readonly Track[];
  readonly gone: readonly Track[];
}

/** Detections of a frame that are followed, the best ones; more only cost time. */
export const MAX_DETECTIONS = 64;
/** Objects that are followed at a time; those not seen for the longest time make room. */
export const MAX_TRACKS = 128;
/** Frames older than the newest one by less than this, s, came late and are left out; by more, the clock was set. */
const LATE_S = 60;
/** The limits of 1 - IoU in ByteTrack's published implementation. */
const FIRST = 0.8;
const SECOND = 0.5;
const TENTATIVE = 0.7;

interface Followed {
  track: Track;
  motion: Motion;
  isTentative: boolean;
}

/**
 * Follows what a detector finds from frame to frame: ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by
 * Associating Every Detection Box", ECCV 2022, Algorithm 1) by overlap and motion alone, within each label.
 *
 *   none --a detection of startScore--> tentative --a second one in the next frame--> known --goneAfterS--> gone
 *                                       tentative --none in the next frame--> none
 *
 *   1. Detections of startScore continue known objects first; the others then continue those that the last frame had.
 *   2. A detection continues or begins one object at most, and an object takes one detection of a frame at most.
 */
export class Tracker {
  readonly #options: TrackerOptions;
  #followed: Followed[] = [];
  #time = Number.NEGATIVE_INFINITY;
  #next = 0;

  constructor(options: TrackerOptions) {
    this.#options = options;
  }

  /** The known objects. */
  get tracks(): Track[] {
    return this.#followed.flatMap(({ track, isTentative }) => (isTentative ? [] : [track]));
  }

  /** Takes the detections of a frame; `time` in seconds, of any clock. */
  update(detections: readonly Detection[], time: number): TrackChanges {
    const late = this.#time - time;
    if (late >= 0 && late < LATE_S) return { begun: [], seen: [], gone: [] };
    const lost = late > 0 ? this.end() : [];
    const best = detections.toSorted((a, b) => b.score - a.score).slice(0, MAX_DETECTIONS);
    const strong = best.filter(({ score }) => score >= this.#options.startScore);
    const weak = best.filter(({ score }) => score < this.#options.startScore);
    const last = this.#time;
    this.#time = time;
    for (const one of this.#followed) one.motion = predictMotion(one.motion, time - last);
    const known = this.#followed.filter(({ isTentative }) => !isTentative);
    const first = this.#match(known, strong, FIRST);
    const second = this.#match(
      first.alone.filter(({ track }) => track.seen === last),
      weak,
      SECOND,
    );
    const tentative = this.#followed.filter(({ isTentative }) => isTentative);
    const third = this.#match(tentative, first.unused, TENTATIVE);
    for (const one of third.matched) one.isTentative = false;
    const gone = known.filter(({ track }) => time - track.seen > this.#options.goneAfterS);
    const dropped = new Set([...gone, ...third.alone]);
    this.#followed = this.#followed.filter((one) => !dropped.has(one));
    this.#begin(third.unused, time);
    return {
      begun: third.matched.map(({ track }) => track),
      seen: [...first.matched, ...second.matched].map(({ track }) => track),
      gone: [...lost, ...gone.map(({ track }) => track), ...this.#makeRoom()],
    };
  }

  /** Ends all objects; returns them. */
  end(): Track[] {
    const { tracks } = this;
    this.#followed = [];
    this.#time = Number.NEGATIVE_INFINITY;
    return tracks;
  }

  #begin(detections: readonly Detection[], time: number): void {
    for (const { label, score, box } of detections) {
      const track = { number: this.#next++, label, box, score, topScore: score, since: time, seen: time };
      this.#followed.push({ track, motion: beginMotion(box), isTentative: true });
    }
  }

  #makeRoom(): Track[] {
    const over = this.#followed.length - MAX_TRACKS;
    if (over <= 0) return [];
    const dropped = this.#followed.toSorted((a, b) => a.track.seen - b.track.seen).slice(0, over);
    this.#followed = this.#followed.filter((one) => !dropped.includes(one));
    return dropped.flatMap(({ track, isTentative }) => (isTentative ? [] : [track]));
  }

  /** Continues objects with detections of their labels. */
  #match(
    objects: readonly Followed[],
    detections: readonly Detection[],
    limit: number,
  ): { matched: Followed[]; alone: Followed[]; unused: Detection[] } {
    const matched: Followed[] = [];
    const used = new Set<Detection>();
    for (const label of new Set(objects.map(({ track }) => track.label))) {
      const rows = objects.filter(({ track }) => track.label === label);
      const columns = detections.filter((detection) => detection.label === label);
      const cost = rows.map(({ motion }) => columns.map(({ box }) => 1 - overlap(boxOf(motion), box)));
      for (const [row, column] of assign(cost, limit).entries()) {
        if (column === undefined) continue;
        const one = rows[row]!;
        const { box, score } = columns[column]!;
        one.motion = correctMotion(one.motion, box);
        one.track = { ...one.track, box, score, topScore: Math.max(one.track.topScore, score), seen: this.#time };
        matched.push(one);
        used.add(columns[column]!);
      }
    }
    return {
      matched,
      alone: objects.filter((one) => !matched.includes(one)),
      unused: detections.filter((one) => !used.has(one)),
    };
  }
}
