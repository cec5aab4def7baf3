import { CENTRAL } from '../../shared/plan/plan.ts';
import { bestOf } from './strategies/best.ts';
import { dp } from './strategies/dp.ts';
import { exhaustive } from './strategies/exhaustive.ts';
import { hpa } from './strategies/hpa.ts';
import { hpaRefined } from './strategies/hpa-refined.ts';
import { mincut } from './strategies/mincut.ts';
import { neurosurgeon } from './strategies/neurosurgeon.ts';
import { replicate } from './strategies/replicate.ts';
import { sendTheFrame } from './strategies/send-the-frame.ts';
import { single } from './strategies/single.ts';
import { strips } from './strategies/strips.ts';
import { tileStages } from './strategies/tile-stages.ts';
import { tilesFdsp } from './strategies/tiles-fdsp.ts';
import { tilesFused } from './strategies/tiles-fused.ts';
import { tilesPrefix } from './strategies/tiles-prefix.ts';
import { twoStage } from './strategies/two-stage.ts';
import type { Strategy } from './strategy.ts';

/** The strategies that make plans of their own. Where the user names none, the first one with a plan makes it. */
export const COMPARED: readonly Strategy[] = [
  tilesPrefix,
  tileStages,
  twoStage,
  replicate,
  single,
  exhaustive,
  neurosurgeon,
  dp,
  mincut,
  hpa,
  hpaRefined,
  tilesFused,
  tilesFdsp,
  strips,
  sendTheFrame,
];

/** Every strategy by name. */
export const STRATEGIES: ReadonlyMap<string, Strategy> = new Map(
  [...COMPARED, bestOf(COMPARED)].map((strategy) => [strategy.name, strategy]),
);

/** The requests for the plans with which others are compared: the whole network on central, and on one node. */
export const BASELINES = {
  central: { strategy: single.name, nodes: [CENTRAL] },
  node: { strategy: replicate.name },
} as const;
