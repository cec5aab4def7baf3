import { z } from '../../schema.ts';

/** `<base>/node/<node>/health`: what a node said last, in steps that are worth a message. */
export const nodeHealth = z.object({
  v: z.literal(1),
  cpu_percent: z.number(),
  memory_percent: z.number(),
  temp_c: z.number().nullable(),
  /** Whether it runs slower, lest it get too hot or too little power. */
  throttled: z.boolean(),
  tiles_per_s: z.number(),
});
/** What a node said last. */
export type NodeHealth = z.infer<typeof nodeHealth>;
