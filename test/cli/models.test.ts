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

async function served(cameras: object = {}): Promise<{ names: string[]; warnings: string[] }> {
  const warnings: string[] = [];
  const names = await modelsToServe(configSchema.parse({ models: { dir }, cameras }), (line) => warnings.push(line));
  return { names, warnings };
}

it('serves what the models folder has, and what is bundled only where it has nothing', async () => {
  expect((await served()).names).toEqual(['scenes']);
  await writeFile(join(dir, 'mine.onnx'), writeModel(tinyNetwork()));
  expect(await served()).toEqual({ names: ['mine'], warnings: [] });
  expect((await served({ door: { models: ['scenes'] } })).names).toEqual(['mine', 'scenes']);
});

it('a folder that holds no model does not keep the others away', async () => {
  await writeFile(join(dir, 'mine.onnx'), writeModel(tinyNetwork()));
  await mkdir(join(dir, 'empty'));
  const { names, warnings } = await served();
  expect(names).toEqual(['mine']);
  expect(warnings).toEqual([expect.stringMatching(/empty is not served: .*holds no model\.yaml/)]);
});
