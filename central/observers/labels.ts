import { CAMERA_DEFAULTS } from '../../shared/config/schema.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { EndedFrame } from '../effects.ts';
import type { CameraOptions } from '../ingest/camera-options.ts';
import type { PacedStates } from '../publish/paced-states.ts';
import type { CameraSettings } from '../settings/camera-settings.ts';
import { StableLabel } from '../tracking/stable-label.ts';
import type { Observer } from './observer.ts';

/** What `Labels` needs. */
export interface LabelsOptions {
  /** Options of a camera; undefined for one that is not known. */
  readonly known: (camera: string) => CameraOptions | undefined;
  readonly settings: Pick<CameraSettings, 'isOn' | 'number'>;
  readonly states: Pick<PacedStates, 'set'>;
  readonly topics: Pick<Topics, 'label'>;
}

/** Publishes the label of each camera and model when it changes. */
export class Labels implements Observer {
  readonly #options: LabelsOptions;
  /** By camera, then by model. */
  readonly #labels = new Map<string, Map<string, StableLabel>>();

  constructor(options: LabelsOptions) {
    this.#options = options;
  }

  frameEnded(_: EndedFrame, { camera, model, status, task, top }: ResultObject): void {
    const { known, settings, states, topics } = this.#options;
    const options = known(camera);
    if (status === 'error' || task === 'raw' || options === undefined) return;
    const models = this.#labels.get(camera) ?? new Map<string, StableLabel>();
    this.#labels.set(camera, models);
    const stable = models.get(model) ?? new StableLabel(options.hold);
    models.set(model, stable);
    const passes = top !== null && top.score >= settings.number(camera, 'threshold');
    stable.update(passes ? top.label : null);
    const { label } = stable;
    if (label === undefined || !settings.isOn(camera, 'label')) return;
    const { interval_s } = (options.publish ?? CAMERA_DEFAULTS.publish).label;
    states.set(topics.label(camera, model), label, camera, interval_s);
  }

  cameraForgotten(camera: string): void {
    this.#labels.delete(camera);
  }
}
