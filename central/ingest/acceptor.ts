import type { Failure } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Message } from '../../shared/ports.ts';
import type { Task } from '../../shared/protocol/messages/result.ts';
import { parseInputTopic } from '../../shared/protocol/topics.ts';
import { type Arrival, FrameParser } from '../../shared/runtime/frame-parser.ts';
import type { FrameOffered } from '../coordinator/events.ts';
import type { FrameTracker } from '../journal/frame-tracker.ts';
import type { Observers } from '../observers/observers.ts';
import type { CameraSettings } from '../settings/camera-settings.ts';
import type { BornOffer } from './born-frames.ts';
import type { Cameras } from './cameras.ts';
import { PendingMessages } from './pending.ts';

/** What the journal needs of a frame's model. */
interface FrameModel {
  readonly name: string;
  readonly manifest: { readonly skeleton: { readonly sha: string } };
  readonly card: { readonly task: Task };
}

/** What `FrameAcceptor` needs. */
export interface FrameAcceptorOptions {
  readonly base: string;
  readonly cameras: Pick<Cameras, 'options' | 'seen' | 'mayComeFrom'>;
  readonly settings: Pick<CameraSettings, 'isOn' | 'model'>;
  readonly models: ReadonlyMap<string, FrameModel>;
  /** Models that were to be served and cannot be, and why. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly tracker: Pick<FrameTracker, 'offer' | 'settle' | 'whenWritten'>;
  readonly observers: Pick<Observers, 'tell'>;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
  /** Whether this central is the active one at this moment. */
  readonly holds: () => boolean;
  /** Keeps a frame that is offered; returns its ref. */
  readonly keep: (arrival: Arrival) => string;
  /** Tells the coordinator. */
  readonly tell: (event: FrameOffered) => void;
}

/** Messages that wait while none may be accepted. */
const PENDING = { messages: 256, bytes: 64e6 };

/**
 * Accepts frames from cameras, at least once each: a message that is not acknowledged is delivered again by the broker, to
 * this central or to the next one.
 *
 *   open --`holds` is false, or the journal cannot be written--> paused --resume--> open        any --close--> closed
 *
 *   1. The journal has an accepted frame before the message is acknowledged.
 *   2. While paused no message is accepted or acknowledged, with one exception: a message beyond the limit of waiting ones
 *      is skipped and counted.
 *   3. After `close` no message is acknowledged.
 *   4. Messages are accepted in the order in which they came.
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

  /** Handles a message of an input topic. Acknowledge the message now, or when the returned promise resolves. */
  receive(message: Message): Promise<void> | undefined {
    if (this.#closed) return new Promise(() => {});
    this.resume();
    const { base, tracker, observers } = this.#options;
    if (this.#mayAccept()) return this.#accept(message);
    void tracker.whenWritten()?.then(() => this.resume());
    const accepted = this.#pending.add(message);
    if (accepted === undefined)
      observers.tell('frameSkipped', parseInputTopic(base, message.topic)?.camera ?? '', 'buffers-full');
    return accepted;
  }

  /** Offers a frame that was born at a node; resolves once the journal has it, where it is kept. */
  async receiveBorn(arrival: Arrival, isRepeated: boolean): Promise<BornOffer> {
    if (this.#closed) return 'later';
    this.resume();
    if (!this.#mayAccept()) return 'later';
    if (!this.#offerArrival(arrival, isRepeated)) return 'refused';
    await this.#options.tracker.whenWritten();
    return 'kept';
  }

  /**
   * Offers a picture that central read itself; resolves once the journal has it. One that may not be accepted now is
   * skipped: a newer one comes.
   */
  async receiveFed(arrival: Arrival): Promise<void> {
    const { tracker, observers, holds } = this.#options;
    await tracker.whenWritten();
    if (this.#closed) return;
    if (!holds()) observers.tell('frameSkipped', arrival.camera, 'buffers-full');
    else if (this.#offerArrival(arrival, false, CENTRAL)) await tracker.whenWritten();
  }

  /** Accepts the waiting messages, as far as possible. */
  resume(): void {
    this.#pending.drain(
      () => this.#mayAccept(),
      (message) => this.#accept(message),
    );
  }

  /** Logs why frames of a camera that is configured for models that are not served are skipped. */
  #logUnserved(camera: string, models: readonly string[]): void {
    const { models: served, refused, throttledLog } = this.#options;
    for (const model of models) {
      if (served.has(model)) continue;
      const why = refused.get(model)?.message ?? `central serves ${[...served.keys()].join(', ') || 'none'} so far`;
      throttledLog.warn(
        `${camera} wants ${model}`,
        `frames of camera ${camera} are not given to model ${model}, which is not served: ${why}`,
      );
    }
  }

  close(): void {
    this.#closed = true;
    this.#pending.close();
  }

  #mayAccept(): boolean {
    return this.#options.holds() && this.#options.tracker.whenWritten() === undefined;
  }

  /** As `receive`, for a message that may be accepted now. */
  #accept(message: Message): Promise<void> | undefined {
    this.#offer(message);
    return this.#options.tracker.whenWritten();
  }

  #offer(message: Message): void {
    const { observers, throttledLog } = this.#options;
    const received = this.#parser.receive(message, Date.now());
    if (received.kind === 'pending') return;
    if (received.kind === 'skipped') {
      const { camera, reason, failure } = received;
      observers.tell('frameSkipped', camera, reason);
      if (failure !== undefined) {
        const from = camera === '' ? 'on no valid input topic' : `from camera ${camera}`;
        throttledLog.warn(`frame of ${camera}`, `a message ${from} is not a frame: ${failure.message}`);
      }
      return;
    }
    this.#offerArrival(received.arrival, message.redelivered ?? false);
  }

  /** False where frames of the camera, or of the node that took them, are not accepted, or the camera is switched off. */
  #offerArrival(arrival: Arrival, redelivered: boolean, node = arrival.born?.node): boolean {
    const { cameras, settings, models: served, tracker, observers, throttledLog, keep, tell } = this.#options;
    const { camera, frame, named, envelope, time, born } = arrival;
    const options = cameras.options(camera);
    if (options === undefined) {
      observers.tell('frameSkipped', camera, 'no-model');
      return false;
    }
    if (!cameras.mayComeFrom(camera, node)) {
      observers.tell('frameSkipped', camera, 'invalid');
      const from = born === undefined ? 'its topic' : `node ${born.node}`;
      const text = `a frame of camera ${camera} comes from ${from}: its frames come from elsewhere, or \`cameras.${camera}.node\` or \`source\` must say so`;
      throttledLog.warn(`source of ${camera}`, text);
      return false;
    }
    observers.tell('frameArrived', camera);
    cameras.seen(camera, options, node);
    if (!settings.isOn(camera, 'detect')) {
      observers.tell('frameSkipped', camera, 'switched-off');
      return false;
    }
    const ref = keep(arrival);
    const only = settings.model(camera);
    const models = only !== undefined ? [only] : options.models.length === 0 ? [...served.keys()] : options.models;
    this.#logUnserved(camera, models);
    const acceptedAt = Date.now() / 1000;
    const known = models.flatMap((model) => served.get(model) ?? []);
    tracker.offer(
      ref,
      known.map(({ name, manifest, card }) => {
        return { camera, frame, model: name, sha: manifest.skeleton.sha, task: card.task, acceptedAt, time };
      }),
    );
    const bytes = envelope.d.byteLength;
    const at = born === undefined ? {} : { born: born.node };
    const layout = envelope.format === 'tensor' ? undefined : options.sections;
    const detectors = known.filter(({ card }) => card.task === 'detect').map(({ name }) => name);
    const sections = layout === undefined ? {} : { sections: { models: detectors, layout } };
    tell({ type: 'frame-offered', ref, camera, frame, models, bytes, dedupe: named, redelivered, ...at, ...sections });
    tracker.settle(ref);
    return true;
  }
}
