import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { failureOf, TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import type { ProfilePart, ProfileTaken } from '../shared/protocol/messages/requests.ts';
import { readText } from '../shared/runtime/file.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import { parseProfile } from './planner/profile/parse.ts';
import { problemOfProfile } from './planner/profile/problem.ts';
import type { NodeTimes } from './planner/times.ts';

/** The times of machines that were profiled, by id. */
export type ProfiledTimes = ReadonlyMap<string, NodeTimes>;

/** A profile that a command is sending. */
interface Arriving {
  readonly sha: string;
  readonly size: number;
  readonly parts: Buffer[];
  received: number;
}

/** The profiles of networks that central knows: those in a folder of its state directory, and those that commands send. */
export class Profiles {
  readonly #folder: string;
  /** By SHA-256 of the model's skeleton. */
  readonly #times = new Map<string, ProfiledTimes>();
  #arriving: Arriving | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Reads the profiles (`*.json`) in a folder; of several for one model the newest counts. One that cannot be read is
   * logged.
   */
  static async read(folder: string, log: Log): Promise<Profiles> {
    const profiles = new Profiles(folder);
    const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
    const files = await Promise.all(
      names.map(async (name) => ({ path: join(folder, name), at: (await stat(join(folder, name))).mtimeMs })),
    );
    for (const { path } of files.sort((a, b) => a.at - b.at || (a.path < b.path ? -1 : 1)))
      try {
        const { skeleton, times } = timesOf(await readText(path));
        profiles.#times.set(skeleton, times);
      } catch (error) {
        log.warn(`profile ${path} is not used: ${failureOf(error).message}`);
      }
    return profiles;
  }

  /** The times that were measured of a network; undefined where it was not profiled. */
  of(skeleton: string): ProfiledTimes | undefined {
    return this.#times.get(skeleton);
  }

  /**
   * Takes a part of a profile; parts of one profile come one after another. The last one is answered once the profile is
   * checked, kept, and used. `check` throws for a network that central does not serve. Throws TESSERA_MESSAGE_INVALID for
   * a part out of turn and for bytes that are not those announced, and what `parseProfile` and `check` throw.
   */
  take({ sha, size, offset, d }: ProfilePart, check: (skeleton: string) => void): ProfileTaken {
    if (offset === 0) this.#arriving = { sha, size, parts: [], received: 0 };
    const arriving = this.#arriving;
    const bytes = Buffer.from(d, 'base64');
    if (arriving?.sha !== sha || arriving.size !== size || arriving.received !== offset || offset + bytes.length > size)
      throw new TesseraError('TESSERA_MESSAGE_INVALID', `a part of profile ${sha} came out of turn, at ${offset}`, {
        hint: 'send it again from its beginning, from one command at a time',
      });
    arriving.parts.push(bytes);
    arriving.received += bytes.length;
    if (arriving.received < size) return { received: arriving.received, nodes: null };
    this.#arriving = undefined;
    const whole = Buffer.concat(arriving.parts);
    if (createHash('sha256').update(whole).digest('hex') !== sha)
      throw new TesseraError('TESSERA_MESSAGE_INVALID', `the bytes of profile ${sha} have another SHA-256`);
    const text = whole.toString('utf8');
    const { skeleton, times } = timesOf(text);
    check(skeleton);
    const path = join(this.#folder, `${skeleton}.json`);
    makePath(this.#folder);
    writeWholeSync({ what: 'a profile', path, elsewhere: elsewhereOf(path) }, text);
    this.#times.set(skeleton, times);
    return { received: size, nodes: [...times.keys()] };
  }
}

/** The network and the times of a profile. Throws TESSERA_PROFILE for one in the bare form, and what `parseProfile` throws. */
function timesOf(text: string): { readonly skeleton: string; readonly times: ProfiledTimes } {
  const profile = parseProfile(JSON.parse(text));
  if (profile.sha256 === undefined)
    throw new TesseraError('TESSERA_PROFILE', 'it is in the bare form, which names no network');
  const { nodes } = problemOfProfile(profile);
  return { skeleton: profile.sha256, times: new Map(nodes.map(({ id, times }) => [id, times!])) };
}
