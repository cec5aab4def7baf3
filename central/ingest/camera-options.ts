import type { SourceSettings } from '../../shared/camera/source-settings.ts';
import type { CameraTopic, ObjectOptions, TopicOptions } from '../../shared/config/camera-topics.ts';
import type { SectionLayout } from '../../shared/model/sections.ts';
import type { CameraPolicy } from '../coordinator/options.ts';

/** Options of one camera, beside the coordinator's policy. */
export interface CameraOptions extends Partial<CameraPolicy> {
  /** Models that the camera's frames go to; empty: all that are served. */
  readonly models: readonly string[];
  /** Results that must agree before the label changes. */
  readonly hold: number;
  readonly offline_after_s: number;
  /** Least score of predictions that count for label, counts and events. */
  readonly threshold?: number;
  readonly objects?: ObjectOptions;
  readonly publish?: Readonly<Record<CameraTopic, TopicOptions>>;
  /** Sections of its pictures that detectors see as frames of their own; absent: they see the whole picture. */
  readonly sections?: SectionLayout | undefined;
  /** Not shown in Home Assistant. */
  readonly isHidden?: boolean;
  /** The node where its frames are born; absent: they come from its topic. */
  readonly node?: string | undefined;
  /** Its source, which central reads itself. */
  readonly feed?: SourceSettings | undefined;
}

/** The part of a camera's options that the coordinator obeys, with another rate; what is not set has its default. */
export function policyOf(options: CameraOptions | undefined, max_fps: number): Partial<CameraPolicy> {
  const { keep, queue_max, deadline, deadline_ms } = options ?? {};
  const set = Object.entries({ keep, queue_max, deadline, deadline_ms }).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(set), max_fps };
}
