import type { LiveCamera } from '../../shared/camera/live/live-camera.ts';
import { openCamera } from '../../shared/camera/live/open-camera.ts';
import { PictureWork } from '../../shared/camera/live/picture-work.ts';
import type { Shot } from '../../shared/camera/source.ts';
import type { SourceSettings } from '../../shared/camera/source-settings.ts';
import { LogThrottle } from '../../shared/log-throttle.ts';
import { describeBytes, payloadKind } from '../../shared/model/payload-kind.ts';
import { neededSide } from '../../shared/model/picture-placement.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import type { Arrival } from '../../shared/runtime/frame-parser.ts';
import type { ServedModel } from '../served-model.ts';
import type { CameraSettings } from '../settings/camera-settings.ts';
import type { FrameAcceptor } from './acceptor.ts';
import type { CameraOptions } from './camera-options.ts';
import type { Cameras } from './cameras.ts';

/** What `CameraFeeds` needs. */
export interface CameraFeedsOptions {
  /** Cameras whose sources central reads. */
  readonly cameras: ReadonlyMap<string, SourceSettings>;
  readonly open: (camera: string, settings: SourceSettings) => Pick<LiveCamera, 'next' | 'stop'>;
  /** The thread that works with pixels; ends with the feeds. */
  readonly work: { stop(): Promise<void> };
  /** Pictures a second of a camera, at most, as its setting says now; 0: all. */
  readonly rate: (camera: string) => number;
  /** Offers a picture; resolves once the next one may come. */
  readonly offer: (arrival: Arrival) => Promise<void>;
  /** Makes frame ids unique among the runs of central. */
  readonly epoch: number;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
}

/**
 * The cameras whose sources the active central reads; their pictures take the way of all frames.
 *
 *   closed --start--> reading --stop--> closed, for good
 */
export class CameraFeeds {
  readonly #options: CameraFeedsOptions;
  readonly #open = new Map<string, Pick<LiveCamera, 'next' | 'stop'>>();
  /** Makes frame ids unique in this run. */
  #count = 0;
  #isReading = false;

  constructor(options: CameraFeedsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#isReading = true;
    for (const name of this.#options.cameras.keys()) this.#begin(name);
  }

  /** The rate of a camera was changed: its source is opened again with the new one. */
  rateChanged(camera: string): void {
    const before = this.#open.get(camera);
    if (before === undefined || !this.#isReading) return;
    this.#open.delete(camera);
    void before.stop().then(() => this.#begin(camera));
  }

  async stop(): Promise<void> {
    this.#isReading = false;
    await Promise.all([...this.#open.values()].map((camera) => camera.stop()));
    await this.#options.work.stop();
  }

  #begin(name: string): void {
    if (!this.#isReading) return;
    const { cameras, rate, open } = this.#options;
    const fps = rate(name);
    const camera = open(name, { ...cameras.get(name)!, fps: fps === 0 ? undefined : fps });
    this.#open.set(name, camera);
    void this.#read(name, camera);
  }

  async #read(name: string, camera: Pick<LiveCamera, 'next'>): Promise<void> {
    for (;;) {
      const shot = await camera.next();
      if (shot === undefined) return;
      const arrival = this.#arrival(name, shot);
      if (arrival !== undefined) await this.#options.offer(arrival);
    }
  }

  #arrival(camera: string, { id, bytes }: Shot): Arrival | undefined {
    const { epoch, throttledLog } = this.#options;
    const format = payloadKind(bytes);
    if (format !== 'jpeg' && format !== 'png') {
      throttledLog.warn(`format ${camera}`, `a picture of camera ${camera} is skipped: it is ${describeBytes(bytes)}`);
      return undefined;
    }
    const frame = `${id.slice(0, 64)}-${epoch}-${this.#count++}`;
    return { camera, frame, named: true, time: Date.now() / 1000, envelope: { v: 1, format, d: bytes } };
  }
}

/** What feeds need of an active central. */
export interface FeedsOfCentral {
  readonly cameras: Readonly<Record<string, CameraOptions>>;
  readonly known: Pick<Cameras, 'reported'>;
  readonly acceptor: Pick<FrameAcceptor, 'receiveFed'>;
  readonly settings: Pick<CameraSettings, 'number'>;
  readonly models: ReadonlyMap<string, Pick<ServedModel, 'manifest'>>;
  /** For cameras whose source is a topic. */
  readonly bus: Bus;
  readonly epoch: number;
  readonly log: Log;
}

/** The feeds of an active central, closed. */
export function feedsOf({ cameras, known, acceptor, settings, models, bus, epoch, log }: FeedsOfCentral): CameraFeeds {
  const work = new PictureWork();
  const fed = Object.entries(cameras).flatMap(([name, { feed }]) => (feed ? [[name, feed] as const] : []));
  return new CameraFeeds({
    cameras: new Map(fed),
    open: (camera, source) => {
      const { models: names, sections } = cameras[camera]!;
      // Sections are cut from the picture as the camera takes it.
      const needed = (): number | undefined => (sections === undefined ? sideFor(names, models) : undefined);
      const onReport = (report: SourceReport): void => known.reported(camera, CENTRAL, report);
      return openCamera(camera, source, { bus, work, needed, onReport, log });
    },
    work,
    rate: (camera) => settings.number(camera, 'max_fps'),
    offer: (arrival) => acceptor.receiveFed(arrival),
    epoch,
    throttledLog: new LogThrottle(log, () => performance.now()),
  });
}

/** The shorter side of pictures that these models need (no names: all), pixels; undefined where none takes pictures. */
function sideFor(names: readonly string[], models: FeedsOfCentral['models']): number | undefined {
  const wanted = names.length === 0 ? [...models.values()] : names.flatMap((name) => models.get(name) ?? []);
  const sides = wanted.flatMap(({ manifest: { picture } }) => (picture ? [neededSide(picture)] : []));
  return sides.length === 0 ? undefined : Math.max(...sides);
}
