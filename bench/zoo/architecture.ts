import type { NetworkBuilder, Value } from './builder.ts';

/** One network of the literature. */
export interface Architecture {
  /** Shape of its input, `[n, c, h, w]` or `[n, c, w]`. */
  readonly input: readonly number[];
  readonly task: 'classify' | 'detect' | 'segment';
  /** Where it was published, and which of its variants this is. */
  readonly source: string;
  /** Builds its layers; returns its outputs. */
  layers(net: NetworkBuilder): readonly Value[];
}

/** Architectures by name. */
export type Family = Readonly<Record<string, Architecture>>;

/** Shape of a colour picture of `side` x `side` pixels. */
export function picture(side: number): readonly number[] {
  return [1, 3, side, side];
}
