import { clip } from './clip.ts';
import type { Codec } from './codec.ts';
import { fp16 } from './fp16.ts';
import { packed } from './packed.ts';
import { q8 } from './q8.ts';
import { raw } from './raw.ts';

// To add a codec: a file here, its spec in spec.ts, an entry in this list. Codecs are looked up by the name in a spec, so
// each gets only its own specs.
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
