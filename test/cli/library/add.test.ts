import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { addModel } from '../../../cli/library/add.ts';
import { catalogueCard, readCatalogue } from '../../../cli/library/catalogue.ts';
import { loadModel } from '../../../cli/library/library.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { node, sketch } from '../../shared/onnx/build.ts';
import { folderWith, onnxFile } from '../../support/library.ts';

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function catalogue(url: string, sha256: string): string {
  return `version: 1
models:
  pets:
    about: Tells pets apart
    url: ${url}
    sha256: '${sha256}'
    license: MIT
    source: https://example.org/pets
    card:
      task: classify
      input: {tensor: x, shape: [1, 3, 8, 8], color: bgr}
      labels: [cat, dog, fish]
`;
}

describe('addModel', () => {
  it('imports a bare file with its guesses marked, so that the written model is the same as the guessed one', async () => {
    const from = await folderWith({ 'my net.onnx': onnxFile() });
    const dest = join(from, 'library');
    const added = await addModel(join(from, 'my net.onnx'), { dest });
    expect(added).toMatchObject({
      name: 'my_net',
      folder: join(dest, 'my_net'),
      card: { model: 'model.onnx', sha256: sha(onnxFile()) },
    });
    const text = await readFile(join(added.folder, 'model.yaml'), 'utf8');
    expect(text).toMatch(/^# Written by `tessera model add`/);
    expect(text).toMatch(/\n {2}color: rgb # guessed\n/);
    expect(text).toMatch(/\n {2}shape: \[1, 3, 8, 8\]\n/);
    const loaded = await loadModel('my_net', { modelsDirs: [dest] });
    expect(loaded.card).toEqual(added.card);
    expect([...loaded.guessedFields].sort()).toEqual([...added.guessedFields].sort());
    expect(await readdir(dest)).toEqual(['my_net']);
  });

  it('puts a shape that the user gives into the card', async () => {
    const from = await folderWith({ 'a.onnx': onnxFile(['N', 3, 'H', 'W']) });
    const dest = join(from, 'library');
    expect((await addModel(join(from, 'a.onnx'), { dest })).card.input.shape).toBeUndefined();
    const added = await addModel(join(from, 'a.onnx'), { dest, name: 'b', inputShape: [1, 3, 40, 56] });
    expect(added.card.input.shape).toEqual([1, 3, 40, 56]);
  });

  it('copies a model folder with its card and labels', async () => {
    const from = await folderWith({
      'p/model.yaml': 'name: p\ntask: classify\nmodel: net.onnx\nlabels: names.txt\n',
      'p/net.onnx': onnxFile(),
      'p/names.txt': Array.from({ length: 30 }, (_, i) => `label ${i}`).join('\n'),
    });
    const dest = join(from, 'library');
    const added = await addModel(join(from, 'p'), { dest, name: 'q' });
    expect((await readdir(added.folder)).sort()).toEqual(['labels.txt', 'model.onnx', 'model.yaml']);
    const loaded = await loadModel('q', { modelsDirs: [dest] });
    expect(loaded).toMatchObject({ card: { name: 'q' }, guessed: false });
    expect(loaded.labels).toHaveLength(30);
  });

  it('copies weights that lie in files of their own', async () => {
    const inline = constantTensor('w', 'float32', [1, 3, 1, 1], [1, 2, 3]);
    const model = sketch({
      nodes: [node('Mul', ['x', 'w'], ['y'])],
      inputs: { x: [1, 3, 8, 8] },
      outputs: ['y'],
      constants: [inline],
    });
    const external = {
      ...inline,
      data: { kind: 'external', location: 'weights/w.bin', offset: 0, length: 12 },
    } as const;
    const initializers = new Map([['w', external]]);
    const from = await folderWith({
      'a.onnx': writeModel({ ...model, graph: { ...model.graph, initializers } }),
      'weights/w.bin': new Uint8Array(12),
    });
    const added = await addModel(join(from, 'a.onnx'), { dest: join(from, 'library') });
    expect(await readFile(join(added.folder, 'weights/w.bin'))).toHaveLength(12);
  });

  it('downloads a model of the catalogue, checks its hash and writes its card', async () => {
    const from = await folderWith({ 'pets.onnx': onnxFile() });
    const path = join(from, 'models.yaml');
    await writeFile(path, catalogue(pathToFileURL(join(from, 'pets.onnx')).href, sha(onnxFile())));
    const added = await addModel('pets', { dest: join(from, 'library'), catalogue: path });
    expect(added).toMatchObject({
      name: 'pets',
      guessedFields: [],
      card: {
        license: 'MIT',
        source: 'https://example.org/pets',
        input: { color: 'bgr' },
        labels: ['cat', 'dog', 'fish'],
      },
    });
  });

  it('leaves no file behind when the hash differs', async () => {
    const from = await folderWith({ 'pets.onnx': onnxFile() });
    const url = pathToFileURL(join(from, 'pets.onnx')).href;
    const other = await folderWith({ 'models.yaml': catalogue(url, '0'.repeat(64)) });
    const dest = join(from, 'library');
    await expect(addModel('pets', { dest, catalogue: join(other, 'models.yaml') })).rejects.toMatchObject({
      code: 'TESSERA_DOWNLOAD',
      message: expect.stringContaining(`SHA-256 is ${sha(onnxFile())}, expected 0000`),
    });
    expect(await readdir(dest)).toEqual([]);
  });

  it('recognises a file of the catalogue by its hash, wherever it comes from', async () => {
    const from = await folderWith({
      'renamed.onnx': onnxFile(),
      'models.yaml': catalogue('https://example.org/pets.onnx', sha(onnxFile())),
    });
    const added = await addModel(join(from, 'renamed.onnx'), {
      dest: join(from, 'library'),
      catalogue: join(from, 'models.yaml'),
    });
    expect(added).toMatchObject({ name: 'renamed', guessedFields: [], card: { input: { color: 'bgr' } } });
  });

  it('replaces a model only when told to', async () => {
    const from = await folderWith({ 'a.onnx': onnxFile(), 'b.onnx': onnxFile(undefined, 14) });
    const dest = join(from, 'library');
    await addModel(join(from, 'a.onnx'), { dest });
    const again = { dest, name: 'a' };
    await expect(addModel(join(from, 'b.onnx'), again)).rejects.toMatchObject({
      code: 'TESSERA_USAGE',
      hint: expect.stringContaining('--force'),
    });
    expect((await addModel(join(from, 'b.onnx'), { ...again, force: true })).card.sha256).toBe(
      sha(onnxFile(undefined, 14)),
    );
  });

  it.each([
    ['a name that nobody has', 'pest', 'TESSERA_MODEL_UNKNOWN', /did you mean "pets"/],
    ['a file that is no model', 'text.onnx', 'TESSERA_MODEL_INVALID', /./],
    ['a path that is not there', './none.onnx', 'TESSERA_MODEL_UNKNOWN', /no file or folder .*none\.onnx/],
    ['an address of another kind', 'file:///does/not/exist.onnx', 'TESSERA_DOWNLOAD', /ENOENT/],
  ])('refuses %s', async (_, source, code, message) => {
    const from = await folderWith({
      'text.onnx': 'this is no model',
      'models.yaml': catalogue('https://example.org/pets.onnx', '0'.repeat(64)),
    });
    const where = source === 'text.onnx' ? join(from, source) : source;
    await expect(
      addModel(where, { dest: join(from, 'library'), catalogue: join(from, 'models.yaml') }),
    ).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(await readdir(join(from, 'library'))).toEqual([]);
  });

  it('refuses a name that is not allowed in topics', async () => {
    const from = await folderWith({ 'a.onnx': onnxFile() });
    await expect(addModel(join(from, 'a.onnx'), { dest: join(from, 'l'), name: '../x' })).rejects.toMatchObject({
      code: 'TESSERA_USAGE',
    });
  });
});

describe('config/models.yaml', () => {
  it('pins every model to a commit and a hash, and its card is right', async () => {
    const { models } = await readCatalogue('config/models.yaml');
    expect(Object.keys(models)).toEqual(expect.arrayContaining(['fastestdet', 'ultraface']));
    for (const [name, entry] of Object.entries(models)) {
      expect(entry.url).toMatch(/^https:\/\/.*\/[0-9a-f]{40}\//);
      expect(catalogueCard(name, entry).labels?.length).toBeGreaterThan(0);
    }
  });

  it('adds no model that does not run, and keeps the model that it would have replaced', async () => {
    const from = await folderWith({ 'a.onnx': onnxFile(), 'b.onnx': onnxFile(undefined, 14) });
    const dest = join(from, 'library');
    const refuse = async (): Promise<void> => {
      throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', 'it does not run');
    };
    const attempt = addModel(join(from, 'a.onnx'), { dest, tryOut: refuse });
    await expect(attempt).rejects.toMatchObject({ code: 'TESSERA_MODEL_UNSUPPORTED' });
    expect(await readdir(dest)).toEqual([]);

    await addModel(join(from, 'a.onnx'), { dest });
    const replaced = addModel(join(from, 'b.onnx'), { dest, name: 'a', force: true, tryOut: refuse });
    await expect(replaced).rejects.toMatchObject({ code: 'TESSERA_MODEL_UNSUPPORTED' });
    expect(await readdir(dest)).toEqual(['a']);
    expect(sha(await readFile(join(dest, 'a', 'model.onnx')))).toBe(sha(onnxFile()));
  });

  it('gets a complete model to try', async () => {
    const from = await folderWith({ 'a.onnx': onnxFile() });
    let seen: string[] = [];
    await addModel(join(from, 'a.onnx'), {
      dest: join(from, 'library'),
      tryOut: async (folder) => {
        seen = await readdir(folder);
      },
    });
    expect(seen.sort()).toEqual(['model.onnx', 'model.yaml']);
  });

  it('removes files that a dead process left behind, and none of a running one', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    const owner = (pid: number, host = hostname()) => JSON.stringify({ pid, host });
    const from = await folderWith({
      'a.onnx': onnxFile(),
      'library/.adding-dead/owner.json': owner(dead),
      'library/.adding-dead/got/model.onnx': onnxFile(),
      'library/.adding-works/owner.json': owner(process.pid),
      'library/.adding-elsewhere/owner.json': owner(dead, 'another-machine'),
      'library/.adding-unnamed/got/x': '',
    });
    const dest = join(from, 'library');
    const old = new Date(Date.now() - 3_600_000);
    await utimes(join(dest, '.adding-unnamed'), old, old);
    await addModel(join(from, 'a.onnx'), { dest });
    expect((await readdir(dest)).sort()).toEqual(['.adding-elsewhere', '.adding-works', 'a']);
  });

  it('ends at once when it is aborted, at any step', async () => {
    const from = await folderWith({ 'a.onnx': onnxFile() });
    const dest = join(from, 'library');
    const abort = new AbortController();
    const attempt = addModel(join(from, 'a.onnx'), {
      dest,
      signal: abort.signal,
      tryOut: () => {
        abort.abort();
        return new Promise(() => {});
      },
    });
    await expect(attempt).rejects.toMatchObject({ name: 'AbortError' });
    expect(await readdir(dest)).toEqual([]);
  });
});
