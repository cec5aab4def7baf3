import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { failureOf, TesseraError } from '../../shared/errors.ts';
import type { Bus, Log, Message } from '../../shared/ports.ts';
import { type UpdateManifest, type UpdateReport, updateManifest } from '../../shared/protocol/messages/update.ts';
import { MAX_STATE_BYTES } from '../../shared/protocol/node-registry.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { Backoff } from '../../shared/runtime/backoff.ts';
import { signedRelease } from '../../shared/runtime/release-signature.ts';
import { packageFolder, packageVersion } from '../../shared/runtime/version.ts';
import { type Aim, aimOf } from './aim.ts';
import { download } from './download.ts';
import { MOST_INTERRUPTED, Releases } from './releases.ts';
import type { Health } from './trial.ts';
import { trialFault } from './wait-trial.ts';

type Install = Extract<Aim, { kind: 'install' }>;

/** How an agent's program is updated. */
export interface UpdateOptions {
  /** Folder of releases, and the folder of the installed one, as the launcher says; absent: this program is no bundle. */
  readonly releases: string | undefined;
  readonly installed: string | undefined;
  /** Whether this release is on trial, for so many seconds. */
  readonly isTrial: boolean;
  readonly trialS: number;
  /** Public keys, one of which must have signed a release. */
  readonly keys: readonly string[];
}

/** What the updater needs of its agent. */
export interface UpdaterDeps {
  readonly id: string;
  readonly bus: Bus;
  readonly topics: Topics;
  /** The node is about to switch: it is to begin nothing by itself. */
  readonly onTurn: () => Promise<void>;
  /** Whether the node has nothing to do, and keeps nothing for others. */
  readonly isIdle: () => boolean;
  readonly health: () => Health;
  /** Resolves when the inference thread answers. */
  readonly answers: () => Promise<void>;
  /** The process has to end so that the launcher starts another release: to try it, or because this one is given up. */
  readonly onEnd: () => void;
  readonly log: Log;
}

/** A self-test takes seconds on a Raspberry Pi. */
const SELF_TEST_MS = 120_000;
/** Without an end of its work a node switches all the same after so long, ms: others take the work over. */
const DRAIN_MS = 60_000;
const IDLE_LOOK_MS = 100;

/**
 * Keeps the program of a node up to date.
 *
 *   idle --announced for it--> downloading --> testing --> ready --its turn, and no work--> switching: the process ends
 *   started on trial --well for its time--> idle (kept)      --a fault--> the process ends, and the launcher goes back
 *
 * 1. Nothing is unpacked that is not signed and whole, and nothing is tried that did not pass its own self-test here.
 * 2. What is reported is the version that runs.
 * 3. A failure that may pass is tried again, for as long as it is announced; another one is not.
 */
export class Updater {
  readonly #options: UpdateOptions;
  readonly #deps: UpdaterDeps;
  readonly #releases: Releases | undefined;
  #manifest: UpdateManifest | undefined;
  #report: UpdateReport = { v: 1, version: packageVersion(), state: 'idle' };
  #isTrial: boolean;
  #isBusy = false;
  #isAsked = false;
  /** The release that was prepared last, and what ends that where another one is announced, or a pause. */
  #preparing: { readonly what: string; readonly backoff: Backoff; readonly outdated: AbortController } | undefined;
  /** The release that cannot run here, and why. */
  #refused: { readonly what: string; readonly why: string } | undefined;
  readonly #stopped = new AbortController();

  private constructor(options: UpdateOptions, deps: UpdaterDeps, releases: Releases | undefined) {
    this.#options = options;
    this.#deps = deps;
    this.#releases = releases;
    this.#isTrial = options.isTrial && releases !== undefined;
  }

  /** Starts it. Throws TESSERA_STORAGE where the folder of releases cannot be used. */
  static async start(options: UpdateOptions, deps: UpdaterDeps): Promise<Updater> {
    const { releases: folder, installed } = options;
    const isBundle = folder !== undefined && installed !== undefined;
    const releases = isBundle ? await Releases.open(folder, installed, dirname(packageFolder()), deps.log) : undefined;
    const updater = new Updater(options, deps, releases);
    const { bus, topics, log } = deps;
    bus.onConnect(() => updater.#publish());
    if (updater.#isTrial) void updater.#passTrial(releases!);
    await bus
      .subscribe(topics.update, 1, (message) => updater.#receive(message))
      .catch((error: unknown) => {
        log.warn(`updates cannot be followed: ${failureOf(error).message}`);
      });
    return updater;
  }

  stop(): void {
    this.#stopped.abort();
  }

  #receive({ payload }: Message): void {
    const isTooLong = payload.byteLength > MAX_STATE_BYTES;
    if (isTooLong)
      this.#deps.log.warn(`an update of ${payload.byteLength} bytes is ignored: ${MAX_STATE_BYTES} at most`);
    this.#manifest = isTooLong ? undefined : read(payload);
    const aim = this.#aim();
    const what = aim.kind === 'install' && !this.#manifest?.paused ? this.#named(aim) : undefined;
    if (this.#preparing?.what !== what) this.#preparing?.outdated.abort();
    this.#look();
  }

  /** Looks at the announcement, and again if it changes meanwhile. */
  #look(): void {
    this.#isAsked = true;
    if (!this.#isBusy) void this.#actWhileAsked();
  }

  async #actWhileAsked(): Promise<void> {
    this.#isBusy = true;
    while (this.#isAsked && !this.#stopped.signal.aborted) {
      this.#isAsked = false;
      await this.#act().catch((error: unknown) => {
        if (!this.#stopped.signal.aborted) this.#deps.log.error(`update: ${failureOf(error).message}`);
      });
    }
    this.#isBusy = false;
  }

  async #act(): Promise<void> {
    if (this.#isTrial) return;
    const aim = this.#aim();
    if (aim.kind === 'none') return this.#say({ state: 'idle' });
    const { to } = aim;
    if (aim.kind === 'refused' || aim.kind === 'failed') return this.#say({ state: aim.kind, to, text: aim.text });
    const releases = this.#releases!;
    const { since = 0 } = this.#manifest ?? {};
    if (aim.kind === 'install' && !releases.has(to)) {
      if (this.#refused?.what === this.#named(aim)) return this.#say({ state: 'refused', to, text: this.#refused.why });
      if (!this.#isToPrepare()) return this.#say({ state: 'idle' });
      if (!(await this.#prepare(aim, releases))) return this.#look();
    }
    this.#say({ state: 'ready', to });
    // Something else may have been announced while it was prepared.
    if (this.#isAsked || !this.#isTurn()) return;
    await this.#drained();
    if (this.#stopped.signal.aborted) return;
    // Its cameras have stopped: the process ends in any case.
    await releases.begin(to, since, aim.kind === 'install' ? aim.minimum : undefined).catch((error: unknown) => {
      this.#deps.log.error(`version ${to} cannot be tried: ${failureOf(error).message}`);
    });
    this.#deps.log.info(`this process ends, so that version ${to} is tried`);
    this.#say({ state: 'switching', to });
    this.#deps.onEnd();
    this.stop();
  }

  #aim(): Aim {
    const { id } = this.#deps;
    const running = packageVersion();
    const manifest = this.#manifest;
    if (manifest === undefined) return { kind: 'none' };
    const { previous, minimum = '0.0.0', failed } = this.#releases ?? {};
    const platform = `${process.platform}-${process.arch}`;
    const isOver = failed !== undefined && failed.interrupted >= MOST_INTERRUPTED;
    const standing = { id, running, platform, previous, minimum, failed: isOver ? failed : undefined };
    const aim = aimOf(manifest, standing, ({ text, signature }) => signedRelease(text, signature, this.#options.keys));
    if (this.#releases !== undefined || aim.kind === 'none') return aim;
    const text = 'this agent was not started from a bundle: update it as it was installed';
    return { kind: 'refused', to: manifest.version, text };
  }

  /** A release as it was announced: at another time, or from elsewhere, it is another one. */
  #named({ url, sha256 }: Install): string {
    return `${this.#manifest?.since} ${sha256} ${url}`;
  }

  /** Whether this node may download and test what is announced. */
  #isToPrepare(): boolean {
    const { paused = true, prepare = [] } = this.#manifest ?? {};
    return !paused && prepare.includes(this.#deps.id);
  }

  /**
   * Downloads, unpacks and tests a release. Returns whether it can run here; where not, the announcement has to be looked
   * at again: the release is refused, or something else is announced, or it is time to try again.
   */
  async #prepare(aim: Install, releases: Releases): Promise<boolean> {
    const { to, url, sha256 } = aim;
    const what = this.#named(aim);
    const isAgain = this.#preparing?.what === what;
    const backoff = isAgain ? this.#preparing!.backoff : new Backoff({ firstMs: 2000, maxMs: 300_000 });
    const outdated = new AbortController();
    this.#preparing = { what, backoff, outdated };
    const signal = AbortSignal.any([this.#stopped.signal, outdated.signal]);
    try {
      this.#say({ state: 'downloading', to });
      const onProgress = (bytes: number, of: number): void => this.#say({ state: 'downloading', to, bytes, of });
      const file = await releases.download(sha256);
      await download({ url, sha256, file, onProgress, signal });
      await releases.unpack(file, to);
      this.#say({ state: 'testing', to });
      const why = await this.#selfTest(to, releases);
      if (why !== undefined) this.#refused = { what, why };
      return why === undefined;
    } catch (error) {
      if (signal.aborted) return false;
      const { message } = failureOf(error);
      if (error instanceof TesseraError && error.code === 'TESSERA_SIGNATURE') {
        this.#refused = { what, why: message };
        return false;
      }
      this.#deps.log.warn(`version ${to} is not here yet: ${message}`);
      this.#say({ state: 'downloading', to, text: message });
      await sleep(backoff.next(performance.now()), undefined, { signal }).catch(() => {});
      return false;
    }
  }

  /** Why a release does not work on this machine. */
  async #selfTest(to: string, releases: Releases): Promise<string | undefined> {
    const env = { ...process.env, TESSERA_RELEASES: '', NODE_OPTIONS: '' };
    try {
      const limits = { timeout: SELF_TEST_MS, killSignal: 'SIGKILL', env } as const;
      const { stdout } = await promisify(execFile)(releases.program(to), ['--self-test', '--json'], limits);
      const { version } = JSON.parse(stdout) as { readonly version?: string };
      if (version === to) return undefined;
      throw new Error(`it says that it is version ${version}`);
    } catch (error) {
      await releases.remove(to);
      const { stderr = '', message } = error as { readonly stderr?: string; readonly message: string };
      const [why] = (stderr.trim() || message).split('\n');
      return `it does not pass its self-test on this machine: ${why!.slice(0, 300)}`;
    }
  }

  /** Whether it is this node's turn. */
  #isTurn(): boolean {
    const { paused = true, turn = [] } = this.#manifest ?? {};
    return !paused && turn.includes(this.#deps.id);
  }

  /** Waits until the node has no work, or for its time. */
  async #drained(): Promise<void> {
    const { onTurn, isIdle } = this.#deps;
    await onTurn();
    const end = performance.now() + DRAIN_MS;
    while (!isIdle() && performance.now() < end && !this.#stopped.signal.aborted) await sleep(IDLE_LOOK_MS);
  }

  /** Keeps this release when it was well for its time, or gives it up. */
  async #passTrial(releases: Releases): Promise<void> {
    const { bus, health, answers, onEnd, log } = this.#deps;
    this.#say({ state: 'trial', to: packageVersion() });
    await new Promise<void>((resolve) => bus.onConnect(resolve));
    await releases.online();
    const { signal } = this.#stopped;
    let fault = await trialFault({ health, answers, trialS: this.#options.trialS, signal });
    if (signal.aborted) return;
    try {
      if (fault === undefined) await releases.keep();
    } catch (error) {
      fault = failureOf(error).message;
    }
    if (fault !== undefined) {
      log.error(`version ${packageVersion()} is given up: ${fault}`);
      await releases.giveUp(fault).catch(() => {});
      onEnd();
      return;
    }
    log.info(`version ${packageVersion()} was well for ${this.#options.trialS} s and is kept`);
    this.#isTrial = false;
    this.#look();
    this.#say({ state: 'idle' });
  }

  #say(state: Omit<UpdateReport, 'v' | 'version' | 'previous' | 'since'>): void {
    const { previous } = this.#releases ?? {};
    const { since } = this.#manifest ?? {};
    const before = this.#report;
    this.#report = {
      v: 1,
      version: packageVersion(),
      ...state,
      ...(previous === undefined ? {} : { previous }),
      ...(since === undefined ? {} : { since }),
    };
    const { bytes, of = 0 } = state;
    // Progress is published in steps of a twentieth.
    if (bytes !== undefined && Math.floor((20 * (before.bytes ?? 0)) / of) >= Math.floor((20 * bytes) / of)) return;
    if (JSON.stringify(this.#report) !== JSON.stringify(before)) this.#publish();
  }

  #publish(): void {
    const { bus, topics, id, log } = this.#deps;
    if (!bus.connected) return;
    bus
      .publish(topics.nodeUpdate(id), JSON.stringify(this.#report), { qos: 1, retain: true })
      .catch((error: unknown) => {
        log.warn(`the state of an update could not be reported: ${failureOf(error).message}`);
      });
  }
}

function read(payload: Uint8Array): UpdateManifest | undefined {
  try {
    return updateManifest.parse(JSON.parse(new TextDecoder().decode(payload)));
  } catch {
    return undefined;
  }
}
