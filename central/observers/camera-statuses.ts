import type { Topics } from '../../shared/protocol/topics.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** What `CameraStatuses` needs. */
export interface CameraStatusesOptions {
  readonly publisher: Pick<Publisher, 'retain' | 'forget'>;
  readonly topics: Pick<Topics, 'cameraStatus'>;
}

/** Publishes whether each camera is online, and clears everything that is retained about a forgotten camera. */
export class CameraStatuses implements Observer {
  readonly #options: CameraStatusesOptions;

  constructor(options: CameraStatusesOptions) {
    this.#options = options;
  }

  cameraChanged(camera: string, state: 'online' | 'offline'): void {
    const { publisher, topics } = this.#options;
    publisher.retain(topics.cameraStatus(camera), state, camera);
  }

  cameraForgotten(camera: string): void {
    this.#options.publisher.forget(camera);
  }
}
