import { z } from '../../shared/schema.ts';

/** The kinds of devices in Home Assistant. */
export const DEVICE_KINDS = ['central', 'camera', 'node'] as const;

const keptDevice = z.object({
  kind: z.enum(DEVICE_KINDS),
  /** The camera's or node's id. */
  name: z.string(),
  /** Whether it is a camera of the configuration. */
  listed: z.boolean(),
  /** When it was last there, Unix s. */
  seen: z.number(),
  /** Of a camera: the labels that were seen, by model. */
  labels: z.record(z.string(), z.array(z.string())),
  /** What was published of it: the platform of each component, by key. */
  components: z.record(z.string(), z.string()),
});
/** A device that Home Assistant was told of. */
export type KeptDevice = z.infer<typeof keptDevice>;

/** What was published, by the discovery topic; kept, so that what is gone can be cleared. */
export const keptDevices = z.record(z.string(), keptDevice);
/** What was published, by the discovery topic. */
export type KeptDevices = z.infer<typeof keptDevices>;

/** An unlisted camera or a node that was not there for so long is cleared at the next start, s. */
export const FORGET_S = 7 * 86_400;
/** Labels of a camera and model that have entities of their own, where the configuration lists none. */
export const MAX_ENTITY_LABELS = 20;

/**
 * Whether a device that was published before is cleared at the start: a camera that was listed and is not any more, or
 * one that has not been there for a week. `now`: Unix s.
 */
export function isStale({ kind, name, listed, seen }: KeptDevice, cameras: readonly string[], now: number): boolean {
  if (kind === 'central' || (kind === 'camera' && cameras.includes(name))) return false;
  return listed || now - seen > FORGET_S;
}
