import { ROUNDING } from '../../central/planner/calibrated.ts';
import { counted } from '../../shared/counted.ts';
import { TesseraError } from '../../shared/errors.ts';
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

  /** Whether the bound cannot be shown any more, whatever the remaining pictures of `count` give. */
  isHopeless(measure: Measure, bound: number, count: number): boolean {
    if (measure === 'differences') return this.largest > 1 - bound + ROUNDING;
    return lowerEnd(count - (this.pictures - this.same), count) < bound - ROUNDING;
  }
}

/** Standard deviations of the 95 % interval. */
const Z = 1.96;

/** The least number of pictures that show an agreement of answers, if all of them agree; infinite for 1. */
function picturesToShow(bound: number): number {
  return Math.ceil((Z ** 2 * bound) / (1 - bound) - ROUNDING);
}

/** The lower end of a share's 95 % interval, by Wilson's score (Wilson 1927), z = 1.96. */
export function lowerEnd(same: number, count: number): number {
  const z2 = Z ** 2;
  const share = same / count;
  const half = Z * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2));
  return Math.max(0, (share + z2 / (2 * count) - half) / (1 + z2 / count));
}

/**
 * Refuses a bound that so many pictures cannot show by their answers, before the work is done. Throws TESSERA_USAGE.
 */
export function checkCount(count: number, bound: number): void {
  const needed = picturesToShow(bound);
  if (count >= needed) return;
  // Rounded down, so that the hint's own bound is accepted.
  const most = Math.floor(1e4 * lowerEnd(count, count)) / 1e4;
  throw new TesseraError(
    'TESSERA_USAGE',
    `--agreement ${bound}: ${counted(count, 'picture')} cannot show that, even if all of them agree`,
    {
      hint: Number.isFinite(needed)
        ? `use at least ${needed} pictures (--images, --limit), or ask for at most --agreement ${most}`
        : `ask for at most --agreement ${most}`,
    },
  );
}
