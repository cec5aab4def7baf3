import type { Observer } from '../observers/observer.ts';
import type { Publisher } from './publisher.ts';

/** What `PacedStates` needs. */
export interface PacedStatesOptions {
  readonly publisher: Pick<Publisher, 'retain'>;
  /** Any steady clock, ms. */
  readonly now: () => number;
}

interface Topic {
  readonly camera: string | undefined;
  published: string | undefined;
  at: number;
  /** What is published when the interval is over. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * States of cameras that are published when they change, and not more often than their interval.
 *
 *   1. A topic's payload is never published twice in a row.
 *   2. The last state is always published, at the end of the interval at the latest.
 */
export class PacedStates implements Observer {
  readonly #options: PacedStatesOptions;
  readonly #topics = new Map<string, Topic>();

  constructor(options: PacedStatesOptions) {
    this.#options = options;
  }

  set(topic: string, payload: string, camera: string | undefined, intervalS: number): void {
    const { now } = this.#options;
    const known = this.#topics.get(topic) ?? {
      camera,
      published: undefined,
      at: Number.NEGATIVE_INFINITY,
      timer: undefined,
    };
    this.#topics.set(topic, known);
    clearTimeout(known.timer);
    known.timer = undefined;
    if (payload === known.published) return;
    const waitMs = known.at + intervalS * 1000 - now();
    if (waitMs <= 0) this.#publish(topic, known, payload);
    else known.timer = setTimeout(() => this.#publish(topic, known, payload), waitMs).unref();
  }

  /** Forgets the state of a topic, and publishes nothing of it that waits. */
  forget(topic: string): void {
    clearTimeout(this.#topics.get(topic)?.timer);
    this.#topics.delete(topic);
  }

  /** Forgets the states of a camera. */
  cameraForgotten(camera: string): void {
    for (const [topic, { camera: of }] of this.#topics) if (of === camera) this.forget(topic);
  }

  /** Publishes nothing more that waits. */
  stop(): void {
    for (const { timer } of this.#topics.values()) clearTimeout(timer);
  }

  #publish(topic: string, known: Topic, payload: string): void {
    known.published = payload;
    known.at = this.#options.now();
    this.#options.publisher.retain(topic, payload, known.camera);
  }
}
