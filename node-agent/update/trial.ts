/** What a release on trial shows of its health. */
export interface Health {
  readonly connected: boolean;
  /** Parts that were made, and that the runtime could not make. */
  readonly made: number;
  readonly failed: number;
}

/** So many failures without a part that was made are enough. */
const MOST_FAILED = 3;

const NOT_CONNECTED = 'it has no connection to the broker';

/** Whether a trial was given up for what may pass by itself: the power, or the broker (bundle/launcher.ts says so too). */
export function isPassing(why: string): boolean {
  return why === 'interrupted' || why === NOT_CONNECTED || why.startsWith('it was not online within ');
}

/** Why a release on trial is given up before its time is over; undefined where it is not. */
export function faultOf({ made, failed }: Health): string | undefined {
  return made === 0 && failed >= MOST_FAILED ? `it failed at all of the ${failed} parts that it was given` : undefined;
}

/** Why a release is not kept at the end of its trial; undefined where it is. */
export function finalFaultOf(health: Health, answers: boolean): string | undefined {
  if (!health.connected) return NOT_CONNECTED;
  if (!answers) return 'its inference thread does not answer';
  return health.made === 0 && health.failed > 0 ? 'it could not do the work that it was given' : undefined;
}
