import type { TensorSpec } from '../tensor/tensor.ts';
import type { CodecSpec } from './spec.ts';

/** A way to encode a tensor's bytes. Pure; `decode` validates its input before it allocates. */
export interface Codec<S extends CodecSpec = CodecSpec> {
  readonly name: S['name'];
  /** Whether `decode` restores the input of `encode` bit for bit. */
  readonly lossless: boolean;
  /** Whether the codec supports tensors of this type; all but raw support float32 only. */
  carries(spec: TensorSpec): boolean;
  /** Encodes `data` (order C, little endian, exactly the length of `spec`). May return `data` itself. */
  encode(data: Uint8Array, spec: TensorSpec, codec: S): Uint8Array;
  /** Decodes to exactly the bytes of `spec`; throws TesseraError TESSERA_CODEC on anything else. May alias `bytes`. */
  decode(bytes: Uint8Array, spec: TensorSpec, codec: S): Uint8Array;
}
