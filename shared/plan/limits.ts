/**
 * Most characters of a tensor's name in plans and messages; tensors with longer names get a short internal one
 * (onnx/tensor-names.ts).
 */
export const MAX_TENSOR_NAME = 512;

/** Most stages of one plan. */
export const MAX_STAGES = 64;

/** Most tensors that one stage may read, and most that it may make. */
export const MAX_STAGE_TENSORS = 256;

/** Most parts of one stage: what one `work` message may name. */
export const MAX_PARTS = 4096;

/** Most regions that one part of a message may name. */
export const MAX_REGIONS = 4096;

/** Most nodes that one stage names for its placement, and for its fallback. */
export const MAX_NODES = 1024;

/** Most regions of weights that the parts of a plan read. */
export const MAX_SLICES = 65_536;

/** Most axes of a tensor that can be sent. */
export const MAX_RANK = 8;

/** Most characters of a plan's reason. */
export const MAX_REASON = 1024;

/** Most runs of one measurement, and most echoes of one size. */
export const MAX_REPEATS = 1000;
