import type { SourceReport } from '../../protocol/messages/camera.ts';
import type { Source } from '../source.ts';

/** Rates since the reading before. */
type Rates = Pick<SourceReport, 'source_fps' | 'frames_fps' | 'cpu_percent'>;

/** Counts what comes from a source and what goes on, and the CPU time of its program. */
export class SourceMeter {
  #came = 0;
  #sent = 0;
  #at = performance.now();
  #cpu: { readonly opened: number; readonly ms: number } | undefined;
  #last: Rates = { source_fps: 0, frames_fps: 0 };

  came(): void {
    this.#came++;
  }

  sent(): void {
    this.#sent++;
  }

  /** The rates of the last second or more; `opened` changes with the program whose CPU time is read. */
  async read(opened: number, source: Source | undefined): Promise<Rates> {
    const ms = await source?.cpuMs?.();
    const seconds = (performance.now() - this.#at) / 1000;
    // Of a moment the rates say nothing.
    if (seconds < 1) return this.#last;
    const before = this.#cpu?.opened === opened ? this.#cpu.ms : 0;
    this.#cpu = ms === undefined ? undefined : { opened, ms };
    const round = (value: number): number => Math.round(value * 10) / 10;
    this.#last = {
      source_fps: round(this.#came / seconds),
      frames_fps: round(this.#sent / seconds),
      ...(ms === undefined ? {} : { cpu_percent: round(Math.max(0, ms - before) / seconds / 10) }),
    };
    this.#came = 0;
    this.#sent = 0;
    this.#at = performance.now();
    return this.#last;
  }
}
