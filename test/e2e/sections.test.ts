import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deployment } from '../../bench/testbed/deployment.ts';
import { constantTensor } from '../../shared/onnx/values.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { encodePng } from '../../shared/runtime/image.ts';
import { ints, node, sketch } from '../shared/onnx/build.ts';

/** Lost if this fails: small objects of a large picture, or the one result of a frame whose sections nodes share. */

const INPUT = 64;
const CELLS = 64;

/** A detector of bright dots: the brightest pixel of each of 8x8 cells is the score of a box around it (YOLOv8's layout). */
function dotDetector(): Uint8Array {
  const boxes = Array.from({ length: 4 * CELLS }, (_, i) => {
    const cell = i % CELLS;
    return i < CELLS ? 8 * (cell % 8) + 4 : i < 2 * CELLS ? 8 * Math.floor(cell / 8) + 4 : 8;
  });
  return writeModel(
    sketch({
      nodes: [
        node('Conv', ['x', 'third'], ['grey']),
        node('MaxPool', ['grey'], ['best'], { kernel_shape: [8, 8], strides: [8, 8] }),
        node('Reshape', ['best', 'shape'], ['scores']),
        node('Concat', ['boxes', 'scores'], ['y'], { axis: 1 }),
      ],
      inputs: { x: [1, 3, INPUT, INPUT] },
      outputs: ['y'],
      constants: [
        constantTensor('third', 'float32', [1, 3, 1, 1], [1 / 3, 1 / 3, 1 / 3]),
        ints('shape', [1, 1, CELLS]),
        constantTensor('boxes', 'float32', [1, 4, CELLS], boxes),
      ],
    }),
  );
}

const SIDE = 256;
/** Corners of white dots of 3x3 pixels, in no two sections but the whole picture. */
const DOTS = [
  [30, 30],
  [100, 220],
  [160, 50],
] as const;

const CARD = `name: dots
task: detect
input: { shape: [1, 3, ${INPUT}, ${INPUT}] }
output: { decoder: yolov8, score_threshold: 0.75 }
labels: [dot]
`;

let deployment: Deployment;
let url: string;
beforeAll(async () => {
  deployment = await Deployment.create();
  const model = join(deployment.folder, 'models', 'dots');
  await mkdir(model, { recursive: true });
  await writeFile(join(model, 'model.onnx'), dotDetector());
  await writeFile(join(model, 'model.yaml'), CARD);
  const pixels = new Uint8Array(3 * SIDE * SIDE).fill(30);
  for (const [x, y] of DOTS)
    for (let row = y; row < y + 3; row++) pixels.fill(255, 3 * (row * SIDE + x), 3 * (row * SIDE + x + 3));
  await writeFile(join(deployment.folder, 'dots.png'), await encodePng(pixels, { width: SIDE, height: SIDE }, 3));
  await writeFile(
    join(deployment.folder, 'tessera.yaml'),
    'cameras: { near: { sections: { rows: 4, columns: 4 } }, far: {} }\n',
  );
  url = (await deployment.broker('embedded'))!.url;
  const central = ['central', '--broker', url, '--nodes', '2', '--model', 'dots', '--strategy', 'replicate'];
  deployment.start(central, 'central');
  const agents = ['pi-1', 'pi-2'].map((id) => deployment.start(['agent', '--broker', url, '--id', id], id));
  for (const agent of agents) await agent.printed(/ready for plan/);
}, 60_000);
afterAll(() => deployment.end());

async function seen(camera: string) {
  const args = ['publish', camera, 'dots.png', '--wait', '--json', '--broker', url];
  const published = deployment.start(args, 'publisher');
  const [line] = await published.printed(/^\{.*"predictions".*\}$/m);
  return JSON.parse(line!);
}

test('small objects are found in sections, each once, in one result of the work of both nodes', async () => {
  expect(await seen('far')).toMatchObject({ status: 'ok', predictions: [] });
  const result = await seen('near');
  expect(result).toMatchObject({ status: 'ok', width: SIDE, height: SIDE, sections: 17 });
  expect(result.nodes).toEqual(['pi-1', 'pi-2']);
  expect(Object.values(result.tiles_per_node as Record<string, number>).reduce((a, b) => a + b, 0)).toBe(17);
  expect(result.predictions).toHaveLength(DOTS.length);
  for (const [x, y] of DOTS)
    expect(
      result.predictions.filter(
        ({ label, box: [x1, y1, x2, y2] }: { label: string; box: [number, number, number, number] }) =>
          label === 'dot' && x1 <= x + 2 && x2 >= x + 1 && y1 <= y + 2 && y2 >= y + 1 && x2 - x1 < 10,
      ),
    ).toHaveLength(1);
}, 60_000);
