import { integer, string, type Values, valueOr } from '../cli/options.ts';
import { clip, decodeClipCodes, encodeClipCodes } from '../shared/codec/clip.ts';
import { ClipQuantiser } from '../shared/codec/clip-quantiser.ts';
import { bytesOf } from '../shared/codec/floats.ts';
import { packed } from '../shared/codec/packed.ts';
import type { ClipSpec } from '../shared/codec/spec.ts';
import { writeModel } from '../shared/onnx/write.ts';
import { loadSession } from '../shared/runtime/ort.ts';
import type { TensorSpec } from '../shared/tensor/tensor.ts';
import { entropyBytes, type FeatureMap, featureMaps, quantile, tilesOf } from './codec/feature-maps.ts';
import { quantisingModel } from './codec/quantising-model.ts';
import { RIVALS, type Rival } from './codec/rivals.ts';
import { dataFolder, dataOption, defineBenchmark, list } from './harness/benchmark.ts';
import { machineSpeed, scaledOption } from './harness/machine-speed.ts';

/** Bytes at most, of the entropy of the whole map's codes; encoding and decoding at least, GB/s of the fp32 values. */
const TARGETS = { entropy: 1.03, sparse_gb_s: 1, dense_gb_s: 0.4 };
const GRIDS = [2, 4] as const;
/** Values of a tile from which on its speed counts: below, calling costs as much as coding. */
const LEAST_TILE = 2048;
/** Fewest repetitions of a measurement. */
const REPEATS = 8;
const RIVAL_MS = 3;

/** As ReLU leaves a map; clipped as retraining leaves it, 90 % zeros; before ReLU, with hardly a zero. */
const KINDS = ['relu', 'sparse', 'dense'] as const;
type Kind = (typeof KINDS)[number];

interface Row {
  readonly network: string;
  readonly cut: string;
  readonly picture: string;
  readonly shape: readonly number[];
  readonly kind: Kind;
  readonly grid: string;
  readonly zeros: number;
  readonly raw: number;
  readonly entropy: number;
  readonly bytes: number;
  readonly of_entropy: number;
  readonly of_raw: number;
  /** Of each rival, over the same tiles and from the same codes: bytes, seconds to encode and to decode. */
  readonly rivals: Readonly<
    Record<string, { readonly bytes: number; readonly encode: number; readonly decode: number }>
  >;
  /** Seconds for all tiles: fp32 to bytes in JavaScript; codes to bytes; bytes to codes; bytes to fp32. */
  readonly seconds: {
    readonly encode: number;
    readonly encode_codes: number;
    readonly decode: number;
    readonly decode_values: number;
  };
}

/**
 * Seconds for all parts together: each part is timed several times in a row and its shortest time counts, since other
 * programs use the machine too.
 */
function fastest<T>(parts: readonly T[], action: (part: T, index: number) => void, timeMs: number): number {
  let sum = 0;
  parts.forEach((part, index) => {
    let best = Number.POSITIVE_INFINITY;
    const end = performance.now() + timeMs / parts.length;
    for (let i = 0; i < Math.min(REPEATS, timeMs) || performance.now() < end; i++) {
      const start = performance.now();
      action(part, index);
      best = Math.min(best, performance.now() - start);
    }
    sum += best;
  });
  return sum / 1000;
}

/**
 * Bounds for a network that was not retrained, derived from the map itself. Undefined where the kind does not apply.
 */
function boundsOf(values: Float32Array, kind: Kind, bits: number): ClipSpec | undefined {
  const b = quantile(values, kind === 'sparse' ? 0.999 : 0.995);
  const a = kind === 'dense' ? quantile(values, 0.005) : kind === 'sparse' ? Math.max(0, quantile(values, 0.9)) : 0;
  if (!(b > a)) return undefined;
  return { name: 'clip', a, b, bits, ...(kind === 'dense' ? { base: a } : {}) };
}

function specOf(tile: { readonly length: number }): TensorSpec {
  return { dtype: 'float32', shape: [tile.length] };
}

function measure(map: FeatureMap, kind: Kind, bits: number, grid: number, timeMs: number): Row | undefined {
  const codec = boundsOf(map.values, kind, bits);
  if (codec === undefined) return undefined;
  const codes = new Uint8Array(map.values.length);
  new ClipQuantiser(codec).quantise(map.values, codes);
  const tiles = tilesOf(map.values, map.shape, grid, grid);
  const codeTiles = tilesOf(codes, map.shape, grid, grid);
  const encoded = tiles.map((tile) => clip.encode(bytesOf(tile), specOf(tile), codec));
  encoded.forEach((bytes, t) => {
    const decoded = decodeClipCodes(bytes, codeTiles[t]!.length, codec);
    if (decoded.some((code, i) => code !== codeTiles[t]![i]))
      throw new Error(`${map.network} ${map.cut}: codes differ`);
  });
  const sum = (parts: readonly Uint8Array[]): number => parts.reduce((total, part) => total + part.byteLength, 0);
  const bytes = sum(encoded);
  const raw = 4 * codes.length;
  const entropy = entropyBytes(codes);
  return {
    network: map.network,
    cut: map.cut,
    picture: map.picture,
    shape: map.shape,
    kind,
    grid: `${grid}x${grid}`,
    zeros: codes.filter((code) => code === 0).length / codes.length,
    raw,
    entropy: Math.round(entropy),
    bytes,
    of_entropy: bytes / entropy,
    of_raw: bytes / raw,
    rivals: Object.fromEntries(RIVALS.map((rival) => [rival.name, measureRival(rival, codeTiles, bits)])),
    seconds: {
      encode: fastest(tiles, (tile) => clip.encode(bytesOf(tile), specOf(tile), codec), timeMs),
      encode_codes: fastest(codeTiles, (tile) => encodeClipCodes(tile, codec), timeMs),
      decode: fastest(encoded, (part, t) => decodeClipCodes(part, codeTiles[t]!.length, codec), timeMs),
      decode_values: fastest(encoded, (part, t) => clip.decode(part, specOf(tiles[t]!), codec), timeMs),
    },
  };
}

function measureRival({ name, encode, decode }: Rival, tiles: readonly Uint8Array[], bits: number) {
  const encoded = tiles.map((tile) => encode(tile, bits));
  encoded.forEach((bytes, t) => {
    const codes = decode(bytes, tiles[t]!.length, bits);
    if (tiles[t]!.some((code, i) => code !== codes[i])) throw new Error(`${name} loses something`);
  });
  return {
    bytes: encoded.reduce((total, part) => total + part.byteLength, 0),
    encode: fastest(tiles, (tile) => encode(tile, bits), RIVAL_MS),
    decode: fastest(encoded, (part, t) => decode(part, tiles[t]!.length, bits), RIVAL_MS),
  };
}

/**
 * Nanoseconds that quantising by ONNX Runtime adds per value, one thread: the cost of the last operators of a stage's
 * model.
 */
async function runtimeQuantising(bits: number): Promise<number> {
  const n = 1 << 20;
  const values = Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37) * 2);
  const feeds = new Map([['x', { dtype: 'float32' as const, shape: [n], data: bytesOf(values) }]]);
  const times: number[] = [];
  for (const quantises of [false, true]) {
    const session = await loadSession(writeModel(quantisingModel(n, quantises, bits)), { threads: 1 });
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 40; i++) {
      const start = performance.now();
      await session.run(feeds);
      best = Math.min(best, performance.now() - start);
    }
    times.push(best);
    await session.release();
  }
  return Math.max(0, ((times[1]! - times[0]!) * 1e6) / n);
}

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;

const gbS = (rows: readonly Row[], seconds: (row: Row) => number): number =>
  rows.reduce((sum, { raw }) => sum + raw, 0) / rows.reduce((sum, row) => sum + seconds(row), 0) / 1e9;

function printRow(row: Row): void {
  const { network, cut, shape, kind, grid, zeros, of_entropy, of_raw, rivals, bytes, raw, seconds } = row;
  const beside = Object.entries(rivals).map(([name, rival]) => `${name} ${(rival.bytes / bytes).toFixed(2)}x`);
  const speed = (time: number): string => (raw / time / 1e9).toFixed(2);
  console.error(
    `${network.padEnd(21)} ${cut.slice(-18).padEnd(18)} ${shape.slice(1).join('x').padEnd(12)} ${kind.padEnd(6)} ${grid} ` +
      `zeros ${(100 * zeros).toFixed(0).padStart(3)} %  ${of_entropy.toFixed(3)} of entropy, ${(100 * of_raw).toFixed(2)} % of raw; ` +
      `GB/s: ${speed(seconds.encode)} in, ${speed(seconds.encode_codes)} from codes, ${speed(seconds.decode)} out; ${beside.join(', ')}`,
  );
}

const options = {
  networks: valueOr('--networks <list>', 'only these; otherwise all', list(string), []),
  pictures: valueOr('--pictures <n>', 'pictures of each', integer(1), 2),
  cuts: valueOr('--cuts <n>', 'cuts of each, spread over its depth', integer(1), 3),
  bits: valueOr('--bits <n>', 'bits of a code', integer(2, 8), 4),
  time: valueOr('--time <ms>', 'least time of a measurement of speed', integer(1), 60),
  scaled: scaledOption,
  data: dataOption,
};

export const { description, usage, run } = defineBenchmark({
  question: 'how small and how fast are clipped results of real networks, against their entropy, deflate and zstd?',
  method:
    'Feature maps of real pictures, in 2x2 and 4x4 tiles; bytes are summed over the tiles with headers and tables. ' +
    `Passed: at most ${TARGETS.entropy} of the entropy over maps as ReLU leaves them, and ${TARGETS.sparse_gb_s} GB/s ` +
    `with 90 % zeros and ${TARGETS.dense_gb_s} GB/s else over all maps of a kind whose tiles have at least ` +
    `${LEAST_TILE} values: encoding from fp32, whichever of JavaScript and the runtime quantises faster, and decoding ` +
    'to codes.',
  needs: 'the shared networks and pictures.',
  notMeasured: 'accuracy (`tessera model calibrate`, docs/retraining.md), and time on small computers.',
  options,
  quick: {
    networks: ['FastestDet', 'cifar10_resnet20', 'squeezenet1_1', 'scenes'],
    pictures: 1,
    cuts: 2,
    time: 20,
    scaled: true,
  },
  run: measureAll,
});

async function measureAll({ networks: only, pictures: count, cuts, bits, time, scaled, data }: Values<typeof options>) {
  const pictures = Array.from({ length: count }, (_, i) => 5 + 20 * i);
  const folder = dataFolder(data);
  const rows: Row[] = [];
  let [lossless, raw] = [0, 0];
  for (const where of ['active', 'linear'] as const)
    for await (const map of featureMaps({ data: folder, pictures, cuts, where, only })) {
      for (const kind of where === 'active' ? (['relu', 'sparse'] as const) : (['dense'] as const))
        for (const grid of GRIDS) {
          const row = measure(map, kind, bits, grid, time);
          if (row === undefined) continue;
          rows.push(row);
          printRow(row);
        }
      lossless += packed.encode(bytesOf(map.values), specOf(map.values), { name: 'packed' }).byteLength;
      raw += map.values.byteLength;
    }
  const graphNs = await runtimeQuantising(bits);
  const summary = KINDS.map((kind) => {
    const all = rows.filter((row) => row.kind === kind);
    const large = all.filter(({ raw, grid }) => raw / 4 / Number(grid[0]) ** 2 >= LEAST_TILE);
    const inGraph = ({ seconds, raw }: Row): number => seconds.encode_codes + ((raw / 4) * graphNs) / 1e9;
    return {
      kind,
      maps: all.length,
      of_entropy: {
        most: Math.max(...all.map((row) => row.of_entropy)),
        mean: all.reduce((s, row) => s + row.of_entropy, 0) / all.length,
      },
      of_raw: all.reduce((s, row) => s + row.bytes, 0) / all.reduce((s, row) => s + row.raw, 0),
      rivals: Object.fromEntries(
        RIVALS.map(({ name }) => [
          name,
          {
            // The mean of ratios, not the ratio of sums: one large map would decide that.
            of_ours: Math.exp(mean(all.map(({ rivals, bytes }) => Math.log(rivals[name]!.bytes / bytes)))),
            encode_gb_s: gbS(large, ({ rivals }) => rivals[name]!.encode),
            decode_gb_s: gbS(large, ({ rivals }) => rivals[name]!.decode),
          },
        ]),
      ),
      encode_gb_s: gbS(large, ({ seconds }) => seconds.encode),
      encode_in_graph_gb_s: gbS(large, inGraph),
      encode_codes_gb_s: gbS(large, ({ seconds }) => seconds.encode_codes),
      decode_gb_s: gbS(large, ({ seconds }) => seconds.decode),
      decode_values_gb_s: gbS(large, ({ seconds }) => seconds.decode_values),
      slowest_encode_gb_s: Math.min(...large.map((row) => row.raw / Math.min(row.seconds.encode, inGraph(row)) / 1e9)),
      slowest_decode_gb_s: Math.min(...large.map((row) => row.raw / row.seconds.decode / 1e9)),
    };
  });
  for (const { kind, maps, of_entropy, of_raw, rivals, ...speeds } of summary) {
    console.error(
      `\n${kind}: ${maps} maps in tiles, at most ${of_entropy.most.toFixed(3)} of the entropy (mean ${of_entropy.mean.toFixed(3)}), ${(100 * of_raw).toFixed(2)} % of raw`,
    );
    console.error(
      `  bytes of others: ${Object.entries(rivals)
        .map(
          ([name, each]) =>
            `${name} ${each.of_ours.toFixed(2)}x (${each.encode_gb_s.toFixed(2)}, ${each.decode_gb_s.toFixed(2)} GB/s)`,
        )
        .join(', ')}`,
    );
    console.error(
      `  GB/s of fp32: ${Object.entries(speeds)
        .map(([name, speed]) => `${name.replace('_gb_s', '')} ${speed.toFixed(2)}`)
        .join(', ')}`,
    );
  }
  console.error(
    `\nthe runtime quantises a value in ${graphNs.toFixed(2)} ns; packed without loss: ${((100 * lossless) / raw).toFixed(1)} % of raw`,
  );
  const of = (kind: Kind) => summary.find((each) => each.kind === kind)!;
  const encoding = (kind: Kind): number => Math.max(of(kind).encode_gb_s, of(kind).encode_in_graph_gb_s);
  const machine = scaled ? machineSpeed() : 1;
  const met = {
    entropy: of('relu').of_entropy.most <= TARGETS.entropy,
    sparse: Math.min(encoding('sparse'), of('sparse').decode_gb_s) >= TARGETS.sparse_gb_s * machine,
    dense: [encoding('dense'), of('dense').decode_gb_s, encoding('relu'), of('relu').decode_gb_s].every(
      (speed) => speed >= TARGETS.dense_gb_s * machine,
    ),
  };
  return {
    pass: met.entropy && met.sparse && met.dense,
    bits,
    targets: TARGETS,
    machine,
    met,
    summary,
    runtime_quantising_ns: graphNs,
    lossless_of_raw: lossless / raw,
    rows,
  };
}
