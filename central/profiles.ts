import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { failureOf, TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { readText } from '../shared/runtime/file.ts';
import { parseProfile } from './planner/profile/parse.ts';
import { problemOfProfile } from './planner/profile/problem.ts';
import type { NodeTimes } from './planner/times.ts';

/** The times of machines that were profiled, by SHA-256 of the model's skeleton and id. */
export type ProfiledTimes = ReadonlyMap<string, ReadonlyMap<string, NodeTimes>>;

/**
 * Reads the profiles (`*.json`) in a folder; of several for one model the last by name counts. One that cannot be read is
 * logged.
 */
export async function readProfiles(folder: string, log: Log): Promise<ProfiledTimes> {
  const names = await readdir(folder).catch(() => []);
  const all = new Map<string, ReadonlyMap<string, NodeTimes>>();
  for (const name of names.filter((name) => name.endsWith('.json')).sort()) {
    const path = join(folder, name);
    try {
      const profile = parseProfile(JSON.parse(await readText(path)));
      if (profile.sha256 === undefined)
        throw new TesseraError('TESSERA_PROFILE', 'it is in the bare form, which names no network');
      const { nodes } = problemOfProfile(profile);
      all.set(profile.sha256, new Map(nodes.map(({ id, times }) => [id, times!])));
    } catch (error) {
      log.warn(`profile ${path} is not used: ${failureOf(error).message}`);
    }
  }
  return all;
}
