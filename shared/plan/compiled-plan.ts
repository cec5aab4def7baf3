import type { ClipSpec, CodecSpec } from '../codec/spec.ts';
import type { RoundingEffect } from '../onnx/rounding.ts';
import type { Box, TensorSpec } from '../tensor/tensor.ts';
import type { DifferenceBound } from '../tiling/difference-bound.ts';
import type { Region } from '../tiling/form.ts';
import type { WeightRegion } from '../tiling/weight-slice.ts';
import type { Plan } from './plan.ts';

/** A region that a part reads of an output of an earlier stage's part. */
export interface PartLink {
  /** Which part makes it. */
  readonly stage: number;
  readonly t_id: number;
  readonly tensor: string;
  readonly box: Box;
  /** Before any codec except quantisation. */
  readonly bytes: number;
}

/** A region that a part makes. */
export interface MadeRegion {
  readonly tensor: string;
  readonly box: Box;
  /** Before any codec except quantisation; 0 where the shape is unknown. */
  readonly bytes: number;
}

/** What scheduling needs to know of one part of a stage. */
export interface SchedulablePart {
  readonly t_id: number;
  /** Multiply-adds, halo included. */
  readonly cost: number;
  /** Bytes of its inputs and outputs before any codec except quantisation; tensors of unknown shape count as 0. */
  readonly bytes_in: number;
  readonly bytes_out: number;
  /** Whether it reads tensors of the frame. */
  readonly reads_frame: boolean;
  /** All that it reads of earlier stages; its other inputs are tensors of the frame (links.ts). */
  readonly links: readonly PartLink[];
  /** One region of each output of the stage. */
  readonly out: readonly MadeRegion[];
}

/** A compiled plan as the coordinator and the simulator see it. */
export interface SchedulablePlan {
  readonly plan: Plan;
  /** In the order of `plan.stages`; parts in the order of t_id from 0, at least one. A `whole` stage is one part. */
  readonly stages: readonly { readonly parts: readonly SchedulablePart[] }[];
  /** Tensors that central itself reads: the network's outputs, and those of exits. */
  readonly answers: readonly string[];
  /** Bytes of all tensors of one frame. */
  readonly frame_bytes: number;
}

/** A part's inputs and outputs, and the codec of each output. */
export interface PartGeometry {
  readonly t_id: number;
  readonly in: readonly Region[];
  readonly out: readonly (Region & { readonly codec: CodecSpec })[];
}

/** A compiled plan as stores of frames' tensors need it. */
export interface PlanGeometry {
  readonly stages: readonly { readonly parts: readonly PartGeometry[] }[];
  /** Types of the tensors that stages read or make. */
  readonly specs: ReadonlyMap<string, TensorSpec>;
  /** Tensors that are kept as codes, a byte each (quantised-tensors.ts). */
  readonly quantised: ReadonlyMap<string, ClipSpec>;
  readonly rounding: RoundingEffect;
}

/** The cost of a frame, compared with one machine. */
export interface PlanCost {
  /** Bytes to nodes and back, before any codec. */
  readonly bytesOut: number;
  readonly bytesBack: number;
  /**
   * Multiply-adds of nodes, and bytes sent to them, relative to those without halo: 1 means that nothing is computed or
   * sent twice.
   */
  readonly work: number;
  readonly input: number;
  /** Share (0..1) of the whole network's multiply-adds that runs on nodes, halo not counted; of its convolutions alone. */
  readonly macsOnNodes: number;
  readonly convMacsOnNodes: number;
}

interface CompiledPart extends SchedulablePart, PartGeometry {
  readonly out: readonly (MadeRegion & Region & { readonly codec: CodecSpec })[];
}

/** A plan compiled for its model (compile.ts): plain data without weights, the same in every process. */
export interface CompiledPlan extends SchedulablePlan, PlanGeometry {
  readonly stages: readonly { readonly parts: readonly CompiledPart[] }[];
  /** Whether results may differ from those of the whole network by more than `bound`. */
  readonly approximate: boolean;
  /** Largest difference from the whole network, as a share of an output's range; or why it is unknown. */
  readonly bound: DifferenceBound;
  readonly cost: PlanCost;
  /** The regions of weights that parts read, each once; parts that read whole weights are not counted. */
  readonly slices: readonly WeightRegion[];
}
