import type { Tensor } from '../../tensor/tensor.ts';
import type { Head } from '../guess-head.ts';

/** One output of a trial run, with its elements as numbers. */
export interface TrialOutput {
  readonly name: string;
  readonly dtype: Tensor['dtype'];
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** The outputs of one trial run, in the graph's order. */
export type TrialOutputs = readonly TrialOutput[];

/** What a trial run says of a reading. */
export interface Verdict {
  /** Why the numbers cannot mean that; undefined where they can. */
  readonly reason?: string;
  /** Share of the boxes that do not look right, 0 to 1. */
  readonly doubt: number;
  /** True where the picture showed nothing to judge by. */
  readonly nothing?: boolean;
}

/** A meaning that the outputs may have by their shapes; the numbers of a trial run decide. */
export interface HeadCandidate {
  /** For people, as `yolov8 of 80 classes`. */
  readonly name: string;
  readonly head: Head;
  /** `picture`: the number of the trial picture that the outputs are of. */
  readonly judge: (outputs: TrialOutputs, picture: number) => Verdict;
}

/** What is known of the network beside its outputs. */
export interface CandidateContext {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly channelsLast: boolean;
  readonly fileName: string;
  /** Number of labels, 0 where nobody gave any. */
  readonly labels: number;
  /** What wrote the file. */
  readonly producer: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** The operator that gives an output its meaning. */
  readonly lastOperator: (output: string) => string | undefined;
  /** The pictures of the trial, one value per pixel, [height, width] of the input, in the order of the looks. */
  readonly luma: readonly Uint8Array[];
}

/** A reading that does not fit. */
export const implausible = (reason: string): Verdict => ({ reason, doubt: 1 });

/** Sizes without axes of one in front. */
export function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first === -1 ? [] : shape.slice(first);
}
