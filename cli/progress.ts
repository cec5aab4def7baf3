import type { Output } from './output.ts';

/** Where progress is shown, and for whom. */
export interface Shown {
  /** Whether `--json` was given: progress is for programs. */
  readonly json: boolean;
  readonly out: Pick<Output, 'progress' | 'event'>;
}

/** How far long work is. */
export interface Step {
  /** The work, for people and programs: `download`, `profile`, `verify`. Another one begins another measurement. */
  readonly work: string;
  /** What is being done, in words; absent: the work itself. */
  readonly what?: string;
  readonly done: number;
  /** How much there is; null: not known. */
  readonly of: number | null;
  readonly unit: 'bytes' | 'pictures' | 'measurements';
}

/** A step with how fast it goes; null where that is not known. */
export interface PacedStep extends Step {
  /** Units a second, since the work began. */
  readonly per_s: number | null;
  /** Seconds that are left at that rate. */
  readonly left_s: number | null;
}

/** Adds how fast work goes. What was done before the first step of a work, when it goes on, does not count. */
export function pacer(now: () => number): (step: Step) => PacedStep {
  let begun: { readonly work: string; readonly at: number; readonly done: number } | undefined;
  return (step) => {
    if (begun === undefined || begun.work !== step.work || step.done < begun.done)
      begun = { work: step.work, at: now(), done: step.done };
    const seconds = (now() - begun.at) / 1000;
    const per_s = seconds > 0 && step.done > begun.done ? (step.done - begun.done) / seconds : null;
    const left_s = per_s === null || step.of === null ? null : Math.ceil((step.of - step.done) / per_s);
    return { ...step, per_s, left_s };
  };
}

/** A step for people: `download: 34.0 of 59.0 MB, 2.4 MB a second, 11 s left`. */
export function stepText({ work, what, done, of, unit, per_s, left_s }: PacedStep): string {
  const [divisor, name, digits] = unit === 'bytes' ? [1e6, 'MB', 1] : [1, unit, 0];
  const amount = (value: number, places = digits) => (value / divisor).toFixed(places);
  const far = of === null ? `${amount(done)} ${name}` : `${amount(done)} of ${amount(of)} ${name}`;
  const pace = per_s === null ? '' : `, ${amount(per_s, 1)}${unit === 'bytes' ? ' MB' : ''} a second`;
  const left = left_s === null ? '' : `, ${timeInWords(left_s)} left`;
  return `${what === undefined ? work : `${work}, ${what}`}: ${far}${pace}${left}`;
}

function timeInWords(seconds: number): string {
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} minutes`;
}

/** Time from the start of a work to its first line for people, and between two lines, ms. */
const FIRST_MS = 2000;
const AGAIN_MS = 5000;
/** Between two events for programs, ms; the last step of a work always is one, and one that does something else. */
const EVENT_MS = 1000;

/**
 * Shows the progress of long work on standard error: lines for people where that is a terminal, and JSON events with
 * `--json`. Work that is done soon shows nothing to people.
 */
export function showProgress({ json, out }: Shown, now: () => number = () => performance.now()): (step: Step) => void {
  const pace = pacer(now);
  let last: Step | undefined;
  let due = 0;
  return (step) => {
    const paced = pace(step);
    if (last?.work !== step.work) due = now() + (json ? 0 : FIRST_MS);
    const isEvent = json && (step.done === step.of || step.what !== last?.what);
    last = step;
    if (now() < due && !isEvent) return;
    due = now() + (json ? EVENT_MS : AGAIN_MS);
    if (json) out.event({ event: 'progress', ...paced });
    else out.progress(stepText(paced));
  };
}
