import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import type { Initializer, Model } from '../../shared/onnx/model.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { node, sketch } from '../shared/onnx/build.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/** Untrusted ONNX files, given to the commands that read them: an error code, a hint, and nothing left behind. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-bad-models-'));
  await writeFile(join(folder, 'x.bin'), new Uint8Array(3 * 16 * 16 * 4));
  await writeFile(join(folder, 'x.jpg'), await encodeJpeg(new Uint8Array(16 * 16 * 3), 16, 16, 80));
  await mkdir(join(folder, 'a-folder'));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  await symlink('/etc/passwd', join(folder, 'link'));
  await writeFile(join(folder, 'short.bin'), new Uint8Array(100));
});
afterAll(() => rm(folder, { recursive: true }));

const tiny = tinyNetwork();

function withW1(data: Initializer['data'], dims?: readonly number[]): Model {
  const w1 = tiny.graph.initializers.get('w1')!;
  const initializers = new Map(tiny.graph.initializers).set('w1', { ...w1, data, ...(dims && { dims }) });
  return { ...tiny, graph: { ...tiny.graph, initializers } };
}
const W1_BYTES = 16 * 3 * 3 * 3 * 4;
const lyingIn = (location: string, length = W1_BYTES, dims?: readonly number[]) =>
  writeModel(withW1({ kind: 'external', location, offset: 0, length }, dims));
const shaped = (shape: readonly number[]): Uint8Array => {
  const [input] = tiny.graph.inputs;
  return writeModel({ ...tiny, graph: { ...tiny.graph, inputs: [{ ...input!, shape }], outputs: tiny.graph.outputs } });
};
const without = (name: string): Uint8Array => {
  const initializers = new Map(tiny.graph.initializers);
  initializers.delete(name);
  return writeModel({ ...tiny, graph: { ...tiny.graph, initializers } });
};
const cyclic = writeModel(
  sketch({
    nodes: [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b'])],
    inputs: { x: [1, 3, 16, 16] },
    outputs: ['b'],
  }),
);
const whole = writeModel(tiny);

interface Bad {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly code: RegExp;
  /** It may be added to the library: another shape can be given when it runs. */
  readonly open?: boolean;
}

const BAD: readonly Bad[] = [
  { what: 'nothing', bytes: new Uint8Array(), code: /TESSERA_MODEL_INVALID/ },
  { what: 'a text', bytes: Buffer.from('this is no model'), code: /TESSERA_MODEL_INVALID/ },
  {
    what: 'a pointer of Git LFS',
    bytes: Buffer.from('version https://git-lfs.github.com/spec/v1\n'),
    code: /TESSERA_MODEL_INVALID/,
  },
  {
    what: 'noise',
    bytes: Uint8Array.from({ length: 5000 }, (_, k) => (k * 37 + 5) & 255),
    code: /TESSERA_MODEL_INVALID/,
  },
  { what: 'a model that is cut off', bytes: whole.subarray(0, whole.length - 200), code: /TESSERA_MODEL_INVALID/ },
  { what: 'a cycle', bytes: cyclic, code: /TESSERA_MODEL_INVALID/ },
  { what: 'a weight that is missing', bytes: without('w2'), code: /TESSERA_MODEL_INVALID/ },
  { what: 'weights in a file that is missing', bytes: lyingIn('none.bin'), code: /TESSERA_MODEL_INVALID/ },
  { what: 'weights in a file that is too short', bytes: lyingIn('short.bin'), code: /TESSERA_MODEL_INVALID/ },
  {
    what: 'weights of terabytes in a file of 100 bytes',
    bytes: lyingIn('short.bin', 2 ** 42, [2 ** 20, 2 ** 20]),
    code: /TESSERA_MODEL_INVALID/,
  },
  { what: 'weights in a folder', bytes: lyingIn('a-folder'), code: /TESSERA_MODEL_INVALID/ },
  { what: 'weights in a pipe', bytes: lyingIn('pipe'), code: /TESSERA_MODEL_INVALID/ },
  { what: 'weights behind a link out of the folder', bytes: lyingIn('link'), code: /TESSERA_MODEL_INVALID/ },
  { what: 'weights at a path from the root', bytes: lyingIn('/etc/passwd'), code: /TESSERA_MODEL_INVALID/ },
  { what: 'weights above the folder', bytes: lyingIn('../../etc/passwd'), code: /TESSERA_MODEL_INVALID/ },
  {
    what: 'an input of trillions of cells',
    bytes: shaped([1, 3, 1_000_000, 1_000_000]),
    code: /TESSERA_(SHAPE|MODEL_UNSUPPORTED)/,
    open: true,
  },
  {
    what: 'an input that no number holds',
    bytes: shaped([1, 3, 2 ** 31, 2 ** 31]),
    code: /TESSERA_(SHAPE|MODEL_UNSUPPORTED)/,
    open: true,
  },
];

const file = async (bytes: Uint8Array): Promise<string> => {
  const path = join(folder, 'bad.onnx');
  await writeFile(path, bytes);
  return path;
};

describe('tessera infer --model', () => {
  test.each(BAD)('refuses $what', async ({ bytes, code, open }) => {
    const model = await file(bytes);
    const frame = open === true ? [join(folder, 'x.jpg')] : [join(folder, 'x.bin'), '--tensor', '1x3x16x16'];
    const { code: exit, stdout, stderr } = await runCli(['infer', ...frame, '--model', model]);
    expect(stderr).toMatch(code);
    expect(stderr).toMatch(/\nhint: /);
    expect(stderr).not.toMatch(/TESSERA_INTERNAL|\n {4}at /);
    expect({ exit, stdout }).toEqual({ exit: 1, stdout: '' });
  });
});

describe('tessera model add', () => {
  // The others are read by the same code.
  const files = BAD.filter(({ what, open }) => /weights|cycle|text/.test(what) || open === true);
  test.each(files)('refuses $what, and leaves nothing in the library', async ({ bytes, code, open }) => {
    const model = await file(bytes);
    const library = join(folder, 'library');
    await rm(library, { recursive: true, force: true });
    const env = { TESSERA_MODELS__DIR: library };
    const { code: exit, stderr } = await runCli(['model', 'add', model, '--name', 'bad'], { cwd: folder, env });
    expect(stderr).not.toMatch(/TESSERA_INTERNAL|\n {4}at /);
    if (open === true) return;
    expect(stderr).toMatch(code);
    expect(exit).toBe(1);
    expect(await readdir(library).catch(() => [])).toEqual([]);
  });
});

test('the model that they were derived from runs', async () => {
  const model = await file(whole);
  const { code, stderr } = await runCli([
    'infer',
    join(folder, 'x.bin'),
    '--model',
    model,
    '--tensor',
    '1x3x16x16',
    '--json',
  ]);
  expect({ code, stderr: stderr.slice(0, 500) }).toMatchObject({ code: 0 });
});
