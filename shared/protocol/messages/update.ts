import { z } from '../../schema.ts';
import { MAX_RELEASE_TEXT } from '../../update/release.ts';
import { isVersion } from '../../update/version-order.ts';
import { count, nodeId, text } from './fields.ts';

const version = text.refine(isVersion, 'expected a version such as 1.2.3');

/** A release for a platform: the signed text, its signature in base64url, and where its archive is. */
const offered = z.object({
  text: z.string().max(MAX_RELEASE_TEXT),
  signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/),
  url: z
    .string()
    .max(512)
    .regex(/^https?:\/\//, 'expected http:// or https://'),
});
/** A release for a platform, as it is announced. */
export type OfferedRelease = z.infer<typeof offered>;

const wanted = {
  action: z.enum(['install', 'rollback']),
  /** The version to install, or the one that nodes are to leave. */
  version,
  /** By platform, as `linux-arm64`. */
  releases: z.record(z.string().max(32), offered),
  /** Absent: every node. */
  nodes: z.array(nodeId).max(1024).optional(),
  /** So many nodes first; the others follow when these have kept it. */
  canary: count,
  /** Share of the nodes, percent. */
  rollout: z.number().min(0).max(100),
  paused: z.boolean(),
};

/**
 * `<base>/update`: what the active central wants nodes to run. Nodes of `prepare` may download it, those of `turn` may
 * start it, as soon as they have no work.
 */
export const updateManifest = z.object({
  v: z.literal(1),
  ...wanted,
  /** When it was asked for, Unix seconds; what failed is tried again where it is asked for again. */
  since: z.number(),
  /** Why it is paused. */
  reason: text.optional(),
  prepare: z.array(nodeId).max(1024),
  turn: z.array(nodeId).max(1024),
});
/** What nodes are to run. */
export type UpdateManifest = z.infer<typeof updateManifest>;

/** How far a node is with an update. */
export const UPDATE_STATES = [
  'idle',
  'downloading',
  'testing',
  'ready',
  'switching',
  'trial',
  'failed',
  'refused',
] as const;

/**
 * `<base>/node/<node>/update`: `version` is the one that runs. `bytes` of `of` are downloaded; `to` is the version that
 * it is about, and `text` why it failed or was refused. `previous` is the one that a roll-back leads to.
 */
export const updateReport = z.object({
  v: z.literal(1),
  version: text,
  state: z.enum(UPDATE_STATES),
  to: text.optional(),
  bytes: count.optional(),
  of: count.optional(),
  text: text.optional(),
  previous: text.optional(),
  /** `since` of the announcement that it is about. */
  since: z.number().optional(),
});
/** How far a node is with an update. */
export type UpdateReport = z.infer<typeof updateReport>;

/**
 * `<base>/node/<node>/version` and `<base>/central/central/version`: the version that runs and the one that is announced
 * for it, in the form of Home Assistant's entity `update`.
 */
export const versionState = z.object({
  v: z.literal(1),
  installed_version: text,
  latest_version: text,
  in_progress: z.boolean(),
  /** Of the download; null where nothing is downloaded. */
  update_percentage: z.number().min(0).max(100).nullable(),
});
/** The version that runs, and the one that is announced. */
export type VersionState = z.infer<typeof versionState>;

/** `<base>/request/update`: replaces what is wanted, or changes `paused` of it. */
export const updateRequest = z.object({
  transaction: text,
  want: z.object(wanted).optional(),
  paused: z.boolean().optional(),
});
/** A request to update nodes. */
export type UpdateRequest = z.infer<typeof updateRequest>;

/** `data` of the answer to `update`: what is announced now. */
export const updateAnswer = z.object({ update: updateManifest });
/** What is announced now. */
export type UpdateAnswer = z.infer<typeof updateAnswer>;
