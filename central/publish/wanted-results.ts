import { CAMERA_DEFAULTS } from '../../shared/config/schema.ts';
import type { CameraOptions } from '../ingest/camera-options.ts';
import type { CameraSettings } from '../settings/camera-settings.ts';
import { Pace } from './pace.ts';

/** What `WantedResults` needs. */
export interface WantedResultsOptions {
  /** Options of a camera; undefined for one that is not known. */
  readonly known: (camera: string) => CameraOptions | undefined;
  readonly settings: Pick<CameraSettings, 'isOn'>;
  /** Any steady clock, ms. */
  readonly now: () => number;
}

/** Which results of a camera are published, where somebody wants not all of them. */
export class WantedResults {
  readonly #options: WantedResultsOptions;
  readonly #pace = new Pace();

  constructor(options: WantedResultsOptions) {
    this.#options = options;
  }

  /** Whether a result is published; then it counts for the interval. */
  take({ camera, model }: { readonly camera: string; readonly model: string }): boolean {
    const { known, settings, now } = this.#options;
    if (!settings.isOn(camera, 'result')) return false;
    const { interval_s } = (known(camera)?.publish ?? CAMERA_DEFAULTS.publish).result;
    if (interval_s === 0) return true;
    const key = `${camera}/${model}`;
    if (!this.#pace.isFree(key, now(), interval_s * 1000)) return false;
    this.#pace.took(key, now());
    return true;
  }
}
