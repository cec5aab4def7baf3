import type { CameraSource, SourceReport } from '../../shared/protocol/messages/camera.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** What `CameraSources` needs. */
export interface CameraSourcesOptions {
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly topics: Pick<Topics, 'cameraSource'>;
  /** Any steady clock, ms. */
  readonly now: () => number;
}

/** Rates are published this often, ms; a change of anything else at once. */
const RATES_MS = 10_000;

interface Published {
  readonly at: number;
  /** What was said, without the rates. */
  readonly said: string;
  readonly last: CameraSource;
}

/** Publishes what the sources of cameras are doing, and what they cost. */
export class CameraSources implements Observer {
  readonly #options: CameraSourcesOptions;
  readonly #published = new Map<string, Published>();

  constructor(options: CameraSourcesOptions) {
    this.#options = options;
  }

  cameraReported(camera: string, node: string, report: SourceReport): void {
    const { source_fps, frames_fps, cpu_percent, ...rest } = report;
    const said = JSON.stringify({ ...rest, node });
    const last = { v: 1, node, ...report } as const;
    const before = this.#published.get(camera);
    const now = this.#options.now();
    const isNews = before?.said !== said;
    if (!isNews && (now - before.at < RATES_MS || JSON.stringify(before.last) === JSON.stringify(last))) return;
    this.#publish(camera, { at: now, said, last });
  }

  /** A node that left says nothing any more. */
  cameraChanged(camera: string, state: 'online' | 'offline'): void {
    const before = this.#published.get(camera);
    if (state === 'online' || before === undefined || before.last.state === 'offline') return;
    const last = { ...before.last, state, reason: `nothing was heard of it`, source_fps: 0, frames_fps: 0 };
    this.#publish(camera, { at: this.#options.now(), said: '', last });
  }

  cameraForgotten(camera: string): void {
    this.#published.delete(camera);
  }

  #publish(camera: string, published: Published): void {
    const { publisher, topics } = this.#options;
    this.#published.set(camera, published);
    publisher.retain(topics.cameraSource(camera), JSON.stringify(published.last), camera);
  }
}
