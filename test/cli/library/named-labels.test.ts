import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../../cli/library/library.ts';
import { NAMED_LABELS, type NamedLabels } from '../../../shared/model/named-labels.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { tinyNetwork } from '../../support/tiny-network.ts';

/** A list with one line too many, or in another order, would name every later class wrongly. */

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'labels-'));
});
afterEach(() => rm(dir, { recursive: true }));

async function labelsOf(name: NamedLabels): Promise<readonly string[]> {
  await writeFile(join(dir, 'model.onnx'), writeModel(tinyNetwork()));
  await writeFile(join(dir, 'model.yaml'), `name: a\ntask: classify\nlabels: ${name}\n`);
  return (await loadModel(dir, { modelsDirs: [] })).labels;
}

describe('bundled lists of labels', () => {
  it.each(Object.keys(NAMED_LABELS) as NamedLabels[])('%s has a label for each of its classes', async (name) => {
    const labels = await labelsOf(name);
    expect(labels).toHaveLength(NAMED_LABELS[name].classes);
    expect(labels.every((label) => label !== '' && label.length < 40)).toBe(true);
    const repeated = labels.filter((label, index) => labels.indexOf(label) < index);
    expect(repeated).toEqual([]);
  });

  it("are in the order of the networks' classes", async () => {
    const imagenet = await labelsOf('imagenet-1k');
    expect([0, 207, 281, 504, 817, 985, 999].map((index) => imagenet[index])).toEqual([
      'tench',
      'golden retriever',
      'tabby',
      'coffee mug',
      'sports car',
      'daisy',
      'toilet tissue',
    ]);
    expect((await labelsOf('imagenet-1001'))[1]).toBe('tench');
    const coco = await labelsOf('coco');
    expect([0, 2, 16, 56, 79].map((index) => coco[index])).toEqual(['person', 'car', 'dog', 'chair', 'toothbrush']);
    expect((await labelsOf('coco-81'))[1]).toBe('person');
  });

  const images = join(process.env.TESSERA_DATA ?? '../shared/data', 'images');
  const synsets = join(images, 'imagenet', 'synset_words.txt');
  const names = join(images, 'coco', 'names.yaml');

  it.skipIf(!existsSync(synsets))(
    existsSync(synsets) ? 'name the synsets of ImageNet' : `${synsets} is missing`,
    async () => {
      const lines = readFileSync(synsets, 'utf8').trim().split('\n');
      const labels = await labelsOf('imagenet-1k');
      const wrong = labels.filter((label, index) => {
        const synonyms = lines[index]!.replace(/^n\d+ /, '').split(',');
        return !synonyms.some(
          (synonym) => synonym.trim().toLowerCase() === label.replace(/ \(.*\)$/, '').toLowerCase(),
        );
      });
      expect(wrong).toEqual([]);
      expect(lines).toHaveLength(labels.length);
    },
  );

  it.skipIf(!existsSync(names))(existsSync(names) ? 'are the names of COCO' : `${names} is missing`, async () => {
    const lines = [...readFileSync(names, 'utf8').matchAll(/^\s+\d+: (.*)$/gm)].map(([, name]) => name);
    expect(await labelsOf('coco')).toEqual(lines);
  });
});
