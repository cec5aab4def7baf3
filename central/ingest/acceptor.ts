import type { Failure } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { Message } from '../../shared/ports.ts';
import type { Task } from '../../shared/protocol/messages/result.ts';
import { parseInputTopic } from '../../shared/protocol/topics.ts';
import type { FrameOffered } from '../coordinator/events.ts';
import type { FrameTracker } from '../journal/frame-tracker.ts';
import type { Observers } from '../observers/observers.ts';
import type { Cameras } from './cameras.ts';
import { type Arrival, FrameParser } from './parser.ts';
import { PendingMessages } from './pending.ts';

/** What the journal says of a frame's model. */
interface TakenFor {
  readonly name: string;
  readonly manifest: { readonly skeleton: { readonly sha: string } };
  readonly card: { readonly task: Task };
}

/** What takes frames in, and whom it tells. */
export interface FrameAcceptorOptions {
  readonly base: string;
  readonly cameras: Pick<Cameras, 'options' | 'seen'>;
  readonly models: ReadonlyMap<string, TakenFor>;
  /** Models that were to be served and cannot be, and why. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly tracker: Pick<FrameTracker, 'offer' | 'settle' | 'whenWritten'>;
  readonly observers: Pick<Observers, 'tell'>;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
  /** Whether this central is the active one at this moment. */
  readonly holds: () => boolean;
  /** Keeps a frame that is offered; returns its ref. */
  readonly keep: (arrival: Arrival) => string;
  /** The way to the coordinator. */
  readonly tell: (event: FrameOffered) => void;
}

/** Messages that are held while they must not be taken in. */
const PENDING = { messages: 256, bytes: 64e6 };

/**
 * Takes messages of cameras in, or leaves them to the broker.
 *
 *   open --`holds` says no, or the journal cannot be written--> in doubt --resume--> open        any --close--> closed
 *
 *   1. What is taken in is journaled, and that written, before it is acknowledged.
 *   2. In doubt nothing is taken in and nothing acknowledged, but what there is no room to hold: that is skipped, and counted.
 *   3. Closed, nothing is acknowledged any more: the broker has it for the next central.
 *   4. Messages are taken in in the order in which they came.
 */
export class FrameAcceptor {
  readonly #options: FrameAcceptorOptions;
  readonly #parser: FrameParser;
  readonly #pending = new PendingMessages(PENDING);
  #closed = false;

  constructor(options: FrameAcceptorOptions) {
    this.#options = options;
    this.#parser = new FrameParser(options.base);
  }

  /** Takes one message of an input topic; the promise that it may return resolves when it is to be acknowledged. */
  receive(message: Message): Promise<void> | undefined {
    if (this.#closed) return new Promise(() => {});
    this.resume();
    const { base, tracker, observers } = this.#options;
    if (this.#mayTake()) return this.#take(message);
    void tracker.whenWritten()?.then(() => this.resume());
    const taken = this.#pending.hold(message);
    if (taken === undefined)
      observers.tell('frameSkipped', parseInputTopic(base, message.topic)?.camera ?? '', 'buffers-full');
    return taken;
  }

  /** What waited is taken in, where it may be. */
  resume(): void {
    this.#pending.take(
      () => this.#mayTake(),
      (message) => this.#take(message),
    );
  }

  /** Says why frames of a camera that names a model are not worked on by it; the coordinator skips them. */
  #complainOfRefused(camera: string, models: readonly string[]): void {
    const { refused, throttledLog } = this.#options;
    for (const model of models) {
      const failure = refused.get(model);
      if (failure !== undefined)
        throttledLog.warn(
          `${camera} wants ${model}`,
          `frames of camera ${camera} are not given to model ${model}, which is not served: ${failure.message}`,
        );
    }
  }

  close(): void {
    this.#closed = true;
    this.#pending.close();
  }

  #mayTake(): boolean {
    return this.#options.holds() && this.#options.tracker.whenWritten() === undefined;
  }

  /** Takes a message in or drops it; the promise that it may return resolves when it is to be acknowledged. */
  #take(message: Message): Promise<void> | undefined {
    this.#offer(message);
    return this.#options.tracker.whenWritten();
  }

  #offer(message: Message): void {
    const { cameras, models: served, tracker, observers, throttledLog, keep, tell } = this.#options;
    const received = this.#parser.receive(message, Date.now());
    if (received.kind === 'pending') return;
    if (received.kind === 'skipped') {
      const { camera, reason, failure } = received;
      observers.tell('frameSkipped', camera, reason);
      if (failure !== undefined) {
        const from = camera === '' ? 'nobody who may be a camera' : camera;
        throttledLog.warn(`frame of ${camera}`, `a message of ${from} is no frame: ${failure.message}`);
      }
      return;
    }
    const { arrival } = received;
    const { camera, frame, named, envelope, time } = arrival;
    const options = cameras.options(camera);
    if (options === undefined) {
      observers.tell('frameSkipped', camera, 'no-model');
      return;
    }
    observers.tell('frameArrived', camera);
    cameras.seen(camera, options);
    const ref = keep(arrival);
    const models = options.models.length === 0 ? [...served.keys()] : options.models;
    this.#complainOfRefused(camera, models);
    const taken = Date.now() / 1000;
    const known = models.flatMap((model) => served.get(model) ?? []);
    tracker.offer(
      ref,
      known.map(({ name, manifest, card }) => {
        return { camera, frame, model: name, sha: manifest.skeleton.sha, task: card.task, taken, time };
      }),
    );
    const bytes = envelope.d.byteLength;
    const redelivered = message.redelivered ?? false;
    tell({ type: 'frame-offered', ref, camera, frame, models, bytes, dedupe: named, redelivered });
    tracker.settle(ref);
  }
}
