import type { Failure } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { CentralModels } from '../../shared/protocol/messages/central.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** What `ModelStatuses` needs. */
export interface ModelStatusesOptions {
  /** Models that cannot be served, with the reason. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly topics: Pick<Topics, 'centralModels'>;
}

/** Publishes which models are served and which are refused. */
export class ModelStatuses implements Observer {
  readonly #options: ModelStatusesOptions;
  readonly #served = new Set<string>();

  constructor(options: ModelStatusesOptions) {
    this.#options = options;
  }

  start(): void {
    this.#publish();
  }

  planActive(model: string): void {
    this.#served.add(model);
    this.#publish();
  }

  modelsChanged(): void {
    this.#publish();
  }

  #publish(): void {
    const { refused, publisher, topics } = this.#options;
    const models: CentralModels['models'] = {};
    for (const model of this.#served) models[model] = { state: 'served' };
    for (const [model, error] of refused) models[model] = { state: 'refused', error: { ...error } };
    publisher.retain(topics.centralModels(CENTRAL), JSON.stringify({ v: 1, models } satisfies CentralModels));
  }
}
