import type { TensorSpec } from '../tensor/tensor.ts';
import { clip } from './clip.ts';
import { fp16 } from './fp16.ts';
import { packed } from './packed.ts';
import { q8 } from './q8.ts';
import { raw } from './raw.ts';
import type { CodecSpec } from './spec.ts';

export type { CodecSpec } from './spec.ts';

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

// Codecs are looked up by their specs' name, so each gets only its own specs.
const CODECS: ReadonlyMap<string, Codec> = new Map(
  [raw, packed, fp16, q8, clip].map((codec) => [codec.name, codec as Codec]),
);

/** The codec of that name, or undefined. */
export function findCodec(name: string): Codec | undefined {
  return CODECS.get(name);
}

/** Names of all codecs, announced in a node's info. */
export function codecNames(): string[] {
  return [...CODECS.keys()];
}
