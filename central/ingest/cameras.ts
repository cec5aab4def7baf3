import type { CameraPolicy } from '../coordinator/events.ts';
import type { Publisher } from '../publish/publisher.ts';

/** What central does with one camera's frames, beside the coordinator's policy. */
export interface CameraOptions extends Partial<CameraPolicy> {
  /** Models that the camera's frames go to; empty: all that are deployed. */
  readonly models: readonly string[];
  /** Results that must agree before the label changes. */
  readonly hold: number;
  readonly offline_after_s: number;
}

const UNLISTED: CameraOptions = { models: [], hold: 3, offline_after_s: 30 };

/** The cameras that are configured or have been seen, and whether they are online: a frame within `offline_after_s`. */
export class Cameras {
  readonly #configured: Readonly<Record<string, CameraOptions>>;
  readonly #acceptUnlisted: boolean;
  readonly #publisher: Publisher;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(configured: Readonly<Record<string, CameraOptions>>, acceptUnlisted: boolean, publisher: Publisher) {
    this.#configured = configured;
    this.#acceptUnlisted = acceptUnlisted;
    this.#publisher = publisher;
  }

  /** Options of a camera; undefined where it is not listed and only listed ones are accepted. */
  options(camera: string): CameraOptions | undefined {
    if (Object.hasOwn(this.#configured, camera)) return this.#configured[camera];
    return this.#acceptUnlisted ? UNLISTED : undefined;
  }

  /** A frame has come. */
  seen(camera: string, { offline_after_s }: CameraOptions): void {
    const timer = this.#timers.get(camera);
    if (timer === undefined) this.#publisher.camera(camera, 'online');
    clearTimeout(timer);
    const onSilence = (): void => {
      this.#timers.delete(camera);
      this.#publisher.camera(camera, 'offline');
    };
    this.#timers.set(camera, setTimeout(onSilence, offline_after_s * 1000));
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
