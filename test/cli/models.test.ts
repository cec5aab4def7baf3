import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { modelsToServe } from '../../cli/models.ts';
import { configSchema } from '../../shared/config/schema.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tessera-models-'));
});
afterEach(() => rm(dir, { recursive: true }));

async function served(cameras: object = {}) {
  return modelsToServe(configSchema.parse({ models: { dir }, cameras }));
}

it('serves the models of the models folder, and the bundled one only where the folder has none', async () => {
  expect(await served()).toEqual([{ name: 'scenes' }]);
  await writeFile(join(dir, 'mine.onnx'), writeModel(tinyNetwork()));
  expect(await served()).toEqual([{ name: 'mine' }]);
  expect(await served({ door: { models: ['scenes'] } })).toEqual([{ name: 'mine' }, { name: 'scenes' }]);
});

it('a model that only a camera names is to be served too, so that its absence is an error', async () => {
  await writeFile(join(dir, 'mine.onnx'), writeModel(tinyNetwork()));
  expect(await served({ door: { models: ['fastestdet'] } })).toEqual([{ name: 'mine' }, { name: 'fastestdet' }]);
});

it('a folder without a model does not prevent serving the others', async () => {
  await writeFile(join(dir, 'mine.onnx'), writeModel(tinyNetwork()));
  await mkdir(join(dir, 'empty'));
  expect(await served()).toEqual([
    { name: 'empty', error: expect.stringMatching(/empty holds no model\.yaml/) },
    { name: 'mine' },
  ]);
});
