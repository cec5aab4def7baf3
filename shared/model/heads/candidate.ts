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

/** The verdict of a trial run on a candidate. */
export interface Verdict {
  /** Why the outputs contradict the candidate; undefined where they do not. */
  readonly reason?: string;
  /** Share of the boxes that are implausible, 0 to 1. */
  readonly doubt: number;
  /** True where the picture gave no evidence. */
  readonly nothing?: boolean;
}

/** A possible interpretation of a network's outputs by their shapes; the values of a trial run decide. */
export interface HeadCandidate {
  /** For people, such as `yolov8 of 80 classes`. */
  readonly name: string;
  readonly head: Head;
  /** `picture`: number of the trial picture that the outputs belong to. */
  readonly judge: (outputs: TrialOutputs, picture: number) => Verdict;
}

/** Facts about the network besides its outputs. */
export interface CandidateContext {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly channelsLast: boolean;
  readonly fileName: string;
  /** Number of labels, 0 where none were given. */
  readonly labels: number;
  /** Program that wrote the file. */
  readonly producer: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** Finds the operator that gives an output its meaning. */
  readonly lastOperator: (output: string) => string | undefined;
  /** The trial pictures in the order of the runs, one value per pixel, [height, width] of the input. */
  readonly luma: readonly Uint8Array[];
}

/** The verdict on a candidate that the outputs contradict. */
export const implausible = (reason: string): Verdict => ({ reason, doubt: 1 });

/** A shape without leading axes of size 1. */
export function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first === -1 ? [] : shape.slice(first);
}
