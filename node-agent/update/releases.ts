import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { failureOf, TesseraError } from '../../shared/errors.ts';
import type { Log } from '../../shared/ports.ts';
import { readText } from '../../shared/runtime/file.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { flushFolder, writeWhole } from '../../shared/runtime/whole-file.ts';
import { z } from '../../shared/schema.ts';
import { isVersion } from '../../shared/update/version-order.ts';
import { isPassing } from './trial.ts';
import { unpackRelease } from './unpack.ts';

/** What a node remembers of updates over restarts. */
const memory = z.object({
  /** The oldest version that may run here. */
  minimum: z.string(),
  /** The last one that was given up. */
  failed: z.object({ version: z.string(), why: z.string(), since: z.number(), interrupted: z.number() }).optional(),
  /** The release on trial: when it was announced, and the oldest version that may run once it is kept. */
  trial: z.object({ since: z.number(), minimum: z.string() }),
});
type Memory = z.infer<typeof memory>;

const NOTHING: Memory = { minimum: '0.0.0', trial: { since: 0, minimum: '0.0.0' } };

/** Why the launcher gave up a release that it had begun, where no reason was left: the power was cut, or it was killed. */
const INTERRUPTED = 'interrupted';
/** A release on trial that was interrupted so often, or not online in time, is given up. */
export const MOST_INTERRUPTED = 3;

/**
 * The releases of a node, in the folder `releases/` of its state directory, beside the one that is installed. The program
 * that starts the agent (bundle/launcher.ts) chooses by it what runs:
 *
 *     <version>/     an unpacked release
 *     current        link to the release that runs; absent: the installed one
 *     base           the installed release beside which `current` was chosen
 *     previous       link to the one that ran before
 *     trial          link to the one that is tried, and trial.begun, trial.online, trial.why
 *     failed         link to one that was given up
 *     memory.json    what is to be remembered
 *
 * 1. A folder named by a version is complete: it is unpacked under another name, flushed, and renamed.
 * 2. Links are changed by a rename.
 */
export class Releases {
  readonly #folder: string;
  readonly #installed: string;
  readonly #running: string;
  #memory: Memory = NOTHING;

  private constructor(folder: string, installed: string, running: string) {
    this.#folder = folder;
    this.#installed = installed;
    this.#running = running;
  }

  /**
   * Opens the releases in `folder`; `installed` and `running` are folders of releases. Removes what is not needed, and
   * takes note of a trial that was given up; where the disk does not take the note, the next start does. Throws
   * TESSERA_STORAGE.
   */
  static async open(folder: string, installed: string, running: string, log: Log): Promise<Releases> {
    makePath(folder, 0o700);
    // Where a state directory is a link, `running` is not below it.
    const releases = new Releases(realpathSync(folder), installed, running);
    releases.#memory = await readMemory(join(folder, 'memory.json'));
    await releases.#prune();
    await releases.#noteFailure().catch((error: unknown) => {
      log.warn(`that a release was given up cannot be noted: ${failureOf(error).message}`);
    });
    return releases;
  }

  /** The version that a roll-back leads to; undefined where it was removed with its package. */
  get previous(): string | undefined {
    const target = this.#targetOf('previous');
    return target !== undefined && existsSync(join(target, 'bin', 'tessera')) ? basename(target) : undefined;
  }

  get minimum(): string {
    return this.#memory.minimum;
  }

  /** The release that was given up last; `since` is when it was announced. */
  get failed(): Memory['failed'] {
    return this.#memory.failed;
  }

  /** Whether a version is unpacked here. */
  has(version: string): boolean {
    return isVersion(version) && lstatSync(join(this.#folder, version), { throwIfNoEntry: false }) !== undefined;
  }

  /** Where the archive of a release is downloaded. What is there of others is removed. */
  async download(sha256: string): Promise<string> {
    const file = `${sha256}.part`;
    for (const name of await readdir(this.#folder))
      if (name.endsWith('.part') && name !== file) await rm(join(this.#folder, name), { force: true });
    return join(this.#folder, file);
  }

  /** Unpacks an archive as the release of a version. Throws TESSERA_STORAGE, and TESSERA_DOWNLOAD for a damaged one. */
  async unpack(archive: string, version: string): Promise<void> {
    const scratch = join(this.#folder, 'unpacking');
    try {
      await rm(scratch, { recursive: true, force: true });
      await unpackRelease(archive, scratch, `opt/tessera/${version}/`);
      await flushFolder(scratch);
      await rename(scratch, join(this.#folder, version));
      await rm(archive, { force: true });
    } catch (error) {
      await rm(scratch, { recursive: true, force: true });
      throw error;
    }
  }

  /** The program of a version that is here; `previous` may be the installed one. */
  program(version: string): string {
    return join(this.#placeOf(version), 'bin', 'tessera');
  }

  /** Removes the release of a version. */
  async remove(version: string): Promise<void> {
    await rm(join(this.#folder, version), { recursive: true, force: true });
  }

  /**
   * The next start of this agent tries a version that is here. `since`: when it was announced; `minimum`: the oldest
   * version that may run here once it is kept.
   */
  async begin(version: string, since: number, minimum = this.minimum): Promise<void> {
    for (const name of ['failed', 'trial.begun', 'trial.online', 'trial.why'])
      await rm(join(this.#folder, name), { force: true });
    await this.#remember({ trial: { since, minimum } });
    await this.#link('trial', this.#placeOf(version));
  }

  /** The release on trial is online. */
  async online(): Promise<void> {
    await writeFile(join(this.#folder, 'trial.online'), '');
  }

  /** Why the release on trial is given up; the process has to end then. */
  async giveUp(why: string): Promise<void> {
    await writeFile(join(this.#folder, 'trial.why'), why);
  }

  /** The release on trial, which is the one that runs, is kept. */
  async keep(): Promise<void> {
    const before = this.#targetOf('current') ?? this.#installed;
    if (before !== this.#running) await this.#link('previous', before);
    await writeWhole({ what: 'the installed release', path: join(this.#folder, 'base') }, `${this.#installed}\n`);
    await this.#link('current', this.#running);
    await this.#remember({ minimum: this.#memory.trial.minimum, failed: undefined });
    for (const name of ['trial', 'trial.begun', 'trial.online', 'trial.why'])
      await rm(join(this.#folder, name), { force: true });
    await this.#prune();
  }

  async #noteFailure(): Promise<void> {
    const failed = this.#targetOf('failed');
    if (failed === undefined) return;
    if (failed !== this.#running) {
      const version = basename(failed);
      const why = (await readText(join(this.#folder, 'trial.why')).catch(() => INTERRUPTED)).trim();
      const { failed: earlier } = this.#memory;
      const { since } = this.#memory.trial;
      const isAgain = earlier?.version === version && earlier.since === since;
      const interrupted = isPassing(why) ? 1 + (isAgain ? earlier.interrupted : 0) : MOST_INTERRUPTED;
      await this.#remember({ failed: { version, why, since, interrupted } });
    }
    await rm(join(this.#folder, 'failed'), { force: true });
  }

  /** Removes releases that nothing leads to, and the rest of what was interrupted. Downloads stay, to be continued. */
  async #prune(): Promise<void> {
    const base = await readText(join(this.#folder, 'base')).catch(() => '');
    // Another release was installed since `current` was chosen: that one runs.
    if (base.trim() !== this.#installed) await rm(join(this.#folder, 'current'), { force: true });
    const needed = new Set(['current', 'previous', 'trial'].map((name) => this.#targetOf(name)));
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const isLeft = name === 'unpacking' || /\.new$/.test(name) || (isVersion(name) && !needed.has(path));
      if (isLeft && path !== this.#running) await rm(path, { recursive: true, force: true });
    }
  }

  #placeOf(version: string): string {
    if (this.has(version)) return join(this.#folder, version);
    if (this.previous === version) return this.#targetOf('previous')!;
    throw new TesseraError('TESSERA_STORAGE', `version ${version} is not on this machine`, { hint: 'install it' });
  }

  #targetOf(name: string): string | undefined {
    try {
      return resolve(this.#folder, readlinkSync(join(this.#folder, name)));
    } catch {
      return undefined;
    }
  }

  async #link(name: string, target: string): Promise<void> {
    const path = join(this.#folder, name);
    await rm(`${path}.new`, { force: true });
    await symlink(target, `${path}.new`);
    await rename(`${path}.new`, path);
  }

  async #remember(change: Partial<Memory>): Promise<void> {
    this.#memory = { ...this.#memory, ...change };
    const path = join(this.#folder, 'memory.json');
    await writeWhole({ what: 'what is remembered of updates', path }, `${JSON.stringify(this.#memory)}\n`);
  }
}

async function readMemory(path: string): Promise<Memory> {
  try {
    return memory.parse(JSON.parse(await readText(path)));
  } catch {
    return NOTHING;
  }
}
