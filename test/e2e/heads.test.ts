import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { parseYaml } from '../../shared/runtime/yaml.ts';
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

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');
const coco = join(data, 'images', 'coco');
/** Crowds in which people did not mark each person. */
const CROWDS = ['000000002299', '000000012670'];

type Box = NonNullable<ResultObject['predictions'][number]['box']>;
interface Marked {
  readonly label: string;
  readonly box: Box;
  /** Of the picture. */
  readonly share: number;
}

/** What people marked in a picture. */
async function markedIn(picture: string, { width, height }: ResultObject): Promise<Marked[]> {
  const { names } = parseYaml(await readFile(join(coco, 'names.yaml'), 'utf8'), 'names', 'TESSERA_MODEL_CARD') as {
    names: Record<number, string>;
  };
  const text = await readFile(join(coco, 'labels', `${picture}.txt`), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number) as [number, number, number, number, number])
    .map(([index, x, y, w, h]) => ({
      label: names[index]!,
      box: [(x - w / 2) * width!, (y - h / 2) * height!, (x + w / 2) * width!, (y + h / 2) * height!],
      share: w * h,
    }));
}

function overlap(a: Box, b: Box): number {
  const [w, h] = [Math.min(a[2], b[2]) - Math.max(a[0], b[0]), Math.min(a[3], b[3]) - Math.max(a[1], b[1])];
  const area = (box: Box): number => (box[2] - box[0]) * (box[3] - box[1]);
  return w <= 0 || h <= 0 ? 0 : (w * h) / (area(a) + area(b) - w * h);
}

describe.skipIf(!existsSync(coco))(
  `a real detector, on pictures in which people marked what is there (${coco})`,
  () => {
    async function found(model: string): Promise<{ picture: string; result: ResultObject; marked: Marked[] }[]> {
      const downloads = { NODE_OPTIONS: `--require=${resolve('test/support/downloads.cjs')}` };
      const env = { TESSERA_MODELS__DIR: join(folder, 'real'), TEST_DOWNLOADS: join(data, 'models'), ...downloads };
      expect(await runCli(['model', 'add', model], { env })).toMatchObject({ code: 0 });
      const { stdout } = await runCli(['infer', join(coco, 'images'), '--model', model, '--nodes', '1', '--json'], {
        env,
      });
      const lines = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      return Promise.all(
        lines.map(async ({ file: path, ...rest }) => {
          const picture = basename(path, '.jpg');
          const result = resultObject.parse(rest);
          return { picture, result, marked: await markedIn(picture, result) };
        }),
      );
    }

    test('FastestDet: what it is sure of is there, and of large things it finds most', async () => {
      let [right, wrong, large, seen] = [0, 0, 0, 0];
      for (const { result, marked } of await found('fastestdet')) {
        const matches = (one: ResultObject['predictions'][number]) => (there: Marked) =>
          there.label === one.label && overlap(there.box, one.box!) >= 0.5;
        for (const one of result.predictions.filter(({ score }) => score >= 0.8))
          marked.some(matches(one)) ? right++ : wrong++;
        const big = marked.filter(({ share }) => share > 0.1);
        large += big.length;
        seen += big.filter((there) => result.predictions.some((one) => matches(one)(there))).length;
      }
      // Seen: 52 of 59, 44 of 54.
      expect(right / (right + wrong)).toBeGreaterThan(0.8);
      expect(seen / large).toBeGreaterThan(0.7);
    }, 120_000);

    test('UltraFace: faces are where the heads of people are', async () => {
      let [right, wrong] = [0, 0];
      for (const { picture, result, marked } of await found('ultraface')) {
        if (CROWDS.includes(picture)) continue;
        for (const { box } of result.predictions) {
          const [x, y] = [(box![0] + box![2]) / 2, (box![1] + box![3]) / 2];
          const isHead = ({ label, box: [x1, y1, x2, y2] }: Marked): boolean =>
            label === 'person' && x > x1 && x < x2 && y > y1 && y < (y1 + y2) / 2;
          marked.some(isHead) ? right++ : wrong++;
        }
      }
      // Seen: 43 of 45.
      expect(right / (right + wrong)).toBeGreaterThan(0.9);
      expect(right).toBeGreaterThan(30);
    }, 120_000);
  },
);
