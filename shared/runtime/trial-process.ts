// First, so that it is set when the runtime loads.
import './no-telemetry.ts';

import { detailOf, failureOf, TesseraError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { endWithParent } from './end-with-parent.ts';
import { readBytes } from './file.ts';
import { type FirstFeed, firstFeed, firstRun } from './first-feeds.ts';
import { loadSession, type PortInfo, type Session } from './ort.ts';
import type { TrialAnswer, TrialQuestion, TrialTask } from './trial.ts';

/**
 * Loads and runs unknown networks in this process, which may crash or never end; it answers each question of its parent
 * with one message. A separate thread ends the process at its time limit or when its parent is gone.
 */

/** The file that was loaded last, since the next question may be about it. */
let kept: { readonly model: string; readonly session: Session } | undefined;

async function sessionOf({ model, dataFolder, threads }: TrialTask): Promise<Session> {
  if (typeof model !== 'string') return loadSession(model, { threads });
  if (kept?.model === model) return kept.session;
  // Two large networks may not fit into memory at once.
  await kept?.session.release();
  kept = undefined;
  const session = await (dataFolder === undefined
    ? loadSession(model, { threads })
    : loadSession(await readBytes(model), { threads, dataFolder }));
  kept = { model, session };
  return session;
}

/** A tensor for an input without a feed; open sizes are 1. */
function fed({ name, dtype, shape }: PortInfo, kind: FirstFeed): [string, Tensor] {
  if (dtype === undefined) throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `input "${name}" is no tensor`);
  const known = shape.map((size) => (typeof size === 'number' && size > 0 ? size : 1));
  return [name, firstFeed({ dtype, shape: known }, kind)];
}

async function run(session: Session, { feeds }: TrialTask): Promise<TrialAnswer> {
  if (feeds === undefined) {
    const made = await firstRun((kind) => session.run(new Map(session.inputs.map((input) => fed(input, kind)))));
    return { made: [...made].map(([name, { dtype, shape }]) => ({ name, dtype, shape: [...shape] })) };
  }
  // Inputs without a feed are those that no output depends on.
  const unused = session.inputs.filter(({ name }) => !feeds[0]?.some(([given]) => given === name));
  const outputs: (readonly [string, Tensor])[][] = [];
  for (const feed of feeds)
    outputs.push([...(await session.run(new Map([...unused.map((input) => fed(input, 'zeros')), ...feed])))]);
  return { outputs };
}

async function answerTo(task: TrialTask): Promise<TrialAnswer> {
  try {
    const session = await sessionOf(task);
    const answer = await run(session, task);
    if (session !== kept?.session) await session.release();
    return answer;
  } catch (error) {
    return { failure: failureOf(error, 'TESSERA_RUN_FAILED'), detail: detailOf(error) };
  }
}

process.on('message', async ({ tasks, limitMs }: TrialQuestion) => {
  const endWatch = endWithParent(limitMs + 5000);
  const answers: TrialAnswer[] = [];
  for (const task of tasks) answers.push(await answerTo(task));
  endWatch();
  process.send!(answers);
});
