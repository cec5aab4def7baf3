import type { ObjectEvent, TrackedObject } from '../../shared/protocol/messages/objects.ts';
import type { Prediction, ResultObject } from '../../shared/protocol/messages/result.ts';
import { areaOf, overlap } from './motion.ts';
import { NO_LABEL, StableLabel } from './stable-label.ts';
import { type Detection, type Track, type TrackChanges, Tracker, type TrackerOptions } from './tracker.ts';

/** How the objects of one camera and model are made. */
export interface ObjectsOptions extends TrackerOptions {
  /** Labels that are followed; empty: all. */
  readonly labels: readonly string[];
  /** Results that must agree on a label, for models without boxes. */
  readonly hold: number;
}

/** What the next result may change: thresholds and rates that people set. */
export interface ObjectsSettings {
  /** Least score of a prediction. */
  readonly threshold: number;
  /** Least seconds between two updates of an object. */
  readonly updateS: number;
  /** Whether a picture of the frame can be made now. */
  readonly canDraw: boolean;
}

/** An event that is about to be published. */
export interface ObjectNews {
  readonly type: ObjectEvent['type'];
  readonly number: number;
  /** The object at that moment. */
  readonly object: TrackedObject;
  /** Whether a picture of the frame is published before: the object is new, or is shown better. */
  readonly isDrawn: boolean;
}

/** An object is reported again when its score rose by so much, or its box overlaps the reported one by less. */
const BETTER = 0.05;
const MOVED = 0.8;

interface Known {
  now: TrackedObject;
  /** As the last event said; when that was decided, s. */
  reported: TrackedObject;
  reportedAt: number;
  /** The score in the last picture; 0: there is none. */
  drawn: number;
  isGone: boolean;
}

/** The objects of one camera and model: what begins, changes and ends with each result. */
export class CameraObjects {
  readonly #options: ObjectsOptions;
  readonly #idOf: (time: number) => string;
  readonly #tracker: Tracker;
  readonly #label: StableLabel;
  readonly #known = new Map<number, Known>();
  /** Of a classifier: the label that holds. */
  #held: Track | undefined;
  #labels = 0;

  /** `idOf`: a new id for an object that was first seen at a time, Unix s. */
  constructor(options: ObjectsOptions, idOf: (time: number) => string) {
    this.#options = options;
    this.#idOf = idOf;
    this.#tracker = new Tracker(options);
    this.#label = new StableLabel(options.hold);
  }

  /** How many objects there are of each label. */
  get counts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { now, isGone } of this.#known.values())
      if (!isGone) counts.set(now.label, (counts.get(now.label) ?? 0) + 1);
    return counts;
  }

  /** Takes a result that is no error. Ends of objects come first. */
  update(result: ResultObject, settings: ObjectsSettings): ObjectNews[] {
    const { labels } = this.#options;
    const isFollowed = ({ label, score }: Prediction): boolean =>
      score >= settings.threshold && (labels.length === 0 || labels.includes(label));
    const { predictions, top, frame_time: time } = result;
    const changes =
      result.task === 'detect'
        ? this.#tracker.update(predictions.filter(isFollowed).flatMap(detectionOf), time)
        : this.#labelled(top !== null && isFollowed(top) ? top : null, time);
    const news = changes.gone.flatMap(({ number }) => this.#gone(number));
    for (const track of changes.begun) {
      const now = objectOf(track, result, this.#idOf(track.since));
      const drawn = settings.canDraw ? track.score : 0;
      this.#known.set(track.number, { now, reported: now, reportedAt: time, drawn, isGone: false });
      news.push({ type: 'new', number: track.number, object: now, isDrawn: settings.canDraw });
    }
    return [...news, ...changes.seen.flatMap((track) => this.#seen(track, result, settings))];
  }

  /** Ends every object. */
  end(): ObjectNews[] {
    this.#tracker.end();
    this.#held = undefined;
    return [...this.#known.keys()].flatMap((number) => this.#gone(number));
  }

  /** The event of news, with whether a snapshot was published just before it. Call it once for all news, in their order. */
  report({ type, number, object }: ObjectNews, wasDrawn: boolean): ObjectEvent {
    const known = this.#known.get(number)!;
    const after = { ...object, has_snapshot: wasDrawn || (type !== 'new' && known.reported.has_snapshot) };
    const before = type === 'new' ? after : known.reported;
    known.reported = after;
    if (type === 'end') this.#known.delete(number);
    return { v: 1, type, before, after };
  }

  #gone(number: number): ObjectNews[] {
    const known = this.#known.get(number);
    if (known === undefined || known.isGone) return [];
    known.isGone = true;
    const object = { ...known.now, end_time: known.now.frame_time };
    return [{ type: 'end', number, object, isDrawn: false }];
  }

  #seen(track: Track, result: ResultObject, { updateS, canDraw }: ObjectsSettings): ObjectNews[] {
    const known = this.#known.get(track.number)!;
    const now = objectOf(track, result, known.now.id);
    known.now = now;
    const { reported } = known;
    const hasMoved = reported.box !== null && now.box !== null && overlap(reported.box, now.box) < MOVED;
    const isBetter = now.top_score >= reported.top_score + BETTER;
    const isDrawn = canDraw && (known.drawn === 0 || now.score >= known.drawn + BETTER);
    if (result.frame_time - known.reportedAt < updateS || !(hasMoved || isBetter || isDrawn)) return [];
    known.reportedAt = result.frame_time;
    if (isDrawn) known.drawn = now.score;
    return [{ type: 'update', number: track.number, object: now, isDrawn }];
  }

  /** The label of a classifier as an object without a box. */
  #labelled(top: { readonly label: string; readonly score: number } | null, time: number): TrackChanges {
    const held = this.#held;
    const label = this.#label.update(top?.label ?? null);
    if (label === undefined) {
      if (held === undefined || top === null || top.label !== held.label) return { begun: [], seen: [], gone: [] };
      this.#held = { ...held, score: top.score, topScore: Math.max(held.topScore, top.score), seen: time };
      return { begun: [], seen: [this.#held], gone: [] };
    }
    const gone = held === undefined ? [] : [held];
    this.#held = undefined;
    if (label === NO_LABEL || top === null) return { begun: [], seen: [], gone };
    const { score } = top;
    const number = this.#labels++;
    this.#held = { number, label: top.label, box: null, score, topScore: score, since: time, seen: time };
    return { begun: [this.#held], seen: [], gone };
  }
}

function detectionOf({ label, score, box }: Prediction): Detection[] {
  return box === undefined ? [] : [{ label, score, box }];
}

function objectOf(
  { label, score, topScore, since, seen, box }: Track,
  result: ResultObject,
  id: string,
): TrackedObject {
  const { camera, model, frame } = result;
  return {
    id,
    camera,
    model,
    label,
    score,
    top_score: topScore,
    frame,
    frame_time: seen,
    start_time: since,
    end_time: null,
    box: box === null ? null : [...box],
    area: box === null ? null : Math.round(areaOf(box)),
    ratio: box === null ? null : Math.round((100 * (box[2] - box[0])) / Math.max(1, box[3] - box[1])) / 100,
    has_snapshot: false,
  };
}
