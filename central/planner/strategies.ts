import type { CodecSpec } from '../../shared/codec/codec.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import { tileStages } from './strategies/tile-stages.ts';
import { tilesPrefix } from './strategies/tiles-prefix.ts';
import { twoStage } from './strategies/two-stage.ts';
import { wholeCentral } from './strategies/whole-central.ts';
import { wholeReplicate } from './strategies/whole-replicate.ts';

/** A place where the graph can be cut, and how what lies before it (after the cut before) is tiled. */
export interface Cut {
  /** Every tensor that is there before the cut and needed after it; a graph input too, where it is needed later. */
  readonly tensors: readonly string[];
  /** Outputs of the graph that are made before the cut. */
  readonly outputs: readonly string[];
  /** Sizes of the tiles, as in `Split`, of the stage that ends here. */
  readonly rows: readonly number[];
  readonly cols: readonly number[];
}

/** What a strategy is asked: one model, and where it may be cut. No strategy knows ONNX. */
export interface Problem {
  /** SHA-256 of the model's skeleton. */
  readonly model: string;
  /** Where frames are born. */
  readonly source: string;
  /** The graph's inputs and outputs. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** From the first to the last. */
  readonly cuts: readonly Cut[];
  readonly padding: 'zero' | 'halo';
  /** How tensors travel out of tiles, where it is not as they are. */
  readonly codecs?: Readonly<Record<string, CodecSpec>>;
  /** Who may be asked, besides central. */
  readonly nodes: readonly string[] | '*';
}

/** One way to make plans; a new idea from a new paper is a new file of `strategies/` and a line below. */
export interface Strategy {
  readonly name: string;
  /** All its proposals for the problem, best guess first; none where it has nothing to offer. Pure. */
  make(problem: Problem): Plan[];
}

/** Every strategy by name. */
export const STRATEGIES: ReadonlyMap<string, Strategy> = new Map(
  [tilesPrefix, twoStage, tileStages, wholeReplicate, wholeCentral].map((strategy) => [strategy.name, strategy]),
);
