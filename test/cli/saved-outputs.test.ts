import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SavedOutputs, safeStem } from '../../cli/saved-outputs.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { OutputsMessage, ResultObject } from '../../shared/protocol/messages/result.ts';
import { floats } from '../central/tasks/request.ts';
import { emptyResult } from '../support/result-object.ts';

/** Users look at saved pictures instead of numbers: a box at the wrong place, or an overwritten file, misleads. */

let dir: string;
let notes: string[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'saved-'));
  notes = [];
});
afterEach(() => rm(dir, { recursive: true }));

const jpeg = async (width = 64, height = 64) =>
  new Uint8Array(
    await sharp({ create: { width, height, channels: 3, background: '#808080' } })
      .jpeg()
      .toBuffer(),
  );

const result = (task: ResultObject['task'], predictions: ResultObject['predictions'] = []): ResultObject =>
  emptyResult({ width: 64, height: 64, task, predictions });

function tensors(name: string, shape: number[], values: readonly number[]): OutputsMessage {
  const { data } = floats(shape, values);
  const box = shape.map((size) => [0, size]);
  return {
    v: 1,
    id: 'i',
    frame: 'f',
    outputs: [{ tensor: name, box, dtype: 'float32', shape, codec: 'raw', d: data }],
  } as unknown as OutputsMessage;
}

async function pixel(path: string, x: number, y: number): Promise<number[]> {
  const { data, info } = await sharp(await readFile(path))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return [...data.subarray((y * info.width + x) * info.channels, (y * info.width + x + 1) * info.channels)];
}

const segments = parseCard({ name: 'm', task: 'segment', input: { shape: [1, 3, 2, 2], resize: 'stretch' } }, 'card');

it('draws boxes on a copy of the picture, whose other pixels stay unchanged', async () => {
  const saved = await SavedOutputs.open(join(dir, 'new', 'folder'), undefined, (text) => notes.push(text));
  const envelope = { v: 1, format: 'jpeg', d: await jpeg() } as const;
  const said = result('detect', [{ label: 'a<b', score: 0.9, box: [16, 30, 48, 60] }]);
  const [path] = await saved.save({ file: '/x/cat.jpg', envelope, result: said, tensors: undefined });
  expect(path).toBe(join(dir, 'new', 'folder', 'cat.annotated.jpg'));
  const [red = 0, green = 0] = await pixel(path!, 16, 45);
  expect(red - green).toBeGreaterThan(40);
  const [r = 0, g = 0] = await pixel(path!, 32, 45);
  expect(Math.abs(r - g)).toBeLessThan(10);
});

it('writes class numbers as a mask, and their colours over the picture', async () => {
  const saved = await SavedOutputs.open(dir, segments, (text) => notes.push(text));
  const envelope = { v: 1, format: 'jpeg', d: await jpeg() } as const;
  // Class 1 in the right half.
  const scores = tensors('y', [1, 2, 2, 2], [1, 0, 1, 0, 0, 1, 0, 1]);
  const paths = await saved.save({ file: 'road.png', envelope, result: result('segment'), tensors: scores });
  expect(paths).toEqual([join(dir, 'road.mask.png'), join(dir, 'road.overlay.jpg')]);
  expect([(await pixel(paths[0]!, 0, 0))[0], (await pixel(paths[0]!, 1, 1))[0]]).toEqual([0, 1]);
  const [left, right] = [await pixel(paths[1]!, 8, 32), await pixel(paths[1]!, 56, 32)];
  expect(Math.max(...left) - Math.min(...left)).toBeLessThan(10);
  expect(Math.max(...right) - Math.min(...right)).toBeGreaterThan(40);
});

it('does not place a mask when it does not know how pictures were preprocessed', async () => {
  const saved = await SavedOutputs.open(dir, undefined, (text) => notes.push(text));
  const envelope = { v: 1, format: 'jpeg', d: await jpeg() } as const;
  const scores = tensors('y', [1, 2, 2, 2], [1, 0, 1, 0, 0, 1, 0, 1]);
  const answered = { file: 'road.png', envelope, result: result('segment'), tensors: scores };
  expect(await saved.save(answered)).toEqual([join(dir, 'road.mask.png')]);
  await saved.save(answered);
  expect(notes).toEqual([expect.stringContaining('not drawn over')]);
});

it.each([
  ['from 0 to 1', [0, 1, 0.5, 1], [0, 255, 128, 255]],
  ['from -1 to 1', [-1, 1, 0, 1], [0, 255, 128, 255]],
  ['bytes', [0, 255, 128, 300], [0, 255, 128, 255]],
])('writes a picture that the network made, whose numbers are %s', async (_, values, expected) => {
  const card = parseCard({ name: 'm', task: 'image', input: { shape: [1, 1, 2, 2], color: 'gray' } }, 'card');
  const saved = await SavedOutputs.open(dir, card, (text) => notes.push(text));
  const envelope = { v: 1, format: 'jpeg', d: await jpeg() } as const;
  const answered = { file: 'a.jpg', envelope, result: result('image'), tensors: tensors('y', [1, 1, 2, 2], values) };
  const [path] = await saved.save(answered);
  const { data } = await sharp(await readFile(path!))
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([...data]).toEqual(expected);
});

it('writes raw outputs under safe names, and never over an existing file', async () => {
  await writeFile(join(dir, 'evil.a_b.npy'), 'mine');
  const saved = await SavedOutputs.open(dir, undefined, (text) => notes.push(text));
  const envelope = { v: 1, format: 'tensor', d: new Uint8Array(0) } as const;
  const answered = { file: '../../evil.bin', envelope, result: result('raw'), tensors: tensors('../a/b', [1], [1]) };
  expect(await saved.save(answered)).toEqual([join(dir, 'evil._a_b.npy')]);
  expect(await saved.save(answered)).toEqual([join(dir, 'evil-2._a_b.npy')]);
  expect(await readFile(join(dir, 'evil.a_b.npy'), 'utf8')).toBe('mine');
  expect(await readdir(dir)).toHaveLength(3);
});

it('names a folder that cannot be written', async () => {
  await writeFile(join(dir, 'file'), '');
  await expect(SavedOutputs.open(join(dir, 'file'), undefined, () => {})).rejects.toMatchObject({
    code: 'TESSERA_USAGE',
  });
});

it('makes file names that are valid on every system', () => {
  expect(['/a/b c:d.jpg', '.hidden', '..', 'ü.png', `${'x'.repeat(300)}.jpg`].map(safeStem)).toEqual([
    'b_c_d',
    'hidden',
    'frame',
    '_',
    'x'.repeat(80),
  ]);
});
