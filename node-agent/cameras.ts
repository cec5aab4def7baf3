import type { Source } from '../shared/camera/source.ts';
import { failureOf } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import { adviceFor, describeBytes, payloadKind } from '../shared/model/payload-kind.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import type { Bus, Log } from '../shared/ports.ts';
import type { BornFrameMessage, BornFrameOrder, FrameAnnounced } from '../shared/protocol/messages/born-frame.ts';
import type { SourceReport } from '../shared/protocol/messages/camera.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import { NodeFrames } from './node-frames.ts';

/** A camera of this machine, being read. */
export interface OpenCamera {
  readonly name: string;
  readonly source: Source;
}

/** What `NodeCameras` needs. */
export interface NodeCamerasOptions {
  readonly cameras: readonly OpenCamera[];
  /** Identifies this run of the node: frames of two runs have different ids. */
  readonly bootId: string;
  readonly bus: Pick<Bus, 'connected' | 'onConnect'>;
  /** Resolves once the broker has the message. */
  readonly send: (message: BornFrameMessage) => Promise<unknown>;
  /** The epoch of the central that this node follows. */
  readonly epoch: () => number;
  /** Decodes a picture as the input of a plan's network, and holds it for parts of the frame. */
  readonly hold: (i_id: string, plan: string, frame: FrameEnvelope) => Promise<void>;
  /** A frame of a topic that this node reads itself; undefined where it is not here. */
  readonly fromTopic: (camera: string, frame: string) => Promise<FrameEnvelope | undefined>;
  /** What was held for a frame is not needed any more. */
  readonly free: (i_id: string) => void;
  readonly log: Log;
}

/** Frames that are kept until central needs them no more: as many as central queues of one camera, in 64 MB. */
const LIMITS = { frames: 1024, bytes: 64e6 } as const;
const LOOK_MS = 1000;

/**
 * The cameras of this machine: their frames are announced to central, and stay here until central has them moved.
 *
 *   reading --source ends--> ended; any --stop--> stopped
 *
 * Nothing is announced without a connection, where it would pile up; afterwards frames that are still here are.
 */
export class NodeCameras {
  readonly #options: NodeCamerasOptions;
  readonly #frames = new NodeFrames(LIMITS);
  readonly #throttledLog: LogThrottle;
  readonly #look: NodeJS.Timeout;
  /** Orders whose answers are not at the broker yet: a repeated one needs no other answer. */
  readonly #answering = new Set<string>();
  #isStopped = false;

  constructor(options: NodeCamerasOptions) {
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
    for (const camera of options.cameras) void this.#read(camera);
    options.bus.onConnect(() => {
      this.#frames.connected(performance.now());
      this.#lookAgain();
    });
    this.#look = setInterval(() => this.#lookAgain(), LOOK_MS).unref();
  }

  /** Carries out an order of central. */
  receive(from: string, order: BornFrameOrder): boolean {
    if (from !== CENTRAL) return false;
    if (order.type === 'kept') this.#frames.kept(order.camera, order.frame, performance.now());
    else if (order.type === 'done') this.#frames.done(order.camera, order.frame);
    else if (order.type === 'free') {
      this.#frames.free(order.i_id);
      this.#options.free(order.i_id);
    } else void this.#accepted(order);
    return true;
  }

  /** Tells central what the source of a camera is doing; while it cannot hear it, the next report says so. */
  report(camera: string, report: SourceReport): void {
    if (this.#options.bus.connected) void this.#send({ type: 'source', v: 1, camera, report });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#look);
    await Promise.all(this.#options.cameras.map(({ source }) => source.stop()));
  }

  async #accepted(order: Extract<BornFrameOrder, { type: 'open' | 'take' }>): Promise<void> {
    const name = `${order.type} ${order.i_id}`;
    if (this.#answering.has(name)) return;
    this.#answering.add(name);
    await this.#send(await this.#answer(order));
    this.#answering.delete(name);
  }

  async #answer(order: Extract<BornFrameOrder, { type: 'open' | 'take' }>): Promise<BornFrameMessage> {
    const { i_id, camera } = order;
    const born = this.#frames.accepted(camera, order.frame, i_id, performance.now());
    try {
      if (order.type === 'take') {
        if (born === undefined) throw notHere(camera, order.frame);
        return { type: 'file', v: 1, i_id, format: born.about.format, d: born.d };
      }
      const frame = born ?? (await this.#options.fromTopic(camera, order.frame));
      if (frame === undefined) throw notHere(camera, order.frame);
      const picture = 'about' in frame ? { v: 1 as const, format: frame.about.format, d: frame.d } : frame;
      await this.#options.hold(i_id, order.plan, picture);
      return { type: 'opened', v: 1, i_id };
    } catch (error) {
      const { code, message } = failureOf(error);
      return { type: 'failed', v: 1, i_id, code, text: message.slice(0, 1000) };
    }
  }

  async #read({ name, source }: OpenCamera): Promise<void> {
    const { bootId, log } = this.#options;
    try {
      for (let count = 0; ; count++) {
        const shot = await source.next();
        if (shot === undefined || this.#isStopped) break;
        await this.#announce(name, `${shot.id.slice(0, 64)}-${bootId.slice(0, 8)}-${count}`, shot.bytes);
      }
    } catch (error) {
      // A stream that is closed while it is read fails.
      if (!this.#isStopped) log.error(`camera ${name} has ended: ${failureOf(error).message}`);
    }
  }

  async #announce(camera: string, frame: string, d: Uint8Array): Promise<void> {
    const format = payloadKind(d);
    if (format !== 'jpeg' && format !== 'png') {
      const text = `a frame of camera ${camera} is ${describeBytes(d)}: ${adviceFor(d, 'file')}`;
      this.#throttledLog.warn(`format ${camera}`, text);
      return;
    }
    const { pictureSize } = await import('../shared/runtime/image.ts');
    const size = await pictureSize(d).catch((error: unknown) => {
      this.#throttledLog.warn(`size ${camera}`, `a frame of camera ${camera} is skipped: ${failureOf(error).message}`);
    });
    if (size === undefined) return;
    const { width, height } = size;
    const about = { type: 'announced', v: 1, camera, frame, time: Date.now() / 1000, format, width, height } as const;
    const announced = { ...about, bytes: d.byteLength };
    if (this.#frames.add({ about: announced, d }, performance.now())) this.#announceNow(announced);
    else this.#throttledLog.warn(`room ${camera}`, `frames of camera ${camera} are dropped: central takes none`);
  }

  #lookAgain(): void {
    const now = performance.now();
    this.#frames.follow(this.#options.epoch(), now);
    if (this.#options.bus.connected) for (const about of this.#frames.due(now)) this.#announceNow(about);
  }

  #announceNow(about: FrameAnnounced): void {
    if (this.#options.bus.connected) void this.#send(about);
  }

  async #send(message: BornFrameMessage): Promise<void> {
    try {
      await this.#options.send(message);
    } catch (error) {
      this.#throttledLog.warn('frame', `a frame message could not be sent: ${error}`);
    }
  }
}

function notHere(camera: string, frame: string): Error {
  return new Error(`frame ${frame} of camera ${camera} is not here`);
}
