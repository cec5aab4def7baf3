import type { PlanningNode } from '../strategy.ts';
import { rounded } from './samples.ts';

/** What a machine does with tensors besides computing, ms: per part, and per 10^6 bytes of values. */
export interface TimedCodecs {
  readonly part_ms: number;
  readonly codecs: readonly { readonly name: string; readonly encode_ms: number; readonly decode_ms: number }[];
}

/** The same as the cost model reads it. */
export function codecTimes({ part_ms, codecs }: TimedCodecs): Required<Pick<PlanningNode, 'part_ms' | 'codec_ms'>> {
  const times = codecs.map(({ name, encode_ms, decode_ms }) => {
    return [name, { encode: rounded(encode_ms), decode: rounded(decode_ms) }] as const;
  });
  return { part_ms: rounded(part_ms), codec_ms: Object.fromEntries(times) };
}
