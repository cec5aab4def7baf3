import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAfterTrial, trialOf } from '../../central/trial.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { type BlobStore, silentLog } from '../../shared/ports.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey, type SigningKey } from '../../shared/runtime/signature.ts';
import { type TrialOptions, withTrials } from '../../shared/runtime/trial.ts';
import { ints, node, sketch } from '../shared/onnx/build.ts';
import { emitting } from '../support/emitting-network.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/** A network is tried in a child process: if that failed, one bad model would end central and its nodes. */

let folder: string;
let store: BlobStore;
let key: SigningKey;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-trial-'));
  store = await openBlobStore(join(folder, 'blobs'));
  key = await openSigningKey(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const load = (model: Model, meaning: object = { task: 'raw' }) => {
  const card = parseCard({ name: 'net', ...meaning }, 'net');
  return withTrials({}, (trials) =>
    loadAfterTrial(
      { name: 'net', card, labels: [], model, picture: false },
      { store, key, threads: 1, log: silentLog, trials },
    ),
  );
};

describe('a network is served', () => {
  test('when the runtime runs it', async () => {
    expect((await load(tinyNetwork())).outputs).toEqual(['y']);
  });

  test('not when its operator set is newer than the runtime', async () => {
    await expect(load({ ...tinyNetwork(), opsets: new Map([['', 99]]) })).rejects.toMatchObject({
      code: 'TESSERA_MODEL_UNSUPPORTED',
      message: expect.stringMatching(/^model "net" cannot run: this runtime knows operator sets up to \d+/),
      hint: expect.stringContaining('opset_version='),
    });
  });

  test('not when the decoder of its card cannot read its outputs, whose shapes are named', async () => {
    const emitted = (shape: readonly number[]) =>
      emitting({ y: { shape, values: Array(shape.reduce((a, b) => a * b)).fill(0) } });
    const detector = { task: 'detect', input: { shape: [1, 3, 64, 64] }, output: { decoder: 'yolo' } };
    expect((await load(emitted([1, 84, 84]), detector)).outputs).toEqual(['y']);
    await expect(load(emitted([1, 83, 82]), detector)).rejects.toMatchObject({
      code: 'TESSERA_MODEL_CARD',
      message: expect.stringMatching(/decoder yolo needs .*; the outputs are y \[1, 83, 82\]/),
    });
  });

  test("not when shapes do not fit, which is reported by Tessera's own rules", async () => {
    const model = sketch({
      nodes: [node('Reshape', ['x', 'shape'], ['y'])],
      inputs: { x: [1, 3, 8, 8] },
      outputs: ['y'],
      constants: [ints('shape', [7, 7])],
    });
    await expect(load(model)).rejects.toMatchObject({
      code: 'TESSERA_SHAPE',
      message: expect.stringContaining('Reshape "y"'),
    });
  });
});

describe('the process of a trial', () => {
  const script = async (text: string): Promise<string> => {
    const file = join(folder, 'script.mjs');
    await writeFile(file, text);
    return file;
  };
  const tryNetwork = async (options: TrialOptions) =>
    trialOf(await withTrials(options, (trials) => trials.run([{ model: '', threads: 1 }])));

  test('may crash', async () => {
    const trial = await tryNetwork({ script: await script('process.abort()') });
    expect(trial).toMatchObject({ kind: 'refused', failure: { message: expect.stringContaining('crashed') } });
  });

  test('may run for ever', async () => {
    const trial = await tryNetwork({ limitMs: 500, script: await script('for (;;);') });
    expect(trial).toMatchObject({ kind: 'refused', failure: { message: expect.stringContaining('0.5 s') } });
  });

  test('that the system kills leaves the network untried', async () => {
    const trial = await tryNetwork({ script: await script("process.kill(process.pid, 'SIGKILL')") });
    expect(trial.kind).toBe('untried');
  });

  const stuck = (note: string, before = '') =>
    script(
      `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(note)}, String(process.pid)); ${before} for (;;);`,
    );

  test('ends once it has answered', async () => {
    const note = join(folder, 'answered');
    const answered = 'await new Promise((sent) => process.send([{ made: [] }], sent));';
    expect((await tryNetwork({ script: await stuck(note, answered) })).kind).toBe('ran');
    await expect.poll(async () => isAlive(Number(await readFile(note, 'utf8')))).toBe(false);
  });

  test('ends at once when it is cancelled', async () => {
    const note = join(folder, 'aborted');
    const abort = new AbortController();
    const trial = tryNetwork({ signal: abort.signal, script: await stuck(note) });
    const pid = async () => Number(await readFile(note, 'utf8').catch(() => '0'));
    await expect.poll(pid).toBeGreaterThan(0);
    abort.abort(new Error('enough'));
    await expect(trial).rejects.toThrow('enough');
    await expect.poll(async () => isAlive(await pid())).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
