import { CELLWISE_TRIALS } from './cellwise.ts';
import { ENLARGING_TRIALS } from './enlarging.ts';
import { MOVING_TRIALS } from './moving.ts';
import { NORM_TRIALS } from './norms.ts';
import type { Trial } from './trial.ts';
import { WINDOW_TRIALS } from './windows.ts';

/** Every operator that tiles, with random attributes. */
export const TRIALS: readonly Trial[] = [
  ...WINDOW_TRIALS,
  ...ENLARGING_TRIALS,
  ...CELLWISE_TRIALS,
  ...NORM_TRIALS,
  ...MOVING_TRIALS,
];
