import { LogThrottle } from '../../log-throttle.ts';
import type { Bus, Log } from '../../ports.ts';
import type { SourceReport } from '../../protocol/messages/camera.ts';
import type { SourceSettings } from '../source-settings.ts';
import { LiveCamera } from './live-camera.ts';
import { openSource } from './open-source.ts';
import type { PictureWork } from './picture-work.ts';

/** What a camera with a source needs of its process. */
export interface CameraDeps {
  readonly bus: Bus | undefined;
  /** Shared by the cameras of a process. */
  readonly work: PictureWork;
  /** The shorter side that the models need of whole pictures, pixels; undefined: not known. */
  readonly needed: () => number | undefined;
  readonly onReport: (report: SourceReport) => void;
  readonly log: Log;
}

/** Starts to read a camera's source, until it is stopped. */
export function openCamera(name: string, settings: SourceSettings, deps: CameraDeps): LiveCamera {
  const { bus, work, needed, onReport, log } = deps;
  const { source, quiet_s, certificate, resize, crop } = settings;
  const throttledLog = new LogThrottle(log, () => performance.now());
  const skipped = (why: string): void => throttledLog.warn(name, `camera ${name} skips a picture: ${why}`);
  const side = (): number | undefined => {
    if (resize !== 'auto') return resize === 'off' ? undefined : resize;
    const least = needed();
    if (least === undefined) return undefined;
    // What is cropped off does not count for the models.
    const share = crop === undefined ? 1 : Math.min(crop[2] - crop[0], crop[3] - crop[1]);
    return Math.max(LEAST_SIDE, Math.ceil((FINER * least) / share));
  };
  // A camera that is read so seldom would be taken for a silent one; what is too much waits for its turn here.
  const fps = settings.fps && Math.max(settings.fps, LEAST_PICTURES / quiet_s);
  const open = () => openSource(source, { fps, side: side(), certificate }, { bus, skipped });
  return new LiveCamera({ name, settings, open, work, side, onReport, log });
}

/** Pictures of a source in the time after which it is taken for silent, at least. */
const LEAST_PICTURES = 3;
/** What the models need, times this: what they found is looked at enlarged, and scaling twice costs sharpness. */
const FINER = 2;
/** Pictures are not made smaller than this on their way to the models, pixels: people look at them too. */
const LEAST_SIDE = 480;
