import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { EndedFrame } from '../effects.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** The label of a result in which no prediction passes the threshold; the topic is never empty. */
export const NO_LABEL = 'none';

/** Home Assistant refuses states over 255 characters. */
const MAX_LENGTH = 255;

/**
 * The label that the last `hold` results agree on.
 *
 * Invariants: (1) a change needs `hold` equal results in a row; (2) the same label is never reported twice in a row.
 */
export class StableLabel {
  readonly #hold: number;
  #candidate = '';
  #seen = 0;
  #published = '';

  constructor(hold: number) {
    this.#hold = hold;
  }

  /** Takes a result's top label (null: no prediction passed the threshold); returns the label when it has changed. */
  update(top: string | null): string | undefined {
    const label = (top ?? NO_LABEL).slice(0, MAX_LENGTH);
    this.#seen = label === this.#candidate ? this.#seen + 1 : 1;
    this.#candidate = label;
    if (this.#seen < this.#hold || label === this.#published) return undefined;
    this.#published = label;
    return label;
  }
}

/** What `Labels` needs. */
export interface LabelsOptions {
  /** Results of a camera that must agree before its label changes; undefined for a camera that is not known. */
  readonly hold: (camera: string) => number | undefined;
  readonly publisher: Pick<Publisher, 'retain'>;
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
    const { publisher, topics } = this.#options;
    const hold = this.#options.hold(camera);
    if (status === 'error' || task === 'raw' || hold === undefined) return;
    const models = this.#labels.get(camera) ?? new Map<string, StableLabel>();
    this.#labels.set(camera, models);
    const stable = models.get(model) ?? new StableLabel(hold);
    models.set(model, stable);
    const label = stable.update(top?.label ?? null);
    if (label !== undefined) publisher.retain(topics.label(camera, model), label, camera);
  }

  cameraForgotten(camera: string): void {
    this.#labels.delete(camera);
  }
}
