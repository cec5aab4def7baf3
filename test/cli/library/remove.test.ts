import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { removeModel } from '../../../cli/library/remove.ts';
import { packageFolder } from '../../../shared/runtime/version.ts';

/** A removed model is gone: only models of the user's own folder may be removed. */

let root: string;
let dir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'remove-'));
  dir = join(root, 'models');
  await mkdir(dir);
});
afterEach(() => rm(root, { recursive: true }));

const remove = (name: string) =>
  removeModel(name, { dir, modelsDirs: [dir], bundledDir: join(packageFolder(), 'config', 'models') });

it('removes a folder, or a file with the files that belong to it, and says what it removed', async () => {
  await mkdir(join(dir, 'a'));
  await writeFile(join(dir, 'a', 'model.yaml'), '');
  for (const file of ['b.onnx', 'b.yaml', 'b.labels.txt', 'bc.onnx']) await writeFile(join(dir, file), '');
  expect(await remove('a')).toEqual([join(dir, 'a')]);
  expect(await remove('b')).toEqual(['b.onnx', 'b.yaml', 'b.labels.txt'].map((file) => join(dir, file)));
  expect(await readdir(dir)).toEqual(['bc.onnx']);
});

it('refuses bundled models, names that are no model, and paths', async () => {
  await mkdir(join(dir, 'photos'));
  await writeFile(join(dir, 'photos', 'cat.jpg'), '');
  await writeFile(join(dir, 'notes.txt'), '');
  await expect(remove('scenes')).rejects.toMatchObject({ code: 'TESSERA_USAGE', message: /comes with Tessera/ });
  await expect(remove('photos')).rejects.toMatchObject({ code: 'TESSERA_USAGE', message: /holds no model/ });
  await expect(remove('notes')).rejects.toMatchObject({ code: 'TESSERA_MODEL_UNKNOWN' });
  for (const path of ['../models', '.', '..', dir, 'a/b', ''])
    await expect(remove(path)).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
  expect(await readdir(dir)).toEqual(['notes.txt', 'photos']);
});

it('names the nearest model where no model has the name', async () => {
  await writeFile(join(dir, 'resnet.onnx'), '');
  await expect(remove('resnt')).rejects.toMatchObject({
    code: 'TESSERA_MODEL_UNKNOWN',
    message: expect.stringContaining('did you mean "resnet"?'),
  });
});

it('removes a link and keeps its target', async () => {
  await mkdir(join(root, 'elsewhere'));
  await writeFile(join(root, 'elsewhere', 'model.onnx'), '');
  await symlink(join(root, 'elsewhere'), join(dir, 'linked'));
  expect(await remove('linked')).toEqual([join(dir, 'linked')]);
  expect(await readdir(join(root, 'elsewhere'))).toEqual(['model.onnx']);
});
