import { codecSpec } from '../../codec/spec.ts';
import { MAX_PARTS, MAX_STAGE_TENSORS } from '../../plan/limits.ts';
import { z } from '../../schema.ts';
import { box, count, imageId, tensorName, text } from './fields.ts';
import { region } from './region.ts';

/** An input of a work item: inline; `held` and `from` (node to node) have their place and are not used yet. */
const workInput = z.union([region, z.object({ tensor: tensorName, box, from: z.string() })]);

/** What a work item asks for; `to` other than the asking central is reserved for node to node transfer. */
const workOutput = z.object({ tensor: tensorName, box, codec: codecSpec, to: z.string().optional() });

/** Reasons why a node did not do a work item. */
export const WORK_ERRORS = ['expired', 'busy', 'unknown-plan', 'out-of-memory', 'bad-input', 'run-failed'] as const;
/** Reason why a node did not do a work item. */
export type WorkError = (typeof WORK_ERRORS)[number];

/** `work`: run these tiles of one stage of one frame. */
export const workMessage = z.object({
  v: z.literal(1),
  plan: text,
  i_id: imageId,
  stage: count,
  attempt: count,
  budget_ms: z.number().nonnegative(),
  tiles: z
    .array(
      z.object({
        t_id: count,
        in: z.array(workInput).max(MAX_STAGE_TENSORS),
        out: z.array(workOutput).max(MAX_STAGE_TENSORS),
      }),
    )
    .min(1)
    .max(MAX_PARTS),
});
/** `work`: run these tiles of one stage of one frame. */
export type WorkMessage = z.infer<typeof workMessage>;

/** `result`: what came of work; per tile outputs or an error. `queue_ms`: from arrival to the start of the first tile. */
export const resultMessage = z.object({
  v: z.literal(1),
  plan: text,
  i_id: imageId,
  stage: count,
  attempt: count,
  n_id: z.string(),
  queue_ms: z.number().nonnegative(),
  tiles: z
    .array(
      z.union([
        z.object({ t_id: count, out: z.array(region).max(MAX_STAGE_TENSORS), compute_ms: z.number().nonnegative() }),
        z.object({ t_id: count, error: z.object({ code: z.enum(WORK_ERRORS), text }) }),
      ]),
    )
    .max(MAX_PARTS),
});
/** `result`: what came of work. */
export type ResultMessage = z.infer<typeof resultMessage>;
