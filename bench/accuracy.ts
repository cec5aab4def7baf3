import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { oneOf, type Values, value } from '../cli/options.ts';
import { TesseraError } from '../shared/errors.ts';
import { ap50, type LabelledBox, type PictureResult } from './accuracy/average-precision.ts';
import { loadWhole, type WholeNetwork } from './accuracy/network.ts';
import { bootstrapInterval, type Interval, shareInterval } from './accuracy/statistics.ts';
import { dataFolder, dataOption, defineBenchmark } from './harness/benchmark.ts';

/** One network on one data set; figures are shares, 0 to 1. */
interface Row {
  readonly network: string;
  readonly measure: string;
  readonly pictures: number;
  readonly listed: number;
  readonly here: number;
  readonly interval: Interval;
  readonly within: boolean;
  readonly expected: boolean;
}

const TOLERANCE = 0.03;

interface Question {
  readonly network: string;
  readonly measure: string;
  readonly listed: number;
  readonly run: (cardPath: string, data: string) => Promise<Pick<Row, 'pictures' | 'here' | 'interval'>>;
}

/** Share of right answers over pictures. */
async function shareRight(items: AsyncIterable<boolean> | Iterable<boolean>) {
  let right = 0;
  let pictures = 0;
  for await (const isRight of items) {
    pictures++;
    if (isRight) right++;
  }
  return { pictures, here: right / pictures, interval: shareInterval(right, pictures) };
}

async function withNetwork<T>(network: WholeNetwork, use: (network: WholeNetwork) => Promise<T>): Promise<T> {
  try {
    return await use(network);
  } finally {
    await network.release();
  }
}

/** Top-1 on the ImageNet pictures, whose names begin with the class; classes are shifted by one where 0 is background. */
async function imagenet(cardPath: string, data: string) {
  const folder = join(data, 'images', 'imagenet');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.JPEG')).sort();
  return withNetwork(await loadWhole(cardPath, data), ({ ask, labels, card }) => {
    const shift = card.output.background === 0 ? 1 : 0;
    return shareRight(
      (async function* () {
        for (const file of files) {
          const { answer } = await ask(await readFile(join(folder, file)));
          yield answer.predictions[0]?.label === labels[Number(file.slice(0, 4)) + shift];
        }
      })(),
    );
  });
}

/** Top-1 on CIFAR-10 records: a label byte, then planes R, G, B of 32x32. */
async function cifar(cardPath: string, data: string) {
  const bytes = await readFile(join(data, 'datasets', 'cifar10-lossless-test249.bin'));
  const area = 32 * 32;
  return withNetwork(await loadWhole(cardPath, data), ({ ask, labels }) =>
    shareRight(
      (async function* () {
        for (let start = 0; start < bytes.length; start += 1 + 3 * area) {
          const planes = bytes.subarray(start + 1, start + 1 + 3 * area);
          const d = new Uint8Array(3 * area);
          for (let i = 0; i < d.length; i++) d[i] = planes[(i % 3) * area + Math.floor(i / 3)]!;
          const { answer } = await ask({ format: 'rgb', shape: [32, 32, 3], d });
          yield answer.predictions[0]?.label === labels[bytes[start]!];
        }
      })(),
    ),
  );
}

interface CocoPicture {
  readonly bytes: Uint8Array;
  /** Class number, and box as shares of the picture: centre and size. */
  readonly boxes: readonly (readonly [number, number, number, number, number])[];
}

async function cocoPictures(data: string): Promise<CocoPicture[]> {
  const folder = join(data, 'images', 'coco');
  const files = (await readdir(join(folder, 'images'))).sort();
  return Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(folder, 'labels', file.replace('.jpg', '.txt')), 'utf8').catch(() => '');
      const lines = text.split('\n').filter((line) => line.trim() !== '');
      const boxes = lines.map(
        (line) => line.trim().split(/\s+/).map(Number) as [number, number, number, number, number],
      );
      return { bytes: await readFile(join(folder, 'images', file)), boxes };
    }),
  );
}

/** AP50 on COCO pictures. Precision is computed over all scores, so the card's threshold is replaced by 0.01. */
async function coco(cardPath: string, data: string) {
  const pictures = await cocoPictures(data);
  const network = await loadWhole(cardPath, data, (card) => ({
    ...card,
    output: { ...card.output, score_threshold: 0.01 },
  }));
  return withNetwork(network, async ({ ask, labels }) => {
    const results: PictureResult[] = [];
    for (const { bytes, boxes } of pictures) {
      const { answer, width, height } = await ask(bytes);
      const truth = boxes.map(([index, cx, cy, w, h]): LabelledBox => {
        const [left, top] = [(cx - w / 2) * width, (cy - h / 2) * height];
        return { label: labels[index]!, box: [left, top, left + w * width, top + h * height] };
      });
      results.push({ truth, found: answer.predictions.map((find) => ({ ...find, box: find.box! })) });
    }
    return {
      pictures: results.length,
      here: ap50(results),
      interval: bootstrapInterval(results.length, (sample) => ap50(sample.map((index) => results[index]!))),
    };
  });
}

/**
 * Whether a picture shows a person: by the rule of Visual Wake Words, a person box of at least 0.5 % of the picture
 * (COCO class 0).
 */
async function persons(cardPath: string, data: string) {
  const pictures = await cocoPictures(data);
  return withNetwork(await loadWhole(cardPath, data), ({ ask }) =>
    shareRight(
      (async function* () {
        for (const { bytes, boxes } of pictures) {
          const isThere = boxes.some(([index, , , w, h]) => index === 0 && w * h >= 0.005);
          yield ((await ask(bytes)).answer.top !== null) === isThere;
        }
      })(),
    ),
  );
}

/** The figures of data/README.md. */
const QUESTIONS: readonly Question[] = [
  { network: 'squeezenet1_1', measure: 'top-1, ImageNet', listed: 0.615, run: imagenet },
  { network: 'mobilenet_v2', measure: 'top-1, ImageNet', listed: 0.886, run: imagenet },
  { network: 'mobilenet_v1_025_128', measure: 'top-1, ImageNet', listed: 0.447, run: imagenet },
  { network: 'cifar10_resnet20', measure: 'top-1, CIFAR-10', listed: 0.904, run: cifar },
  { network: 'person_vww_96', measure: 'person or not, COCO', listed: 0.853, run: persons },
  { network: 'FastestDet', measure: 'AP50, COCO', listed: 0.354, run: coco },
];

function printTable(rows: readonly Row[]): void {
  const percent = (share: number) => (100 * share).toFixed(1).padStart(5);
  console.log('network               measure              pictures  listed   here   95 % interval');
  for (const { network, measure, pictures, listed, here, interval, within, expected } of rows) {
    const verdict = within ? 'within 3 points' : expected ? 'within the sampling error' : 'DIFFERS';
    console.log(
      `${network.padEnd(22)}${measure.padEnd(21)}${String(pictures).padStart(8)}  ${percent(listed)}  ${percent(here)}   ${percent(interval[0])} to ${percent(interval[1])}  ${verdict}`,
    );
  }
}

const options = {
  network: value('--network <name>', 'only this', oneOf(...QUESTIONS.map(({ network }) => network))),
  data: dataOption,
};

export const { description, usage, run } = defineBenchmark({
  question: 'do preprocessing, cards and decoders reproduce the accuracies of the shared networks?',
  method:
    'Each network that has labelled pictures runs whole in this process, through decodeFrame, the preprocessing in the ' +
    'graph, ONNX Runtime and the decoder of its card. The ImageNet and COCO samples are parts (125 and 43) of those ' +
    'that the listed figures were measured on (1000 and 128), so a difference is judged by the sampling error too. ' +
    'Passed: each figure is within 3 points of the listed one, or that one lies in the 95 % interval of this sample.',
  needs: 'the shared networks and pictures.',
  notMeasured:
    'mnist-8 (no pictures there), deeplabv3, ultraface and super resolution (no labels there; checked by eye); that a ' +
    'distributed run equals the whole (`npm run bench -- lossless`).',
  options,
  quick: {},
  run: compare,
});

async function compare({ network: only, data: given }: Values<typeof options>) {
  const data = dataFolder(given);
  await access(join(data, 'models')).catch(() => {
    throw new TesseraError('TESSERA_USAGE', `${join(data, 'models')} is missing`, {
      hint: 'set TESSERA_DATA, or name a folder with --data that holds models and images',
    });
  });
  const rows: Row[] = [];
  for (const { network, measure, listed, run: measured } of QUESTIONS) {
    if (only !== undefined && only !== network) continue;
    const { pictures, here, interval } = await measured(join('test', 'data', 'cards', `${network}.yaml`), data);
    const within = Math.abs(here - listed) <= TOLERANCE;
    const expected = listed >= interval[0] && listed <= interval[1];
    rows.push({ network, measure, pictures, listed, here, interval, within, expected });
  }
  printTable(rows);
  return {
    pass: rows.length > 0 && rows.every(({ within, expected }) => within || expected),
    tolerance: TOLERANCE,
    rows,
  };
}
