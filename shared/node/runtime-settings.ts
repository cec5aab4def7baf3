import { z } from '../schema.ts';

/** How far the runtime rewrites a network before it runs it. */
export const GRAPH_LEVELS = ['all', 'extended', 'basic'] as const;

/** The schema of `RuntimeSettings`. */
export const runtimeSettings = z.object({
  threads: z.number().int().min(1).max(1024),
  graph: z.enum(GRAPH_LEVELS),
  /** Branches of the network run at the same time. */
  parallel: z.boolean(),
  /** Memory for feature maps is kept between runs, and planned ahead. */
  arena: z.boolean(),
  pattern: z.boolean(),
});
/** Settings of the runtime that change the time of a network, and nothing else but rounding. */
export type RuntimeSettings = z.infer<typeof runtimeSettings>;

/** The settings of a network that was not tuned. */
export function usualSettings(threads: number): RuntimeSettings {
  return { threads, graph: 'all', parallel: false, arena: true, pattern: true };
}

/** Settings are changed only for a gain of more than this share of the time: smaller ones are noise. */
const LEAST_GAIN = 0.03;

/** The fastest settings that were found, their time, and that of the usual ones, ms. */
export interface Tuned {
  readonly settings: RuntimeSettings;
  readonly ms: number;
  readonly usual_ms: number;
}

/**
 * Searches the fastest settings for a network, in the spirit of Woodpecker-DL with far fewer choices: from the usual ones,
 * one setting after another gets the value with the least time. `measure` gives the time of a run, ms, or
 * undefined where the network does not run with these settings. Throws what `measure` throws.
 */
export async function fastestSettings(
  threads: number,
  measure: (settings: RuntimeSettings) => Promise<number | undefined>,
): Promise<Tuned | undefined> {
  let settings = usualSettings(threads);
  const usual_ms = await measure(settings);
  if (usual_ms === undefined) return undefined;
  let ms = usual_ms;
  const fewer = [1, 2, 4, 8, 16, 32].filter((count) => count < threads);
  const choices: Partial<RuntimeSettings>[][] = [
    fewer.map((count) => ({ threads: count })),
    GRAPH_LEVELS.map((graph) => ({ graph })),
    [{ parallel: true }],
    [{ arena: false }],
    [{ pattern: false }],
  ];
  for (const values of choices) {
    const from = settings;
    for (const value of values) {
      const next = { ...from, ...value };
      if (next.parallel && next.threads === 1) continue;
      if (JSON.stringify(next) === JSON.stringify(from)) continue;
      const time = await measure(next);
      if (time === undefined || time > ms * (1 - LEAST_GAIN)) continue;
      ms = time;
      settings = next;
    }
  }
  return { settings, ms, usual_ms };
}
