import type { Crop, Polygon } from './areas.ts';
import type { MotionOptions } from './motion.ts';
import { parseSource, type SourceName } from './source-name.ts';

/** How the pictures of a camera's source are taken. */
export interface SourceSettings {
  readonly source: SourceName;
  /** Pictures a second, at most; undefined: all. */
  readonly fps: number | undefined;
  /** A source without a picture for so long has failed, seconds. */
  readonly quiet_s: number;
  /** Only pictures in which something moved; undefined: all. */
  readonly motion: MotionOptions | undefined;
  readonly crop: Crop | undefined;
  readonly masks: readonly Polygon[];
  /** The shorter side of pictures: what the models need, as the camera sends it, or a number of pixels. */
  readonly resize: 'auto' | 'off' | number;
  /**
   * The SHA-256 of an https camera's own certificate, hex digits; `any`: it is not asked; undefined: an authority that this
   * machine knows has to vouch for it.
   */
  readonly certificate: string | undefined;
}

/** Pictures a second of a source whose `max_fps` is not set: what small clusters compute, and enough to see people. */
export const SOURCE_FPS = 5;

/** The keys of a camera's configuration that say how its source is read. */
export interface ConfiguredSource {
  readonly source?: string | undefined;
  readonly max_fps?: number | undefined;
  readonly offline_after_s?: number | undefined;
  readonly motion?: boolean | undefined;
  readonly motion_share?: number | undefined;
  readonly heartbeat_s?: number | undefined;
  readonly crop?: Crop | undefined;
  readonly masks?: readonly Polygon[] | undefined;
  readonly resize?: SourceSettings['resize'] | undefined;
  readonly certificate?: string | undefined;
}

/** As of a camera that is not listed. */
const QUIET_S = 30;
/** Two cells of a thousand are a person far away. */
const MOTION: MotionOptions = { least: 0.002, heartbeat_s: 10 };

/** How the source of a camera is read. */
export function sourceSettings(source: SourceName, configured: ConfiguredSource): SourceSettings {
  const { max_fps, offline_after_s, motion, motion_share, heartbeat_s, crop, masks, resize, certificate } = configured;
  return {
    source,
    fps: max_fps ?? SOURCE_FPS,
    quiet_s: offline_after_s ?? QUIET_S,
    motion:
      motion === true
        ? { least: motion_share ?? MOTION.least, heartbeat_s: heartbeat_s ?? MOTION.heartbeat_s }
        : undefined,
    crop,
    masks: masks ?? [],
    resize: resize ?? 'auto',
    certificate,
  };
}

/** The settings of a camera in a valid configuration; undefined where it names no source. */
export function configuredSource(configured: ConfiguredSource): SourceSettings | undefined {
  const source = configured.source === undefined ? undefined : parseSource(configured.source);
  return source === undefined || typeof source === 'string' ? undefined : sourceSettings(source, configured);
}
