import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guessByTrial } from '../../../cli/library/guess-by-trial.ts';
import type { Model } from '../../../shared/onnx/model.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { readBytes } from '../../../shared/runtime/file.ts';
import { withTrials } from '../../../shared/runtime/trial.ts';
import { missing, NETWORKS, networkBytes } from '../../shared/onnx/networks.ts';
import { emitting } from '../../support/emitting-network.ts';

/** A bare file is run on pictures before its card is guessed; its process may die, hang or refuse. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guess-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function guess(model: Model, name = 'net') {
  const path = join(folder, `${name}.onnx`);
  await writeFile(path, writeModel(model));
  return guessByTrial(path, readModel(await readBytes(path)), {});
}

const zeros = (count: number) => Array.from({ length: count }, () => 0);
const faces = {
  boxes: { shape: [1, 30, 4], values: Array.from({ length: 30 }, () => [0.1, 0.1, 0.9, 0.9]).flat() },
  scores: { shape: [1, 30, 3], values: Array.from({ length: 30 }, () => [0.9, 0.05, 0.05]).flat() },
};

describe('guessByTrial', () => {
  it('chooses a head whose outputs fit, and names its guesses', async () => {
    const { card, guessed, known } = await guess(
      emitting({ y: { shape: [1, 100, 6], values: [8, 8, 40, 40, 0.9, 2, ...zeros(594)] } }),
    );
    expect(card).toMatchObject({ task: 'detect', output: { decoder: 'end2end' } });
    expect(guessed).toContain('output.decoder');
    expect(known).toEqual([]);
  });

  it('leaves outputs raw that fit no head, and says what was seen', async () => {
    const { card, known } = await guess(emitting({ y: { shape: [1, 84, 25], values: zeros(2100).map(() => 7) } }));
    expect(card).toMatchObject({ task: 'raw', output: { decoder: 'none' } });
    expect(known[0]).toBe('outputs: y [1, 84, 25]');
  });

  it('recognises from the first layer that a network reads 0 to 255, and that most boxes are background', async () => {
    const { card } = await guess(emitting(faces, { weight: 0.004, share: 1e-5 }));
    expect(card).toMatchObject({
      task: 'detect',
      input: { scale: 1, mean: [], std: [] },
      output: { decoder: 'ssd', background: 0 },
    });
  });

  it('leaves a detector raw whose boxes depend on an unknown preprocessing, and says what is missing', async () => {
    const { card, known } = await guess(emitting(faces, { share: 0.02 }));
    expect(card.task).toBe('raw');
    expect(known.join('\n')).toMatch(/decoder: ssd.*background: 0[\s\S]*its pixel scaling is not known/);
  });

  it('decodes one whose boxes do not depend on it', async () => {
    expect((await guess(emitting(faces))).card).toMatchObject({ task: 'detect', output: { background: 0 } });
  });

  it('leaves a detector raw that the runtime cannot run', async () => {
    const broken = emitting({ y: { shape: [1, 84, 25], values: zeros(2100) } });
    const { card, known } = await guess({ ...broken, opsets: new Map([['', 99]]) }, 'broken');
    expect(card.task).toBe('raw');
    expect(known.join()).toMatch(/trial run failed.*operator sets up to \d+/);
  });

  it('makes no guess when it was aborted', async () => {
    const path = join(folder, 'stopped.onnx');
    await writeFile(path, writeModel(emitting(faces)));
    const model = readModel(await readBytes(path));
    const guess = withTrials({ signal: AbortSignal.abort() }, (trials) => guessByTrial(path, model, {}, trials));
    await expect(guess).rejects.toThrow(/aborted/);
  });

  const expected: Record<string, string> = {
    'FastestDet.onnx': 'detect fastestdet 255',
    'cifar10_resnet20.onnx': 'classify logits 255',
    'deeplabv3_mnv2_dm05.onnx': 'segment none 127.5',
    'mnist-8.onnx': 'classify logits 1',
    'mobilenet_v1_025_128.onnx': 'classify softmax 127.5',
    'mobilenet_v2.onnx': 'classify softmax 127.5',
    'person_vww_96.onnx': 'classify softmax 127.5',
    'squeezenet1.1.onnx': 'classify softmax 1',
    'super_resolution_x3.onnx': 'image none 255',
    'ultraface_rfb_320.onnx': 'detect ultraface 1',
  };
  for (const file of Object.keys(NETWORKS))
    it.skipIf(missing(file))(missing(file) || `a real network: ${file}`, async () => {
      const path = join(folder, file);
      await writeFile(path, networkBytes(file));
      const { card, known } = await guessByTrial(path, readModel(networkBytes(file)), {});
      expect(known).toEqual([]);
      expect(`${card.task} ${card.output.decoder} ${card.input.scale}`).toBe(expected[file]);
    });
});

describe('trials', () => {
  const model = writeModel(emitting({ y: { shape: [1, 2], values: [1, 2] } }));
  const feed = { dtype: 'float32', shape: [1, 3, 64, 64], data: new Uint8Array(4 * 3 * 64 * 64) } as const;
  const fed = { model, threads: 1, feeds: [[['x', feed]], [['x', feed]]] } as const;
  const outputs = [[['y', { shape: [1, 2] }]], [['y', { shape: [1, 2] }]]];

  it('answer for each network separately', async () => {
    const end = await withTrials({}, (trials) =>
      trials.run([fed, { model: new Uint8Array([1, 2, 3]), threads: 1, feeds: [] }]),
    );
    expect(end).toMatchObject({
      kind: 'answered',
      answers: [{ outputs }, { failure: { code: 'TESSERA_RUN_FAILED' } }],
    });
  });

  it('load a file once, however many trials use it', async () => {
    const path = join(folder, 'once.onnx');
    await writeFile(path, model);
    const [first, second] = await withTrials({}, async (trials) => {
      const before = await trials.run([{ ...fed, model: path }]);
      // A removed file cannot be loaded again.
      await rm(path);
      return [before, await trials.run([{ ...fed, model: path }])];
    });
    expect(second).toEqual(first);
    expect(second).toMatchObject({ kind: 'answered', answers: [{ outputs }] });
  });

  it('continue after a network that took too long', async () => {
    await withTrials({ limitMs: 1 }, async (trials) => {
      expect(await trials.run([fed])).toEqual({ kind: 'late', seconds: 0.001 });
      expect(await trials.run([fed])).toEqual({ kind: 'late', seconds: 0.001 });
    });
  });

  it('do not run when they were aborted before', async () => {
    const trial = withTrials({ signal: AbortSignal.abort() }, (trials) => trials.run([fed]));
    await expect(trial).rejects.toThrow(/aborted/);
  });
});
