// First, so that it holds when the runtime loads.
import './no-telemetry.ts';

import { join } from 'node:path';
import { failureOf, TesseraError } from '../errors.ts';
import { endWithParent } from './end-with-parent.ts';
import { readBytes } from './file.ts';
import { firstFeed, firstRun } from './first-feeds.ts';
import { loadSession } from './ort.ts';
import type { MadeOutput, TrialAnswer, TrialTask } from './trial.ts';
import { detailOf } from './worker-call.ts';

/**
 * Loads a network and runs it once, in this process, which may die of it or never end; what became of it goes to the
 * parent. A thread of its own ends the process when its time is over or its parent is gone, whatever the runtime does.
 */
const task = JSON.parse(process.argv[2] ?? '{}') as TrialTask;

endWithParent(task.limitMs + 5000);

async function outputs(): Promise<MadeOutput[]> {
  const { folder, skeleton, threads } = task;
  const session = await loadSession(await readBytes(join(folder, skeleton)), { threads, dataFolder: folder });
  const made = await firstRun((kind) =>
    session.run(
      new Map(
        session.inputs.map(({ name, dtype, shape }) => {
          if (dtype === undefined) throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `input "${name}" is no tensor`);
          const known = shape.map((size) => (typeof size === 'number' && size > 0 ? size : 1));
          return [name, firstFeed({ dtype, shape: known }, kind)] as const;
        }),
      ),
    ),
  );
  return [...made].map(([name, { dtype, shape }]) => ({ name, dtype, shape: [...shape] }));
}

const answer: TrialAnswer = await outputs().then(
  (made) => ({ outputs: made }),
  (error: unknown) => ({ failure: failureOf(error, 'TESSERA_RUN_FAILED'), detail: detailOf(error) }),
);
process.send?.(answer, () => process.exit(0));
