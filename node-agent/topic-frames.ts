import { failureOf } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Bus, Log, Message, Unsubscribe } from '../shared/ports.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import type { Topics } from '../shared/protocol/topics.ts';
import { FrameParser } from '../shared/runtime/frame-parser.ts';

/** What `TopicFrames` needs. */
export interface TopicFramesOptions {
  readonly bus: Pick<Bus, 'subscribe'>;
  readonly topics: Topics;
  readonly log: Log;
}

/** Frames of topics that are kept until central says which are accepted; beyond this the oldest is dropped. */
const LIMITS = { frames: 64, bytes: 32e6 } as const;
/** A frame that central has accepted may still be on its way here for so long, ms. */
const PATIENCE_MS = 500;
/** A camera's topic is not read any more when no frame of it was asked for in this time, ms. */
const UNUSED_MS = 60_000;

/**
 * The frames of cameras whose topics this node reads itself, since a plan says so (`source: topic`). A camera's topic is
 * read from the first time that central asks for a frame of it, which therefore is not here.
 */
export class TopicFrames {
  readonly #options: TopicFramesOptions;
  readonly #parser: FrameParser;
  readonly #throttledLog: LogThrottle;
  /** By camera and frame, the oldest first. */
  readonly #frames = new Map<string, FrameEnvelope>();
  #bytes = 0;
  /** Who waits for a frame that is on its way. */
  readonly #waiting = new Map<string, (frame: FrameEnvelope) => void>();
  /** By camera, its subscription, and the timer that ends it. */
  readonly #watched = new Map<string, { readonly subscribed: Promise<Unsubscribe>; readonly timer: NodeJS.Timeout }>();

  constructor(options: TopicFramesOptions) {
    this.#options = options;
    this.#parser = new FrameParser(options.topics.base);
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
  }

  /** A frame of a camera's topic; undefined where it is not here. */
  async take(camera: string, frame: string): Promise<FrameEnvelope | undefined> {
    if (!this.#watch(camera)) return undefined;
    const name = `${camera} ${frame}`;
    const here = this.#frames.get(name);
    if (here !== undefined) return here;
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#waiting.delete(name);
        resolve(undefined);
      }, PATIENCE_MS);
      this.#waiting.set(name, (found) => {
        clearTimeout(late);
        resolve(found);
      });
    });
  }

  stop(): void {
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
    this.#watched.clear();
  }

  /** Reads a camera's topic; false where that has only just begun. */
  #watch(camera: string): boolean {
    const { bus, topics } = this.#options;
    const filter = `${topics.input(camera)}/#`;
    const watched = this.#watched.get(camera);
    clearTimeout(watched?.timer);
    const subscribed = watched?.subscribed ?? bus.subscribe(filter, 0, (message) => this.#receive(message));
    const end = (): void => {
      this.#watched.delete(camera);
      void subscribed.then((unsubscribe) => unsubscribe()).catch(() => {});
    };
    this.#watched.set(camera, { subscribed, timer: setTimeout(end, UNUSED_MS).unref() });
    if (watched !== undefined) return true;
    subscribed.catch((error: unknown) => {
      const text = `frames of camera ${camera} come from central, since the broker does not let this node read them`;
      this.#throttledLog.warn(`watch ${camera}`, `${text}: ${failureOf(error).message}`);
    });
    return false;
  }

  #receive(message: Message): void {
    const received = this.#parser.receive(message, Date.now());
    if (received.kind !== 'frame') return;
    const { camera, frame, envelope } = received.arrival;
    const name = `${camera} ${frame}`;
    const owned = { ...envelope, d: new Uint8Array(envelope.d) };
    this.#drop(name);
    this.#frames.set(name, owned);
    this.#bytes += owned.d.byteLength;
    for (const oldest of this.#frames.keys()) {
      if (this.#frames.size <= LIMITS.frames && this.#bytes <= LIMITS.bytes) break;
      this.#drop(oldest);
    }
    const wanted = this.#waiting.get(name);
    this.#waiting.delete(name);
    wanted?.(owned);
  }

  #drop(name: string): void {
    this.#bytes -= this.#frames.get(name)?.d.byteLength ?? 0;
    this.#frames.delete(name);
  }
}
