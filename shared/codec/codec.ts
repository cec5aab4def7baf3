import type { TensorSpec } from '../tensor/tensor.ts';
import { raw } from './raw.ts';

/** How a tensor travels, as it stands in plans and on the wire. New codecs add members. */
export type CodecSpec = { readonly name: 'raw' };

/** One way to put a tensor's bytes on the wire. Pure; `decode` refuses what it cannot read before it allocates. */
export interface Codec {
  readonly name: CodecSpec['name'];
  /** Whether what `decode` returns equals what `encode` was given, bit for bit. */
  readonly lossless: boolean;
  /** Encodes `data` (order C, little endian, exactly the length of `spec`). May return `data` itself. */
  encode(data: Uint8Array, spec: TensorSpec, codec: CodecSpec): Uint8Array;
  /** Decodes to exactly the bytes of `spec`; throws TesseraError TESSERA_CODEC on anything else. May alias `bytes`. */
  decode(bytes: Uint8Array, spec: TensorSpec, codec: CodecSpec): Uint8Array;
}

const CODECS: ReadonlyMap<string, Codec> = new Map([[raw.name, raw]]);

/** The codec of that name, or undefined. */
export function findCodec(name: string): Codec | undefined {
  return CODECS.get(name);
}

/** Names of all codecs, for a node's info. */
export function codecNames(): string[] {
  return [...CODECS.keys()];
}
