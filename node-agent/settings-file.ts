import { join } from 'node:path';
import { failureOf } from '../shared/errors.ts';
import { type RuntimeSettings, runtimeSettings } from '../shared/node/runtime-settings.ts';
import type { Log } from '../shared/ports.ts';
import { readText } from '../shared/runtime/file.ts';
import { runtimeVersion } from '../shared/runtime/ort.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import { z } from '../shared/schema.ts';

const FILE = 'runtime-settings.json';
/** Most models whose settings are kept; the oldest are forgotten. */
const MOST = 256;

const fileSchema = z.object({
  /** Settings of another version, or for another number of threads, say nothing about this one. */
  runtime: z.string(),
  threads: z.number(),
  models: z.record(z.string(), runtimeSettings),
});

/** The fastest settings of the runtime that were found for models, by their skeleton. */
export interface KeptSettings {
  readonly known: ReadonlyMap<string, RuntimeSettings>;
  /** Keeps a model's settings in the state directory. Never throws. */
  readonly keep: (skeleton: string, settings: RuntimeSettings) => void;
}

/**
 * Reads the settings that earlier runs of this node found with so many threads; none where the file is missing, damaged or
 * of another version of the runtime.
 */
export async function openSettings(stateDir: string, threads: number, log: Log): Promise<KeptSettings> {
  const path = join(stateDir, FILE);
  let known = new Map<string, RuntimeSettings>();
  try {
    const read = fileSchema.parse(JSON.parse(await readText(path)));
    if (read.runtime === runtimeVersion && read.threads === threads) known = new Map(Object.entries(read.models));
  } catch {}
  const kept = new Map(known);
  return {
    known,
    keep: (skeleton, settings) => {
      kept.delete(skeleton);
      kept.set(skeleton, settings);
      for (const oldest of [...kept.keys()].slice(0, -MOST)) kept.delete(oldest);
      try {
        const content = { runtime: runtimeVersion, threads, models: Object.fromEntries(kept) };
        writeWholeSync({ what: 'the settings of the runtime', path }, `${JSON.stringify(content)}\n`);
      } catch (error) {
        log.warn(`the settings of the runtime are forgotten when this agent ends: ${failureOf(error).message}`);
      }
    },
  };
}
