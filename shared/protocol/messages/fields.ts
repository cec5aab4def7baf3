import { MAX_RANK, MAX_TENSOR_NAME } from '../../plan/limits.ts';
import { z } from '../../schema.ts';
import { DTYPE_BYTES, type Dtype } from '../../tensor/tensor.ts';
import { isNodeId } from '../topics.ts';

/** Most characters of a short text. */
export const MAX_TEXT = 1024;
/** Largest size of an axis. */
export const MAX_SIZE = 2 ** 31;
/** Most nodes that a region goes to. */
export const MAX_DESTINATIONS = 64;
/** `<epoch>-<counter>` of a frame. */
export const IMAGE_ID = /^[0-9]{1,15}-[0-9]{1,15}$/;

/** An integer from 0. */
export const count = z.number().int().nonnegative();
/** A short text. */
export const text = z.string().max(MAX_TEXT);
/** A SHA-256 in hex. */
export const sha = z.string().regex(/^[0-9a-f]{64}$/);
/** An element type, named as in NumPy. */
export const dtype = z.enum(Object.keys(DTYPE_BYTES) as [Dtype, ...Dtype[]]);
/** A tensor's shape. */
export const shape = z.array(count.max(MAX_SIZE)).max(MAX_RANK);
const range = z
  .tuple([count, count])
  .refine(([start, end]) => start <= end, 'expected a range that does not end before its start');
/** `[[start, end], ...]`: one half-open range per axis of the tensor, in elements. */
export const box = z.array(range).max(MAX_RANK);
/** A CBOR byte string. */
export const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes');
/** The name of a tensor in the ONNX file. */
export const tensorName = z.string().max(MAX_TENSOR_NAME);
/** `<epoch>-<counter>` of a frame. */
export const imageId = z.string().regex(IMAGE_ID);
/** A node's id, or `central`. */
export const nodeId = z.string().refine(isNodeId, "expected a node's id");
/** The nodes that a region goes to. */
export const destinations = z.array(nodeId).min(1).max(MAX_DESTINATIONS);
