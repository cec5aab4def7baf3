import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { encodeRetinaface } from '../central/tasks/encoded-heads.ts';
import { type Emitted, emitting } from '../support/emitting-network.ts';

/** Bare detectors from file to boxes: right boxes, or none and a note. */

const SIDE = 320;
let folder: string;
let picture: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heads-'));
  picture = join(folder, 'grey.jpg');
  await writeFile(picture, await encodeJpeg(new Uint8Array(3 * SIDE * SIDE).fill(120), SIDE, SIDE, 90));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, emitted: Emitted): Promise<string> {
  const path = join(folder, `${name}.onnx`);
  await writeFile(path, writeModel(emitting({ y: emitted }, { side: SIDE })));
  return path;
}

function table(shape: readonly number[], at: (row: number, column: number) => number): Emitted {
  const columns = shape.at(-1)!;
  const count = shape.reduce((product, size) => product * size, 1);
  return { shape, values: Array.from({ length: count }, (_, i) => at(Math.floor(i / columns), i % columns)) };
}

const infer = (model: string) =>
  runCli(['infer', picture, '--model', model, '--nodes', '1', '--strategy', 'single', '--json']);

describe('a bare detector', () => {
  test('YOLOX, whose boxes are relative to their cells', async () => {
    // Cell (3, 5) of stride 32: centre (120, 160), 160 wide and high.
    const row = [0.75, 0, Math.log(5), Math.log(5), 0.9, 0, 0, 1];
    const model = await file(
      'yolox',
      table([1, 2100, 8], (box, field) => (box === 2053 ? row[field]! : 0)),
    );
    const { stdout } = await infer(model);
    expect(JSON.parse(stdout)).toMatchObject({
      task: 'detect',
      predictions: [{ label: 'class 2', box: [40, 80, 200, 240].map((side) => expect.closeTo(side, 0)) }],
    });
  });

  test('RetinaFace without its priors is added, with what it was read as, and finds a face', async () => {
    const outputs = encodeRetinaface(SIDE, [{ index: 0, box: [40, 80, 200, 240] }]);
    const emitted = Object.entries(outputs).map(([name, { shape, data }]) => {
      const values = Array.from(new Float32Array(data.slice().buffer));
      return [name, { shape, values }] as const;
    });
    const path = join(folder, 'faces.onnx');
    await writeFile(path, writeModel(emitting(Object.fromEntries(emitted), { side: SIDE })));
    const env = { TESSERA_MODELS__DIR: join(folder, 'faces-library') };
    const added = await runCli(['model', 'add', path], { env });
    expect(added.stderr).toContain('its outputs are read as retinaface, from loc [1, 4200, 4], conf [1, 4200, 2]');
    const flags = ['--model', 'faces', '--nodes', '1', '--strategy', 'single', '--json'];
    const { stdout } = await runCli(['infer', picture, ...flags], { env });
    expect(JSON.parse(stdout).predictions).toEqual([
      { label: 'face', score: 0.9, box: [40, 80, 200, 240].map((side) => expect.closeTo(side, 0)) },
    ]);
  });

  test('an ambiguous one stays raw, with a note, and is added with the observations', async () => {
    const model = await file(
      'odd',
      table([1, 84, 2100], (field) => (field < 4 ? 100 : 7)),
    );
    const { stdout, stderr } = await infer(model);
    expect(JSON.parse(stdout)).toMatchObject({ task: 'raw', status: 'ok', predictions: [] });
    expect(stderr).toMatch(
      /the meaning of the outputs of odd is not certain, so they stay raw: outputs: y \[1, 84, 2100\]/,
    );
    const added = await runCli(['model', 'add', model], { env: { TESSERA_MODELS__DIR: join(folder, 'library') } });
    expect(added.stderr).toMatch(
      /stay raw.*\n- outputs: y \[1, 84, 2100\]\n- not yolov8 of 80 classes: 7 would be a score/,
    );
    const card = await readFile(join(folder, 'library', 'odd', 'model.yaml'), 'utf8');
    expect(card).toMatch(/# - not yolov8 of 80 classes[\s\S]*task: raw # guessed/);
  });
});
