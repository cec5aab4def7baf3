import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import type { Observers } from '../observers/observers.ts';
import type { CameraOptions } from './camera-options.ts';

const UNLISTED: CameraOptions = { models: [], hold: 3, offline_after_s: 30 };

/** Cameras that are known without being listed in the configuration. */
const MAX_UNLISTED = 1024;
/** Of them, those that are online and whose frames are born at one node: it must not take all places. */
const MAX_OF_NODE = 64;

/**
 * The cameras that are listed in the configuration or have been seen. A camera is online for `offline_after_s` after a
 * frame.
 *
 *   unknown --frame--> online --silence--> offline --frame--> online
 *   online or unknown --its source fails--> offline
 *                      offline --not listed, and another camera needs the room--> unknown
 *
 * Observers are told when a camera's state changes, and when it is no longer known; `onUnlisted` hears of each camera that is
 * not listed when it becomes known, and when it is no longer.
 */
export class Cameras {
  readonly #configured: Readonly<Record<string, CameraOptions>>;
  readonly #acceptUnlisted: boolean;
  readonly #observers: Pick<Observers, 'tell'>;
  readonly #onUnlisted: (camera: string, isKnown: boolean) => void;
  /** Timers that end a camera's online time; undefined for an offline camera. Unlisted ones in the order of their last frames. */
  readonly #listed = new Map<string, NodeJS.Timeout | undefined>();
  readonly #unlisted = new Map<string, NodeJS.Timeout | undefined>();

  /** Of unlisted cameras, the node where the last frame was born; undefined: it came from the topic. */
  readonly #sources = new Map<string, string | undefined>();

  constructor(
    configured: Readonly<Record<string, CameraOptions>>,
    acceptUnlisted: boolean,
    observers: Pick<Observers, 'tell'>,
    onUnlisted: (camera: string, isKnown: boolean) => void = () => {},
  ) {
    this.#configured = configured;
    this.#acceptUnlisted = acceptUnlisted;
    this.#observers = observers;
    this.#onUnlisted = onUnlisted;
  }

  /** Options of a camera; undefined for an unlisted camera where those are not accepted, or too many are known. */
  options(camera: string): CameraOptions | undefined {
    if (this.#isListed(camera)) return this.#configured[camera];
    return this.#acceptUnlisted && this.#hasRoom(camera) ? UNLISTED : undefined;
  }

  /**
   * Whether a frame of a camera may be born at a node, or come from its topic: what the configuration says of a listed
   * camera; for an unlisted one, only from where its frames have come while it is online, and from each node so many.
   */
  mayComeFrom(camera: string, node: string | undefined): boolean {
    if (this.#isListed(camera)) return this.#configured[camera]!.node === node;
    if (this.#unlisted.get(camera) !== undefined) return this.#sources.get(camera) === node;
    return node === undefined || this.#onlineOf(node) < MAX_OF_NODE;
  }

  /** Options of a camera that is listed or has been seen; undefined for any other. */
  known(camera: string): CameraOptions | undefined {
    if (this.#isListed(camera)) return this.#configured[camera];
    return this.#unlisted.has(camera) ? UNLISTED : undefined;
  }

  /** A frame of a camera that has options has come, from the node where it was born or from its topic. */
  seen(camera: string, { offline_after_s }: CameraOptions, node?: string): void {
    if (!this.#isListed(camera)) this.#sources.set(camera, node);
    if (this.known(camera) === undefined) this.#onUnlisted(camera, true);
    const known = this.#isListed(camera) ? this.#listed : this.#unlisted;
    const timer = known.get(camera);
    if (timer === undefined) this.#observers.tell('cameraChanged', camera, 'online');
    clearTimeout(timer);
    const onSilence = (): void => {
      known.set(camera, undefined);
      this.#observers.tell('cameraChanged', camera, 'offline');
    };
    known.delete(camera);
    known.set(camera, setTimeout(onSilence, offline_after_s * 1000));
  }

  /** A camera's source, or the node that reads it, says what it is doing: online counts as a frame does. */
  reported(camera: string, node: string, report: SourceReport): void {
    // What was never seen cannot be lost; otherwise made-up names would take the places of others.
    if (report.state === 'offline' && this.known(camera) === undefined) return;
    const options = this.options(camera);
    if (options === undefined || !this.mayComeFrom(camera, node)) return;
    if (report.state === 'online') this.seen(camera, options, node);
    else this.#lost(camera);
    this.#observers.tell('cameraReported', camera, node, report);
  }

  #lost(camera: string): void {
    const known = this.#isListed(camera) ? this.#listed : this.#unlisted;
    const timer = known.get(camera);
    if (timer === undefined && known.has(camera)) return;
    clearTimeout(timer);
    known.set(camera, undefined);
    this.#observers.tell('cameraChanged', camera, 'offline');
  }

  stop(): void {
    for (const known of [this.#listed, this.#unlisted]) {
      for (const timer of known.values()) clearTimeout(timer);
      known.clear();
    }
  }

  #isListed(camera: string): boolean {
    return Object.hasOwn(this.#configured, camera);
  }

  /** Unlisted cameras of a node that are online. */
  #onlineOf(node: string): number {
    let count = 0;
    for (const [camera, source] of this.#sources)
      if (source === node && this.#unlisted.get(camera) !== undefined) count++;
    return count;
  }

  #hasRoom(camera: string): boolean {
    if (this.#unlisted.has(camera) || this.#unlisted.size < MAX_UNLISTED) return true;
    for (const [other, timer] of this.#unlisted) {
      if (timer !== undefined) continue;
      this.#unlisted.delete(other);
      this.#sources.delete(other);
      this.#onUnlisted(other, false);
      this.#observers.tell('cameraForgotten', other);
      return true;
    }
    return false;
  }
}
