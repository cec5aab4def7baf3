import { readdirSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listModels, loadModel } from '../../../cli/library/library.ts';
import { missing } from '../../shared/onnx/networks.ts';
import { folderWith, onnxFile } from '../../support/library.ts';

const card = (more = '') => `name: person\ntask: classify\n${more}`;

describe('loadModel', () => {
  it('finds a model folder by name and by path', async () => {
    const dir = await folderWith({
      'person/model.yaml': card('labels: labels.txt'),
      'person/model.onnx': onnxFile(),
      'person/labels.txt': 'a\nb\nc\n',
    });
    for (const name of [
      'person',
      join(dir, 'person'),
      join(dir, 'person', 'model.yaml'),
      join(dir, 'person', 'model.onnx'),
    ]) {
      const model = await loadModel(name, { modelsDirs: [dir] });
      expect(model).toMatchObject({
        card: { name: 'person', task: 'classify' },
        modelPath: join(dir, 'person', 'model.onnx'),
        cardPath: join(dir, 'person', 'model.yaml'),
        labels: ['a', 'b', 'c'],
        guessed: false,
      });
    }
  });

  it('takes from the file what the card leaves out', async () => {
    const dir = await folderWith({ 'person/model.yaml': card(), 'person/model.onnx': onnxFile() });
    const { card: loaded } = await loadModel('person', { modelsDirs: [dir] });
    expect(loaded.input).toMatchObject({ tensor: 'x', shape: [1, 3, 8, 8] });
  });

  it('guesses the card of a bare file, with the labels beside it', async () => {
    const dir = await folderWith({ 'net.onnx': onnxFile(), 'net.labels.txt': 'a\nb\nc' });
    const model = await loadModel(join(dir, 'net.onnx'), { modelsDirs: [] });
    expect(model).toMatchObject({
      card: { name: 'net', task: 'classify' },
      cardPath: undefined,
      labels: ['a', 'b', 'c'],
      guessed: true,
    });
    expect(model.guessedFields).toContain('input.scale');
    expect((await loadModel('net', { modelsDirs: [dir] })).card.name).toBe('net');
  });

  it('prefers a card beside the file to a guess, but not the card of another file', async () => {
    const dir = await folderWith({
      'a.onnx': onnxFile(),
      'a.yaml': card('model: a.onnx'),
      'b.onnx': onnxFile(),
      'model.yaml': card('model: c.onnx'),
      'c.onnx': onnxFile(),
    });
    const places = { modelsDirs: [] };
    expect((await loadModel(join(dir, 'a.onnx'), places)).guessed).toBe(false);
    expect((await loadModel(join(dir, 'b.onnx'), places)).guessed).toBe(true);
    expect((await loadModel(join(dir, 'c.onnx'), places)).guessed).toBe(false);
  });

  it('still reports which lines of a written card are guesses', async () => {
    const dir = await folderWith({
      'p/model.yaml': card('input:\n  scale: 255 # guessed\n'),
      'p/model.onnx': onnxFile(),
    });
    expect(await loadModel('p', { modelsDirs: [dir] })).toMatchObject({
      guessed: true,
      guessedFields: ['input.scale'],
    });
  });

  it("uses the caller's sizes where the file leaves them open, for the guess too", async () => {
    const dir = await folderWith({
      'net.onnx': onnxFile(['N', 3, 'H', 'W']),
      'p/model.yaml': card(),
      'p/model.onnx': onnxFile(),
    });
    const places = { modelsDirs: [dir], inputShape: [1, 3, 40, 56] };
    expect((await loadModel('net', places)).card.input.shape).toEqual([1, 3, 40, 56]);
    expect((await loadModel('p', places)).card.input.shape).toEqual([1, 3, 40, 56]);
    expect((await loadModel('net', { modelsDirs: [dir] })).card.input.shape).toBeUndefined();
  });

  it("lets the user's models hide the bundled ones", async () => {
    const mine = await folderWith({ 'p/model.yaml': card('note: mine'), 'p/model.onnx': onnxFile() });
    const bundled = await folderWith({
      'p/model.yaml': card('note: bundled'),
      'p/model.onnx': onnxFile(),
      'q/model.yaml': card('note: bundled'),
      'q/model.onnx': onnxFile(),
    });
    const places = { modelsDirs: [mine], bundledDir: bundled };
    expect((await loadModel('p', places)).card.note).toBe('mine');
    expect((await loadModel('q', places)).card.note).toBe('bundled');
  });

  it('refuses a network that is not the one the card was written for', async () => {
    const dir = await folderWith({
      'p/model.yaml': card(`sha256: '${'0'.repeat(64)}'`),
      'p/model.onnx': onnxFile(),
    });
    await expect(loadModel('p', { modelsDirs: [dir] })).rejects.toMatchObject({ code: 'TESSERA_MODEL_INVALID' });
  });

  it.each([
    ['no network', { 'p/model.yaml': card() }, /model: there is no file/],
    [
      'no labels',
      { 'p/model.yaml': card('labels: l.txt'), 'p/model.onnx': onnxFile() },
      /labels: .*l\.txt cannot be read/,
    ],
    ['a wrong card', { 'p/model.yaml': 'name: p\ntask: sing', 'p/model.onnx': onnxFile() }, /task: "sing" given/],
    ['broken YAML', { 'p/model.yaml': 'name: [', 'p/model.onnx': onnxFile() }, /model\.yaml:1:\d+/],
  ])('says what is wrong: %s', async (_, files, message) => {
    const dir = await folderWith(files as Record<string, string>);
    await expect(loadModel('p', { modelsDirs: [dir] })).rejects.toMatchObject({
      code: 'TESSERA_MODEL_CARD',
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ['labels above the folder', 'labels: ../secret.txt', /labels: \.\.\/secret\.txt lies outside of/],
    ['labels at a path from the root', 'labels: /etc/hostname', /labels: \/etc\/hostname lies outside of/],
    [
      'labels behind a link out of the folder',
      'labels: link.txt',
      /labels: link\.txt is a link to .*secret\.txt, outside of/,
    ],
    ['labels below a linked folder', 'labels: out/secret.txt', /labels: out\/secret\.txt is a link to .*, outside of/],
    ['a network above the folder', 'model: ../other.onnx', /model: \.\.\/other\.onnx lies outside of/],
    [
      'a network behind a link out of the folder',
      'model: link.onnx',
      /model: link\.onnx is a link to .*other\.onnx, outside of/,
    ],
  ])("reads no file outside of the model's folder, whatever its card says: %s", async (_, line, message) => {
    const dir = await folderWith({
      'p/model.yaml': card(line),
      'p/model.onnx': onnxFile(),
      'secret.txt': 'root:x:0:0',
      'other.onnx': onnxFile(),
    });
    await symlink(join(dir, 'secret.txt'), join(dir, 'p', 'link.txt'));
    await symlink(join(dir, 'other.onnx'), join(dir, 'p', 'link.onnx'));
    await symlink(dir, join(dir, 'p', 'out'));
    await expect(loadModel('p', { modelsDirs: [dir] })).rejects.toMatchObject({
      code: 'TESSERA_MODEL_CARD',
      message: expect.stringMatching(message),
      hint: expect.any(String),
    });
  });

  it('follows links within the folder, and those on the path to it', async () => {
    const dir = await folderWith({
      'real/model.yaml': card('labels: names/labels.txt'),
      'real/v2.onnx': onnxFile(),
      'real/words.txt': 'a\nb\nc',
      'real/names/.keep': '',
    });
    await symlink('v2.onnx', join(dir, 'real', 'model.onnx'));
    await symlink('../words.txt', join(dir, 'real', 'names', 'labels.txt'));
    await symlink('real', join(dir, 'p'));
    expect((await loadModel('p', { modelsDirs: [dir] })).labels).toEqual(['a', 'b', 'c']);
  });

  it('names the nearest model, the available ones, and how to get one of the catalogue', async () => {
    const dir = await folderWith({
      'library/person/model.yaml': card(),
      'library/person/model.onnx': onnxFile(),
      'models.yaml': `version: 1
models:
  fastestdet: {about: x, url: 'https://example.org/a.onnx', sha256: '${'0'.repeat(64)}', license: MIT, source: 'https://example.org', card: {task: raw}}
`,
    });
    const places = { modelsDirs: [join(dir, 'library')], catalogue: join(dir, 'models.yaml') };
    await expect(loadModel('preson', places)).rejects.toMatchObject({
      code: 'TESSERA_MODEL_UNKNOWN',
      message: 'there is no model "preson", did you mean "person"?',
      hint: expect.stringContaining('known are person'),
    });
    await expect(loadModel('fastestdet', places)).rejects.toMatchObject({
      code: 'TESSERA_MODEL_UNKNOWN',
      hint: '`tessera model add fastestdet` gets it',
    });
    await expect(loadModel(join(dir, 'library'), places)).rejects.toMatchObject({ code: 'TESSERA_MODEL_UNKNOWN' });
  });
});

describe('listModels', () => {
  it('shows every model, and those that are broken with the reason', async () => {
    const mine = await folderWith({
      'a.onnx': onnxFile(),
      'b/model.yaml': card(),
      '.adding-x/got/model.onnx': onnxFile(),
      'notes.txt': '',
    });
    const bundledDir = await folderWith({ 'c/model.yaml': card(), 'c/model.onnx': onnxFile() });
    const listed = await listModels({ modelsDirs: [mine, join(mine, 'none')], bundledDir });
    expect(listed.map(({ name, bundled, error }) => [name, bundled, error === undefined])).toEqual([
      ['a', false, true],
      ['b', false, false],
      ['c', true, true],
    ]);
  });
});

describe('cards of the shared networks', () => {
  const base = join(process.env.TESSERA_DATA ?? '../shared/data', 'models');
  for (const file of readdirSync('test/data/cards').filter((name) => name.endsWith('.yaml'))) {
    const network = { 'squeezenet1_1.yaml': 'squeezenet1.1.onnx' }[file] ?? file.replace('.yaml', '.onnx');
    it.skipIf(missing(network))(missing(network) || `${file} fits its network`, async () => {
      const { card, labels } = await loadModel(join('test/data/cards', file), { modelsDirs: [], base });
      expect(card.model).toBe(network);
      if (card.task === 'classify' || card.task === 'detect') expect(labels.length).toBeGreaterThan(0);
    });
  }
});
