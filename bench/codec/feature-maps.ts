import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { loadModel } from '../../cli/library/library.ts';
import { drawScene } from '../../shared/camera/scenes/scene.ts';
import { channelsOf, normalisation, pictureShape } from '../../shared/model/card.ts';
import { singleCuts } from '../../shared/onnx/cuts.ts';
import { extractSegment } from '../../shared/onnx/extract.ts';
import { FRAME_INPUT, withPreprocessing } from '../../shared/onnx/preprocess.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { decodeFrame, encodeJpeg } from '../../shared/runtime/image.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';
import { checkNames } from '../harness/benchmark.ts';

/** A feature map of a network for a picture at a cut: float32 [1, channels, height, width]. */
export interface FeatureMap {
  readonly network: string;
  readonly cut: string;
  /** Operator that made it. */
  readonly op: string;
  readonly picture: string;
  readonly shape: readonly [number, number, number, number];
  readonly values: Float32Array<ArrayBuffer>;
}

/** Which maps: `pictures` of each network, `cuts` of each spread over its depth. */
export interface MapChoice {
  /** Folder of test/data/cards' networks and of images/; undefined: only the bundled model. */
  readonly data: string | undefined;
  /** Indices of pictures: of the scenes for the bundled model, else of the ImageNet samples. */
  readonly pictures: readonly number[];
  readonly cuts: number;
  /** Where: after an activation or pooling, as plans cut, or before one, where values have both signs. */
  readonly where: 'active' | 'linear';
  readonly only: readonly string[];
}

/** Shapes of inputs that the files leave open. */
const OPEN_SHAPES: Readonly<Record<string, readonly number[]>> = { super_resolution_x3: [1, 1, 96, 128] };

const ACTIVE = ['Relu', 'Clip', 'MaxPool', 'AveragePool', 'LeakyRelu'];
const LINEAR = ['Conv', 'Add', 'BatchNormalization'];

/** Smallest map that is measured, symbols. */
const LEAST_SYMBOLS = 4096;

interface Source {
  readonly card: string;
  readonly base: string | undefined;
}

async function sources(data: string | undefined): Promise<Source[]> {
  const bundled: Source = { card: 'config/models/scenes', base: undefined };
  if (data === undefined) return [bundled];
  const folder = 'test/data/cards';
  const cards = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).sort();
  return [...cards.map((name) => ({ card: join(folder, name), base: join(data, 'models') })), bundled];
}

async function picturesOf(data: string | undefined, indices: readonly number[]): Promise<Map<string, Uint8Array>> {
  const pictures = new Map<string, Uint8Array>();
  if (data === undefined) {
    for (const index of indices) {
      const scene = drawScene(1_000_000 + index);
      pictures.set(`scene ${index}`, await encodeJpeg(scene.rgb, scene.width, scene.height, 85));
    }
    return pictures;
  }
  const folder = join(data, 'images', 'imagenet');
  const files = (await readdir(folder)).filter((name) => /\.jpe?g$/i.test(name)).sort();
  for (const index of indices) {
    const file = files[index % files.length]!;
    pictures.set(file, new Uint8Array(await readFile(join(folder, file))));
  }
  return pictures;
}

/** Yields the maps of one network after the other; the bundled model's pictures are scenes. */
export async function* featureMaps(choice: MapChoice): AsyncGenerator<FeatureMap> {
  const all = await sources(choice.data);
  checkNames(
    '--networks',
    choice.only,
    all.map(({ card }) => basename(card, '.yaml')),
  );
  for (const { card: path, base } of all) {
    const loaded = await loadModel(path, { modelsDirs: [], ...(base === undefined ? {} : { base }) });
    const { card } = loaded;
    if (choice.only.length > 0 && !choice.only.includes(card.name)) continue;
    const file = await loadModelFile(loaded.modelPath);
    const first = card.input.tensor ?? file.graph.inputs[0]!.name;
    const given = card.input.shape ?? OPEN_SHAPES[card.name];
    const whole = resolveModel(file, given === undefined ? {} : { inputShapes: { [first]: given } });
    const { height, width } = pictureShape(whole.specs.get(first)!.shape, card.input.layout)!;
    const { layout, color, resize, crop } = card.input;
    const head = { tensor: first, height, width, layout, color, ...normalisation(card.input) };
    const model = resolveModel(withPreprocessing(whole, head));
    const cuts = singleCuts(model).filter(({ tensor }) => {
      const spec = model.specs.get(tensor);
      if (spec?.dtype !== 'float32' || spec.shape.length !== 4) return false;
      const [, channels, h, w] = spec.shape as [number, number, number, number];
      return channels > 4 && h >= 8 && w >= 8 && channels * h * w >= LEAST_SYMBOLS;
    });
    const op = (index: number): string => model.model.graph.nodes[index]!.op;
    const operators = choice.where === 'active' ? ACTIVE : LINEAR;
    const pool = cuts.filter(({ nodeIndex }) => operators.includes(op(nodeIndex)));
    const count = Math.min(choice.cuts, pool.length);
    const chosen = Array.from({ length: count }, (_, i) => pool[Math.floor(((i + 0.5) * pool.length) / count)]!);
    if (chosen.length === 0) continue;
    const names = chosen.map(({ tensor }) => tensor);
    const session = await loadSession(writeModel(extractSegment(model, [FRAME_INPUT], names).model), { threads: 1 });
    for (const [picture, bytes] of await picturesOf(base === undefined ? undefined : choice.data, choice.pictures)) {
      const { data } = await decodeFrame(bytes, { width, height, color, resize, crop });
      const shape = [1, height, width, channelsOf(color)];
      const made = await session.run(new Map([[FRAME_INPUT, { dtype: 'uint8', shape, data }]]));
      for (const { tensor, nodeIndex } of chosen) {
        const result = made.get(tensor)!;
        yield {
          network: card.name,
          cut: tensor,
          op: op(nodeIndex),
          picture,
          shape: result.shape as unknown as FeatureMap['shape'],
          values: new Float32Array(result.data.slice().buffer),
        };
      }
    }
    await session.release();
  }
}

/** The tiles of a map's codes or values in a grid, row by row, each [c, h, w]; sizes as even as they can be. */
export function tilesOf<T extends Uint8Array | Float32Array>(
  whole: T,
  shape: FeatureMap['shape'],
  rows: number,
  cols: number,
): T[] {
  const [, channels, height, width] = shape;
  const tiles: T[] = [];
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      const [top, bottom] = [Math.floor((r * height) / rows), Math.floor(((r + 1) * height) / rows)];
      const [left, right] = [Math.floor((c * width) / cols), Math.floor(((c + 1) * width) / cols)];
      const tile = whole.slice(0, channels * (bottom - top) * (right - left)) as T;
      let at = 0;
      for (let channel = 0; channel < channels; channel++)
        for (let y = top; y < bottom; y++) {
          const row = (channel * height + y) * width;
          tile.set(whole.subarray(row + left, row + right), at);
          at += right - left;
        }
      tiles.push(tile);
    }
  return tiles;
}

/** The zero-order entropy of symbols, bytes. */
export function entropyBytes(codes: Uint8Array): number {
  const counts = new Float64Array(256);
  for (const code of codes) counts[code]!++;
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= count * Math.log2(count / codes.length);
  return bits / 8;
}

/** The value below which a share of all values lies. */
export function quantile(values: Float32Array, share: number): number {
  const sorted = values.toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
