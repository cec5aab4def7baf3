import { exhaustive } from './strategies/exhaustive.ts';
import { tileStages } from './strategies/tile-stages.ts';
import { tilesPrefix } from './strategies/tiles-prefix.ts';
import { twoStage } from './strategies/two-stage.ts';
import { wholeCentral } from './strategies/whole-central.ts';
import { wholeReplicate } from './strategies/whole-replicate.ts';
import type { Strategy } from './strategy.ts';

/** Every strategy by name. Where the user names none, the first one with a plan makes it. */
export const STRATEGIES: ReadonlyMap<string, Strategy> = new Map(
  [tilesPrefix, tileStages, twoStage, wholeReplicate, wholeCentral, exhaustive].map((strategy) => [
    strategy.name,
    strategy,
  ]),
);

/** The strategies with which others are compared: the whole network on one machine. */
export const BASELINES = { central: wholeCentral.name, node: wholeReplicate.name } as const;
