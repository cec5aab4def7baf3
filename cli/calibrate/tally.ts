import { ROUNDING } from '../../central/planner/calibrated.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import { difference } from '../../shared/tensor/compare.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/** One picture's outputs compared with those of the uncompressed network. */
export interface Outcome {
  /** Bytes of the results, all tiles together. */
  readonly bytes: number;
  /** Whether the top prediction is the same; always true where the task has none. */
  readonly same: boolean;
  /** Largest and mean difference of the outputs, as shares of each one's range. */
  readonly largest: number;
  readonly mean: number;
}

/** The difference of outputs from those of the uncompressed network; of several outputs the largest. */
export function differences(
  reference: ReadonlyMap<string, Tensor>,
  outputs: ReadonlyMap<string, Tensor>,
): Pick<Outcome, 'largest' | 'mean'> {
  const found = [...reference].map(([name, tensor]) => difference(tensor, outputs.get(name)!));
  return {
    largest: Math.max(0, ...found.map(({ largest }) => largest)),
    mean: Math.max(0, ...found.map(({ mean }) => mean)),
  };
}

/** How agreement is measured: by `answers` (top predictions) for classifiers, by `differences` for other tasks. */
export type Measure = 'answers' | 'differences';

/** The measure for a model. */
export function measureOf({ task, output }: Pick<ModelCard, 'task' | 'output'>): Measure {
  return task === 'classify' && output.decoder !== 'none' ? 'answers' : 'differences';
}

/** Outcomes of one setting, added up picture by picture. */
export class Tally {
  pictures = 0;
  same = 0;
  largest = 0;
  #mean = 0;
  #bytes = 0;

  add({ bytes, same, largest, mean }: Outcome): void {
    this.pictures++;
    if (same) this.same++;
    this.largest = Math.max(this.largest, largest);
    this.#mean += mean;
    this.#bytes += bytes;
  }

  get mean(): number {
    return this.#mean / this.pictures;
  }

  /** Bytes a picture, a whole number. */
  get bytes(): number {
    return Math.max(1, Math.round(this.#bytes / this.pictures));
  }

  /** Share of equal top predictions, or 1 less the largest difference of any output of any picture. */
  agreement(measure: Measure): number {
    return measure === 'answers' ? this.same / this.pictures : Math.max(0, 1 - this.largest);
  }

  /** Whether the bound cannot be met any more, whatever the remaining pictures of `count` give. */
  isHopeless(measure: Measure, bound: number, count: number): boolean {
    const lost = measure === 'answers' ? (this.pictures - this.same) / count : this.largest;
    return lost > 1 - bound + ROUNDING;
  }
}

/** The lower end of a share's 95 % interval, by Wilson's score (Wilson 1927), z = 1.96. */
export function lowerEnd(same: number, count: number): number {
  const z2 = 1.96 ** 2;
  const share = same / count;
  const half = 1.96 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2));
  return Math.max(0, (share + z2 / (2 * count) - half) / (1 + z2 / count));
}
