/** Most characters of a tensor's name in plans and messages; longer ones get a short name of ours (onnx/tensor-names.ts). */
export const MAX_TENSOR_NAME = 512;

/** Most tensors that one stage may read, and most that it may make. */
export const MAX_STAGE_TENSORS = 256;

/** Most axes of a tensor that travels. */
export const MAX_RANK = 8;

/** Most characters of the text in which a plan says why it is as it is. */
export const MAX_REASON = 1024;
