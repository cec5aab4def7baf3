import { isMainThread } from 'node:worker_threads';
import { type Recorded, Recorder } from '../overhead/phases.ts';
import { answerCalls } from './calls.ts';

/**
 * Loaded before central (`node --import`): records how its frames end, and the calls to its threads, while it is asked
 * to.
 */
const recorder = new Recorder();

/** What it does when called. */
export const recording = {
  start: (_: null): void => recorder.start(),
  stop: (_: null): Recorded[] => [...recorder.stop()],
};

if (isMainThread) {
  // Not for the processes that central starts.
  delete process.env.NODE_OPTIONS;
  answerCalls(recording);
}
