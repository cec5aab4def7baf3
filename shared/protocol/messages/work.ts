import { codecSpec } from '../../codec/spec.ts';
import { MAX_PARTS, MAX_STAGE_TENSORS } from '../../plan/limits.ts';
import { z } from '../../schema.ts';
import { box, count, imageId, nodeId, tensorName, text } from './fields.ts';
import { region, regionInfo } from './region.ts';

/** Most nodes that one output may go to. */
const MAX_DESTINATIONS = 64;
/** Most regions in one `tensor` message. */
const MAX_REGIONS = 4096;

const tileId = z.object({ t_id: count });
const about = z.object({ v: z.literal(1), plan: text, i_id: imageId, stage: count, attempt: count });

/** An input: inline (`d`), held by the node already, or awaited from another node (`from`). */
const workInput = z.union([region, regionInfo.extend({ held: z.literal(true) }), regionInfo.extend({ from: nodeId })]);

/** An output and the nodes that it is sent to; for those other than the sender of the work it gets a receipt. */
const workOutput = z.object({
  tensor: tensorName,
  box,
  codec: codecSpec,
  to: z.array(nodeId).min(1).max(MAX_DESTINATIONS),
});

/** `work`: run these tiles of one stage of one frame within `budget_ms`. */
export const workMessage = about.extend({
  budget_ms: z.number().nonnegative(),
  tiles: z
    .array(
      tileId.extend({
        in: z.array(workInput).max(MAX_STAGE_TENSORS),
        out: z.array(workOutput).max(MAX_STAGE_TENSORS),
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
export const WORK_ERRORS = ['expired', 'busy', 'unknown-plan', 'out-of-memory', 'bad-input', 'run-failed'] as const;
/** Reason why a node did not compute a tile. */
export type WorkError = (typeof WORK_ERRORS)[number];

/** An output that was sent to another node: its encoded `bytes`, and the `ms` until it was handed to the network. */
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
          out: z.array(z.union([region, receipt])).max(MAX_STAGE_TENSORS),
          compute_ms: z.number().nonnegative(),
        }),
        tileId.extend({ error: z.object({ code: z.enum(WORK_ERRORS), text }) }),
      ]),
    )
    .max(MAX_PARTS),
});
/** `result`: the answer to work. */
export type ResultMessage = z.infer<typeof resultMessage>;

/** `tensor`: regions that one node made for another; `attempt` is that of the work they were made for. */
export const tensorMessage = z.object({
  v: z.literal(1),
  plan: text,
  i_id: imageId,
  attempt: count,
  regions: z.array(region).min(1).max(MAX_REGIONS),
});
