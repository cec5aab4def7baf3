import type { CentralOptions } from '../central/central-options.ts';
import type { Config } from '../shared/config/schema.ts';

/** How central makes plans again, as the configuration says. */
export function replanOptions({ planner }: Config): CentralOptions['replan'] {
  const { replan, band, least_gain, hold_s } = planner;
  return replan ? { band, least_gain, hold_ms: hold_s * 1000 } : undefined;
}
