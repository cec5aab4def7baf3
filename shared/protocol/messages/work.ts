import { codecSpec } from '../../codec/spec.ts';
import { MAX_PARTS, MAX_REGIONS } from '../../plan/limits.ts';
import { z } from '../../schema.ts';
import { count, destinations, imageId, nodeId, text } from './fields.ts';
import { region, regionInfo, regionPlace } from './region.ts';

const tileId = z.object({ t_id: count });
const about = z.object({ v: z.literal(1), plan: text, i_id: imageId, stage: count, attempt: count });

/**
 * A region that a tile reads: inline (`d`), held by the node that gets the work, or sent to it by another node (`from`).
 * Several regions may make up one input.
 */
const workInput = z.union([
  region,
  regionPlace.extend({ held: z.literal(true) }),
  regionPlace.extend({ from: nodeId }),
]);
/** A region that a tile reads. */
export type WorkInput = z.infer<typeof workInput>;

/**
 * A region that a tile makes, and the nodes that it goes to: the sender of the work gets it with the result; a node that
 * is named in its own work keeps it; all others get it in a `tensor` message.
 */
const workOutput = regionPlace.extend({ codec: codecSpec, to: destinations });

/** `work`: run these tiles of one stage of one frame within `budget_ms`. */
export const workMessage = about.extend({
  budget_ms: z.number().nonnegative(),
  tiles: z
    .array(
      tileId.extend({
        in: z.array(workInput).max(MAX_REGIONS),
        out: z.array(workOutput).max(MAX_REGIONS),
      }),
    )
    .min(1)
    .max(MAX_PARTS),
});
/** `work`: run these tiles of one stage of one frame. */
export type WorkMessage = z.infer<typeof workMessage>;

/** The fields of a `work` message that must be valid so that it can be answered; other fields are kept unchecked. */
export const workAddress = about.extend({ tiles: z.array(tileId.loose()).min(1).max(MAX_PARTS) }).loose();
/** Frame, stage and tiles of a `work` message. */
export type WorkAddress = z.infer<typeof workAddress>;

/** Reasons why a node did not compute a tile. */
export const WORK_ERRORS = [
  'expired',
  'busy',
  'unknown-plan',
  'out-of-memory',
  'missing-input',
  'bad-input',
  'run-failed',
] as const;
/** Reason why a node did not compute a tile. */
export type WorkError = (typeof WORK_ERRORS)[number];

/** An output that the node kept or sent to others: its `bytes`, and the `ms` until it was handed to the network. */
const receipt = regionInfo.extend({ bytes: count, ms: z.number().nonnegative() });

/**
 * `result`: the answer to work; per tile outputs or an error. `queue_ms`: from arrival to the start of the first tile.
 */
export const resultMessage = about.extend({
  n_id: nodeId,
  queue_ms: z.number().nonnegative(),
  tiles: z
    .array(
      z.union([
        tileId.extend({
          out: z.array(z.union([region, receipt])).max(MAX_REGIONS),
          compute_ms: z.number().nonnegative(),
        }),
        tileId.extend({
          error: z.object({
            code: z.enum(WORK_ERRORS),
            text,
            /** The inputs that are not there (`missing-input`). */
            regions: z.array(regionPlace).max(MAX_REGIONS).optional(),
          }),
        }),
      ]),
    )
    .max(MAX_PARTS),
});
/** `result`: the answer to work. */
export type ResultMessage = z.infer<typeof resultMessage>;

/**
 * `tensor`: regions that tiles made, from a node that has them to one that reads them. `attempt` is that of the work that
 * made them. Without `stage` they are regions of the frame itself, and the only `t_id` is 0.
 */
export const tensorMessage = about.extend({
  stage: count.optional(),
  tiles: z
    .array(tileId.extend({ out: z.array(region).min(1).max(MAX_REGIONS) }))
    .min(1)
    .max(MAX_PARTS),
});
/** `tensor`: regions from a node that has them to one that reads them. */
export type TensorMessage = z.infer<typeof tensorMessage>;
