import { byteLength, type Tensor } from '../tensor/tensor.ts';
import { endWithParent } from './end-with-parent.ts';
import type { TrialAnswer, TrialModel } from './model-trial.ts';
import { loadSession, type PortInfo } from './ort.ts';

/**
 * Runs networks that nobody has seen yet, in a process of its own, which may die of it: gets one message with models and
 * what to feed them, answers with one message, and ends. A thread of its
 * own ends it when its time (the argument, ms) is over, or its parent is gone.
 */

/** A tensor of zeros for an input; open sizes are 1. */
function zeros({ name, dtype = 'float32', shape }: PortInfo): [string, Tensor][] {
  const sizes = shape.map((size) => (typeof size === 'number' && size > 0 ? size : 1));
  return [[name, { dtype, shape: sizes, data: new Uint8Array(byteLength({ dtype, shape: sizes })) }]];
}

async function tryModel({ model, threads, feeds }: TrialModel): Promise<TrialAnswer> {
  try {
    const session = await loadSession(model, { threads });
    const outputs: (readonly [string, Tensor])[][] = [];
    // Inputs that nobody feeds are those that no output depends on.
    const unused = session.inputs.filter(({ name }) => !feeds[0]?.some(([fed]) => fed === name));
    for (const feed of feeds) outputs.push([...(await session.run(new Map([...unused.flatMap(zeros), ...feed])))]);
    return { outputs };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

endWithParent(Number(process.argv[2] ?? 0));
process.once('message', async (models: readonly TrialModel[]) => {
  const answers: TrialAnswer[] = [];
  for (const model of models) answers.push(await tryModel(model));
  process.send!(answers, () => process.exit(0));
});
