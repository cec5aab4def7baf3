import type { Plan } from '../../shared/plan/plan.ts';

/** What is known of one part of a stage before it runs. */
export interface PartFacts {
  readonly t_id: number;
  /** Multiply-adds, halo included (`TileForm.macs`); at least 1 is assumed. */
  readonly cost: number;
  /** Bytes of its inputs and outputs as they travel. */
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** What the coordinator has to know of a plan and its stages. */
export interface PlanFacts {
  readonly plan: Plan;
  /**
   * In the order of `plan.stages`; parts of each stage, at least one, in the order of t_id from 0. A `whole` stage is
   * one part, t_id 0.
   */
  readonly stages: readonly { readonly parts: readonly PartFacts[] }[];
  /** Bytes of all tensors that central holds for one open frame. */
  readonly frame_bytes: number;
}
