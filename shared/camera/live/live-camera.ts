import { failureOf } from '../../errors.ts';
import { LogThrottle } from '../../log-throttle.ts';
import type { Log } from '../../ports.ts';
import type { SourceReport } from '../../protocol/messages/camera.ts';
import { Backoff } from '../../runtime/backoff.ts';
import { watchedCells } from '../areas.ts';
import { MotionGate, SMALL } from '../motion.ts';
import type { Shot, Source } from '../source.ts';
import type { SourceSettings } from '../source-settings.ts';
import { streamWarnings } from '../stream-facts.ts';
import { Pace } from './pace.ts';
import type { PictureWork } from './picture-work.ts';
import { SourceMeter } from './source-meter.ts';

/** What `LiveCamera` needs. */
export interface LiveCameraOptions {
  readonly name: string;
  readonly settings: SourceSettings;
  /** Opens the source, once. Throws with the reason. */
  readonly open: () => Promise<Source>;
  readonly work: Pick<PictureWork, 'small' | 'edit'>;
  /** The shorter side that is needed, pixels; undefined: as the camera sends it. */
  readonly side: () => number | undefined;
  readonly onReport: (report: SourceReport) => void;
  readonly log: Log;
}

/** A source that fails is opened again after a second, later after half a minute. */
const BACKOFF = { firstMs: 1000, maxMs: 30_000 } as const;
const REPORT_MS = 2000;
/** A first picture may take so long, s: ffmpeg looks at a stream for 5 s, and an IP camera begins with its next whole picture. */
const FIRST_S = 20;

/**
 * A camera whose source may fail and come back.
 *
 *   opening --first picture--> online --end, error, or silence of quiet_s--> offline --back-off--> opening
 *   opening --no picture for quiet_s, and for FIRST_S--> offline
 *   standard input that has ended: ended;  any --stop--> stopped
 *
 * 1. `next` gives the newest picture: one that was not taken before the next came is dropped.
 * 2. No picture of before a failure is given after it.
 * 3. What is masked, cropped off or without motion never leaves this object.
 * 4. A picture that cannot be read is skipped.
 */
export class LiveCamera implements Source {
  readonly #options: LiveCameraOptions;
  readonly #throttledLog: LogThrottle;
  readonly #pace: Pace;
  readonly #gate: MotionGate | undefined;
  readonly #backoff = new Backoff(BACKOFF);
  readonly #meter = new SourceMeter();
  readonly #stopped = new AbortController();
  readonly #reports: NodeJS.Timeout;
  readonly #reading: Promise<void>;
  #source: Source | undefined;
  #newest: Shot | undefined;
  /** Counts the times that the source was opened. */
  #opened = 0;
  #state: 'opening' | 'online' | 'offline' | 'ended' = 'opening';
  #reason: string | undefined;
  #warned: readonly string[] = [];
  /** Wakes whoever waits for a picture, and the reader that waits until one is wanted. */
  #wake: () => void = () => {};
  #wanted: () => void = () => {};
  #isWanted = false;

  constructor(options: LiveCameraOptions) {
    this.#options = options;
    const { settings, log } = options;
    this.#throttledLog = new LogThrottle(log, () => performance.now());
    this.#pace = new Pace(settings.fps ?? Number.POSITIVE_INFINITY);
    this.#gate = settings.motion && new MotionGate(settings.motion, watchedCells(SMALL, settings.crop, settings.masks));
    this.#reports = setInterval(() => void this.#report(), REPORT_MS).unref();
    this.#reading = this.#read();
  }

  async next(): Promise<Shot | undefined> {
    for (;;) {
      const isTurn = await this.#pace.turn(this.#stopped.signal).then(
        () => true,
        () => false,
      );
      const shot = isTurn ? await this.#take() : undefined;
      if (shot === undefined) return undefined;
      const opened = this.#opened;
      const edited = await this.#edited(shot);
      if (this.#stopped.signal.aborted) return undefined;
      if (edited === undefined || opened !== this.#opened || this.#state !== 'online') continue;
      this.#meter.sent();
      return edited;
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#reports);
    this.#stopped.abort();
    this.#backoff.cancel();
    this.#wanted();
    this.#wake();
    await this.#source?.stop();
    await this.#reading;
  }

  /** The newest picture that was not taken yet, once there is one; undefined after the end. */
  async #take(): Promise<Shot | undefined> {
    this.#isWanted = true;
    this.#wanted();
    while (this.#newest === undefined && this.#state !== 'ended' && !this.#stopped.signal.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const shot = this.#newest;
    this.#newest = undefined;
    return shot;
  }

  /** The picture as it may go on; undefined where nothing moved in it, or it cannot be read. */
  async #edited(shot: Shot): Promise<Shot | undefined> {
    const { work, settings, name } = this.#options;
    const { crop, masks } = settings;
    try {
      if (this.#gate !== undefined && !this.#gate.passes(await work.small(shot.bytes), performance.now()))
        return undefined;
      if (crop === undefined && masks.length === 0) return shot;
      return { ...shot, bytes: await work.edit(shot.bytes, { crop, masks, side: this.#options.side() }) };
    } catch (error) {
      this.#throttledLog.warn(`picture ${name}`, `camera ${name} skips a picture: ${failureOf(error).message}`);
      return undefined;
    }
  }

  async #read(): Promise<void> {
    const { settings, open } = this.#options;
    while (!this.#stopped.signal.aborted) {
      let reason: string;
      const opening = open();
      try {
        this.#source = await this.#within(opening);
        this.#opened++;
        reason = await this.#follow(this.#source);
      } catch (error) {
        reason = failureOf(error).message;
      }
      this.#newest = undefined;
      // Nothing may be left of a source that failed, also of one that opens too late: its program would keep the camera.
      if (this.#source === undefined) void opening.then((source) => source.stop()).catch(() => {});
      await this.#source?.stop().catch(() => {});
      this.#source = undefined;
      if (this.#stopped.signal.aborted) return;
      this.#changed(settings.source.kind === 'stdin' ? 'ended' : 'offline', reason);
      if (this.#state === 'ended') return;
      await this.#backoff.wait();
    }
  }

  /** Keeps the newest picture of a source until it ends; resolves with the reason. */
  async #follow(source: Source): Promise<string> {
    for (;;) {
      if (source.flows !== true) await this.#untilWanted();
      if (this.#stopped.signal.aborted) return '';
      const shot = await this.#within(source.next());
      if (shot === undefined) return 'it has ended';
      this.#isWanted = false;
      this.#newest = shot;
      this.#meter.came();
      if (this.#state !== 'online') {
        this.#backoff.succeeded();
        this.#changed('online', undefined);
      }
      this.#wake();
    }
  }

  async #untilWanted(): Promise<void> {
    if (this.#isWanted || this.#stopped.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wanted = resolve;
    });
  }

  #changed(state: 'online' | 'offline' | 'ended', reason: string | undefined): void {
    const { name, log } = this.#options;
    const isNews = state !== this.#state || reason !== this.#reason;
    this.#state = state;
    this.#reason = reason;
    if (state === 'ended') this.#wake();
    if (isNews && state === 'online') log.info(`camera ${name} is online`);
    else if (state === 'ended') log.info(`camera ${name} has ended`);
    else if (isNews) log.warn(`camera ${name} is offline: ${reason}`);
    void this.#report();
  }

  async #report(): Promise<void> {
    const { name, settings, side, onReport, log } = this.#options;
    if (this.#state === 'opening') return;
    const facts = this.#source?.facts ?? {};
    const warnings = this.#state === 'online' ? streamWarnings(facts, side()) : [];
    for (const text of warnings) if (!this.#warned.includes(text)) log.warn(`camera ${name}: ${text}`);
    this.#warned = warnings;
    const { fps, ...stream } = facts;
    const rates = await this.#meter.read(this.#opened, this.#source);
    if (this.#stopped.signal.aborted) return;
    onReport({
      source: settings.source.kind,
      state: this.#state === 'online' ? 'online' : 'offline',
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...stream,
      ...(fps === undefined ? {} : { stream_fps: fps }),
      ...rates,
      restarts: Math.max(0, this.#opened - 1),
      warnings,
    });
  }

  /** What a promise gives; throws where that takes longer than it may, or the camera is stopped. */
  #within<T>(promise: Promise<T>): Promise<T> {
    const { settings } = this.#options;
    const quiet_s = this.#state === 'online' ? settings.quiet_s : Math.max(settings.quiet_s, FIRST_S);
    const { signal } = this.#stopped;
    // A signal that is combined with a new one for each picture keeps every one of them.
    return new Promise((resolve, reject) => {
      const over = (act: () => void): void => {
        clearTimeout(late);
        signal.removeEventListener('abort', onStop);
        act();
      };
      const onStop = (): void => over(() => reject(signal.reason));
      const late = setTimeout(() => over(() => reject(new Error(`no picture for ${quiet_s} s`))), quiet_s * 1000);
      signal.addEventListener('abort', onStop);
      promise.then(
        (value) => over(() => resolve(value)),
        (error: unknown) => over(() => reject(error)),
      );
      if (signal.aborted) onStop();
    });
  }
}
