import type { Model } from '../onnx/model.ts';
import type { Box, Dtype, Tensor } from '../tensor/tensor.ts';
import type { WeightSlice } from './weight-slice.ts';

/**
 * A region of a named tensor. `open` marks the whole of an output whose shape is unknown before a run; its box is then
 * empty.
 */
export interface Region {
  readonly tensor: string;
  readonly box: Box;
  readonly open?: true;
}

/** A small extra input of a stage's model that carries a tile's geometry (run-time pads, crops, target shapes). */
export interface Feed {
  readonly name: string;
  readonly dtype: Extract<Dtype, 'int64' | 'float32' | 'float64'>;
  readonly shape: readonly number[];
  readonly values: readonly number[] | Float32Array;
}

/** What one part of a stage reads, makes and computes. */
export interface PartOutline {
  readonly t_id: number;
  /** In the order of the stage's inputs; a region that the tile does not need is absent. */
  readonly in: readonly Region[];
  /** In the order of the stage's outputs; together the parts cover each output exactly once. */
  readonly out: readonly Region[];
  /** Multiply-adds of this part, halo included. */
  readonly macs: number;
}

/** One part of a stage: its outline, its model and its extra inputs. */
export interface PartForm extends PartOutline {
  /**
   * Its outputs have the names of the stage's outputs and exactly the shape of the part's box. Tiles share one model,
   * which does not depend on the grid (its spatial dimensions are symbolic), so another grid needs no new session.
   */
  readonly model: Model;
  /** Constants that `model` reads and does not contain yet (weight-slice.ts). */
  readonly slices: readonly WeightSlice[];
  readonly feeds: readonly Feed[];
}

/** A compiled stage. */
export interface StageForm {
  readonly parts: readonly PartForm[];
  /** Whether the result may differ from that of the whole network (FDSP). */
  readonly approximate: boolean;
}

/** An extra input as the tensor that a session takes. */
export function feedTensor({ dtype, shape, values }: Feed): Tensor {
  const elements =
    dtype === 'int64'
      ? BigInt64Array.from(values, BigInt)
      : dtype === 'float64'
        ? Float64Array.from(values)
        : Float32Array.from(values);
  return { dtype, shape, data: new Uint8Array(elements.buffer) };
}
