import type { CodecSpec } from '../codec/spec.ts';

/** Where a machine is. `device`: at the camera; `edge`: near it; `cloud`: far away. */
export const TIERS = ['device', 'edge', 'cloud'] as const;
/** A machine's tier. */
export type Tier = (typeof TIERS)[number];

/** The id of central's own executor in plans. No node agent may have it. */
export const CENTRAL = 'central';

/** The source of frames that nodes read from the camera's own topic. No node agent may have this id. */
export const TOPIC = 'topic';

/** How a stage is split into parts, which run independently. */
export type Split =
  | { readonly kind: 'whole' }
  | {
      /**
       * Spatial tiles. `rows` and `cols` are sizes in cells of the stage's reference output (the one with the fewest
       * cells); they add up to its height and width. Tiles are numbered row by row. 1-D networks have `rows` = [1].
       * `zero`: each tile alone, zero-padded at its own edges (FDSP, ADCNN section 3). `halo`: each tile gets the
       * surroundings that it needs, so the result equals the whole (reverse tile calculation, D3 section V).
       */
      readonly kind: 'tiles';
      readonly padding: 'zero' | 'halo';
      readonly rows: readonly number[];
      readonly cols: readonly number[];
    }
  | { readonly kind: 'channels'; readonly sizes: readonly number[] };

/**
 * Which machines run a stage. `nodes`: ids, or `*` for every node that is ready; `tier`: every ready node of a tier.
 * `share`: the parts of one frame are distributed over them; `replicate`: each frame goes whole to one of them.
 * `parts`: the node of each part, by t_id, if the parts of every frame go to the same nodes. Central is in `*` only by
 * such a pin, and in a tier only where its configuration says so (`central.tier`).
 */
export type Placement = { readonly mode: 'share' | 'replicate'; readonly parts?: readonly string[] } & (
  | { readonly nodes: readonly string[] | '*' }
  | { readonly tier: Tier }
);

/** Words for what may run a stage if its own machines cannot: nothing, central's executor, or any node agent. */
export const FALLBACKS = ['none', 'central', 'nodes'] as const;
/** One of FALLBACKS, or the ids of nodes. */
export type StageFallback = (typeof FALLBACKS)[number] | readonly string[];

/**
 * Ends a frame early: `tensor` [1, classes] is a classifier's answer, read like the model's own output. The frame ends
 * with it if its highest probability is at least `threshold`. Later stages wait for the decision.
 */
export interface ExitRule {
  readonly tensor: string;
  readonly threshold: number;
}

/** A subgraph and how it runs. Tensors are named as in the model's graph. */
export interface Stage {
  readonly id: number;
  /** Tensors of the frame or of any earlier stage (skips). */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly split: Split;
  readonly on: Placement;
  readonly fallback: StageFallback;
  /** Codec of each output; `raw` for those not named. */
  readonly codec: Readonly<Record<string, CodecSpec>>;
  /** Only where the stage is whole. */
  readonly exit?: ExitRule;
}

/** One way to run one model on some machines: its graph as consecutive stages. */
export interface Plan {
  readonly format: 'tessera-plan/1';
  /** `p-` and hex digits; two plans with one id are the same plan. */
  readonly id: string;
  /** SHA-256 (hex) of the skeleton of the model that the plan cuts (see runtime/package.ts). */
  readonly model: string;
  /**
   * Where frames come from, as far as the plan counts on it: `central`; the node where they are born, which central
   * refuses, since it would change nothing; or `topic`, and then every node of the first stages reads the camera's topic
   * itself.
   */
  readonly source: string;
  /** Name of the strategy that made it. */
  readonly strategy: string;
  /** Why this plan was chosen, for people. */
  readonly reason: string;
  /** Stage ids are 0, 1, 2, ... in order. */
  readonly stages: readonly Stage[];
  /** What the cost model expects, or null where nothing was measured. */
  readonly predicted: { readonly latency_ms: number } | null;
}

/** Whether each frame goes whole to one machine, so that more machines serve more frames and none of them sooner. */
export function isReplicated({ stages }: Plan): boolean {
  return stages.every(({ split, on }) => split.kind === 'whole' && on.mode === 'replicate');
}
