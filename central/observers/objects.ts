import { CAMERA_DEFAULTS } from '../../shared/config/schema.ts';
import { failureOf } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { EndedFrame } from '../effects.ts';
import type { CameraOptions } from '../ingest/camera-options.ts';
import type { Pictures } from '../pictures/pictures.ts';
import type { Snapshot, SnapshotRequest } from '../pictures/snapshot.ts';
import { Pace } from '../publish/pace.ts';
import type { PacedStates } from '../publish/paced-states.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { CameraSettings, Setting } from '../settings/camera-settings.ts';
import { labelLevel } from '../tracking/label-level.ts';
import { CameraObjects, type ObjectNews } from '../tracking/objects.ts';
import type { Observer } from './observer.ts';

/** What `Objects` needs. */
export interface ObjectsObserverOptions {
  /** Options of a camera; undefined for one that is not known. */
  readonly known: (camera: string) => CameraOptions | undefined;
  readonly settings: Pick<CameraSettings, 'isOn' | 'number'>;
  readonly pictures: Pick<Pictures, 'draw'>;
  readonly publisher: Pick<Publisher, 'event' | 'picture'>;
  readonly states: Pick<PacedStates, 'set'>;
  readonly topics: Pick<Topics, 'count' | 'objectEvent' | 'snapshot' | 'crop'>;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
  /** Any steady clock, ms. */
  readonly now: () => number;
}

/** Events of a camera that may wait for a picture; the pictures of further ones are not drawn. */
export const MAX_WAITING = 8;
/** Labels of a camera and model that are counted. */
export const MAX_LABELS = 200;

interface Followed {
  readonly camera: string;
  readonly model: string;
  readonly objects: CameraObjects;
  /** Names of labels that were counted. */
  readonly counted: Set<string>;
}

/**
 * Follows what the models find from frame to frame, and publishes how many objects there are of each label, events of
 * objects, and pictures of them.
 *
 *   1. Counts are published at once. Events of a camera are published in order, and each picture before the event for
 *      which it was drawn.
 *   2. No frame waits for a picture, nor does a stop: events go without those that are not drawn yet.
 */
export class Objects implements Observer {
  readonly #options: ObjectsObserverOptions;
  /** By camera and model. */
  readonly #followed = new Map<string, Followed>();
  /** By camera: the events under way, and how many. */
  readonly #waiting = new Map<string, { last: Promise<void>; count: number }>();
  readonly #pace = new Pace();
  /** For each picture that is being drawn: ends the wait for it. */
  readonly #drawing = new Set<(nothing: undefined) => void>();
  #isStopped = false;
  #next = 0;

  constructor(options: ObjectsObserverOptions) {
    this.#options = options;
  }

  frameEnded({ arrival }: Pick<EndedFrame, 'arrival'>, result: ResultObject): void {
    const { camera, model, status, task } = result;
    const { known, settings, topics, now } = this.#options;
    const options = known(camera);
    if (status === 'error' || (task !== 'detect' && task !== 'classify') || options === undefined) return;
    const followed = this.#of(camera, model, options);
    const publish = options.publish ?? CAMERA_DEFAULTS.publish;
    const { envelope } = arrival;
    const mayDraw = (topic: 'snapshot' | 'crop'): boolean =>
      settings.isOn(camera, topic) &&
      envelope.format !== 'tensor' &&
      envelope.d.byteLength > 0 &&
      this.#pace.isFree(topics[topic](camera, model), now(), publish[topic].interval_s * 1000);
    const [isWhole, isCropped] = [mayDraw('snapshot'), mayDraw('crop')];
    const news = followed.objects.update(result, {
      threshold: settings.number(camera, 'threshold'),
      updateS: publish.event.interval_s,
      canDraw: (isWhole || isCropped) && (this.#waiting.get(camera)?.count ?? 0) < MAX_WAITING,
    });
    this.#count(followed, publish.count.interval_s);
    const shown = news.filter(({ isDrawn }) => isDrawn);
    if (shown.length === 0) {
      this.#tell(followed, news);
      return;
    }
    if (isWhole) this.#pace.took(topics.snapshot(camera, model), now());
    if (isCropped) this.#pace.took(topics.crop(camera, model), now());
    const crops = isCropped
      ? shown.map(({ object: { label, score, box } }) => ({ label, score, box: box ?? undefined }))
      : [];
    const least = settings.number(camera, 'threshold');
    const predictions = result.predictions.filter(({ score }) => score >= least);
    this.#tell(followed, news, { frame: envelope, predictions, isWhole, crops });
  }

  cameraChanged(camera: string, state: 'online' | 'offline'): void {
    if (state === 'offline') this.#end(camera);
  }

  settingChanged(camera: string, setting: Setting): void {
    if (setting === 'detect' || setting === 'model') this.#end(camera);
  }

  cameraForgotten(camera: string): void {
    // Its topics are cleared, so that its counts are not published again.
    for (const [key, followed] of this.#followed) {
      if (followed.camera !== camera) continue;
      this.#followed.delete(key);
      this.#tell(followed, followed.objects.end());
      for (const topic of ['snapshot', 'crop'] as const)
        this.#pace.forget(this.#options.topics[topic](camera, followed.model));
    }
  }

  stop(): void {
    this.#isStopped = true;
    for (const giveUp of this.#drawing) giveUp(undefined);
    for (const followed of this.#followed.values()) this.#tell(followed, followed.objects.end());
  }

  #of(camera: string, model: string, { objects = CAMERA_DEFAULTS.objects, hold }: CameraOptions): Followed {
    const key = `${camera}/${model}`;
    const known = this.#followed.get(key);
    if (known !== undefined) return known;
    const { labels, start_score: startScore, gone_after_s: goneAfterS } = objects;
    const idOf = (time: number): string => `${time.toFixed(3)}-${(this.#next++).toString(36)}`;
    const followed = {
      camera,
      model,
      objects: new CameraObjects({ labels, startScore, goneAfterS, hold }, idOf),
      counted: new Set(labels.map(labelLevel)),
    };
    this.#followed.set(key, followed);
    return followed;
  }

  /** Ends the objects of a camera. */
  #end(camera: string): void {
    for (const followed of this.#followed.values()) {
      if (followed.camera !== camera) continue;
      const news = followed.objects.end();
      this.#count(followed, 0);
      this.#tell(followed, news);
    }
  }

  #count({ camera, model, objects, counted }: Followed, intervalS: number): void {
    const { settings, states, topics } = this.#options;
    const counts = new Map<string, number>();
    for (const [label, count] of objects.counts) {
      const name = labelLevel(label);
      counts.set(name, (counts.get(name) ?? 0) + count);
      if (counted.size < MAX_LABELS) counted.add(name);
    }
    if (!settings.isOn(camera, 'count')) return;
    for (const name of counted)
      states.set(topics.count(camera, model, name), String(counts.get(name) ?? 0), camera, intervalS);
  }

  /** Publishes events in their order, after the pictures that they mention. */
  #tell(followed: Followed, news: readonly ObjectNews[], request?: SnapshotRequest): void {
    if (news.length === 0) return;
    const { camera } = followed;
    const waiting = this.#waiting.get(camera);
    if (waiting === undefined && request === undefined) {
      this.#publish(followed, news, undefined);
      return;
    }
    const last = (waiting?.last ?? Promise.resolve()).then(async () => {
      this.#publish(followed, news, request === undefined ? undefined : await this.#draw(camera, request));
    });
    const entry = { last, count: (waiting?.count ?? 0) + 1 };
    this.#waiting.set(camera, entry);
    void last
      .catch((error: unknown) => {
        const { throttledLog } = this.#options;
        throttledLog.warn(`events ${camera}`, `events of camera ${camera} are lost: ${failureOf(error).message}`);
      })
      .then(() => {
        if (this.#waiting.get(camera) === entry) this.#waiting.delete(camera);
      });
  }

  async #draw(camera: string, request: SnapshotRequest): Promise<Snapshot | undefined> {
    if (this.#isStopped) return undefined;
    let giveUp = (_nothing: undefined): void => {};
    const givenUp = new Promise<undefined>((resolve) => {
      giveUp = resolve;
    });
    this.#drawing.add(giveUp);
    try {
      return await Promise.race([this.#options.pictures.draw(request), givenUp]);
    } catch (error) {
      const reason = failureOf(error).message;
      this.#options.throttledLog.warn(`snapshot ${camera}`, `no snapshot of camera ${camera}: ${reason}`);
      return undefined;
    } finally {
      this.#drawing.delete(giveUp);
    }
  }

  #publish(followed: Followed, news: readonly ObjectNews[], made: Snapshot | undefined): void {
    const { publisher, settings, topics } = this.#options;
    const { camera, model, objects } = followed;
    // Meanwhile the camera may have been forgotten, and its topics cleared.
    const drawn = this.#followed.get(`${camera}/${model}`) === followed ? made : undefined;
    if (drawn?.whole !== undefined) publisher.picture(topics.snapshot(camera, model), drawn.whole, camera);
    const crops = [...(drawn?.crops ?? [])];
    for (const one of news) {
      const crop = one.isDrawn ? crops.shift() : undefined;
      if (crop !== undefined) publisher.picture(topics.crop(camera, model), crop, camera);
      const isShown = one.isDrawn && (drawn?.whole !== undefined || crop !== undefined);
      const event = objects.report(one, isShown);
      if (settings.isOn(camera, 'event')) publisher.event(topics.objectEvent(camera), JSON.stringify(event));
    }
  }
}
