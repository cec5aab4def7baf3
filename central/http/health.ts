import type { Failure } from '../../shared/errors.ts';
import type { ApiHealth, CentralPhase } from './api.ts';

/** What health is judged by. */
export interface HealthFacts {
  readonly phase: CentralPhase;
  readonly brokerConnected: boolean;
  /** Models that cannot be served, with the reason. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly served: number;
  /** Whether the journal has all that it should: otherwise no frame is accepted. */
  readonly isJournalWritten: boolean;
}

/** Whether a central works: connected, in its place, and with a model to serve. A standby is healthy. */
export function judgeHealth({ phase, brokerConnected, refused, served, isJournalWritten }: HealthFacts): ApiHealth {
  const problems: string[] = [];
  if (!brokerConnected) problems.push('central is not connected to the broker');
  if (phase === 'starting') problems.push('central is starting');
  if (phase === 'relieved') problems.push('another central has taken over');
  if (served === 0 && phase !== 'starting') {
    const reasons = [...refused].map(([model, { message }]) => `; ${model}: ${message}`).join('');
    problems.push(`no model is served${reasons}`);
  }
  if (!isJournalWritten) problems.push('the journal cannot be written, so no frame is accepted');
  return { ok: problems.length === 0, phase, problems };
}
