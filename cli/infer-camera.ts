import type { CentralOptions } from '../central/central-options.ts';
import { CAMERA_DEFAULTS } from '../shared/config/schema.ts';

/** The camera that frames of `tessera infer --broker` come from. */
export const INFER_CAMERA = 'infer';

const OFF = { on: false, interval_s: 0 } as const;
/** Its pictures have nothing to do with one another. */
const PUBLISH = { ...CAMERA_DEFAULTS.publish, count: OFF, event: OFF, snapshot: OFF, crop: OFF };

/**
 * The cameras of a configuration, and that of `infer` where unlisted ones are accepted: several people may ask at once,
 * each waits for an answer, and no frame may take the place of another.
 */
export function camerasWithInfer(
  cameras: CentralOptions['cameras'],
  acceptUnlistedCameras: boolean,
): CentralOptions['cameras'] {
  if (!acceptUnlistedCameras) return cameras;
  return {
    [INFER_CAMERA]: { models: [], hold: 1, offline_after_s: 30, keep: 'every', publish: PUBLISH, isHidden: true },
    ...cameras,
  };
}
