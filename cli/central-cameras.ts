import type { CentralOptions } from '../central/central-options.ts';
import { configuredSource } from '../shared/camera/source-settings.ts';
import { CAMERA_DEFAULTS, type CameraConfig, type Config } from '../shared/config/schema.ts';
import { CENTRAL } from '../shared/plan/plan.ts';

/** The camera that frames of `tessera infer --broker` come from. */
export const INFER_CAMERA = 'infer';

const OFF = { on: false, interval_s: 0 } as const;
/** Its pictures have nothing to do with one another. */
const PUBLISH = { ...CAMERA_DEFAULTS.publish, count: OFF, event: OFF, snapshot: OFF, crop: OFF };

/**
 * The cameras of a configuration as central has them, and that of `infer` where unlisted ones are accepted: several
 * people may ask at once, each waits for an answer, and no frame may take the place of another.
 */
export function centralCameras({ cameras, accept_unlisted_cameras }: Config): CentralOptions['cameras'] {
  const listed = Object.fromEntries(Object.entries(cameras).map(([name, camera]) => [name, centralCamera(camera)]));
  if (!accept_unlisted_cameras) return listed;
  return {
    [INFER_CAMERA]: { models: [], hold: 1, offline_after_s: 30, keep: 'every', publish: PUBLISH, isHidden: true },
    ...listed,
  };
}

/** Central reads the sources of cameras that are at no other node. */
function centralCamera(configured: CameraConfig): CentralOptions['cameras'][string] {
  const {
    source,
    motion: _,
    motion_share: __,
    heartbeat_s: ___,
    crop: ____,
    masks: _____,
    resize: ______,
    ...rest
  } = configured;
  if (source === undefined || (rest.node !== undefined && rest.node !== CENTRAL)) return rest;
  const feed = configuredSource(configured);
  return { ...rest, max_fps: feed?.fps, node: CENTRAL, feed };
}
