/** What the best plan has least of. `throughput`: the time between frames; `misses`: frames later than the deadline. */
export const OBJECTIVES = ['latency', 'throughput', 'transfer', 'energy', 'misses'] as const;
/** One of OBJECTIVES. */
export type Objective = (typeof OBJECTIVES)[number];

/** What a user demands of plans. `of` and `on`: a tier or a node. */
export interface Demands {
  readonly objective?: Objective;
  /** The most plans that are wanted. */
  readonly top?: number;
  /** Each must compute something. */
  readonly use?: readonly string[];
  /** None may compute anything. */
  readonly avoid?: readonly string[];
  /** Blocks (by index) that must be computed there. */
  readonly pins?: readonly { readonly block: number; readonly on: string }[];
  /** The most that they send for a frame, all nodes of a tier together. */
  readonly max_upload?: readonly { readonly of: string; readonly bytes: number }[];
  /** The longest that they compute for a frame: in ms, or as a share (0..1) of the time of all machines. */
  readonly max_time?: readonly ({ readonly of: string } & ({ readonly ms: number } | { readonly share: number }))[];
  /** The most memory that one of them needs. */
  readonly max_memory?: readonly { readonly of: string; readonly bytes: number }[];
  /** The longest latency of a frame; with the objective `misses`, the time after which frames are late. */
  readonly deadline_ms?: number | undefined;
}
