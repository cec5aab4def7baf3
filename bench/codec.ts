import { integer, string, type Values, valueOr } from '../cli/options.ts';
import { bytesOf } from '../shared/codec/floats.ts';
import { packed } from '../shared/codec/packed.ts';
import { writeModel } from '../shared/onnx/write.ts';
import { loadSession } from '../shared/runtime/ort.ts';
import { featureMaps } from './codec/feature-maps.ts';
import { KINDS, type Kind, measure, type Row, specOf } from './codec/measure.ts';
import { quantisingModel } from './codec/quantising-model.ts';
import { RIVALS } from './codec/rivals.ts';
import { dataFolder, dataOption, defineBenchmark, list } from './harness/benchmark.ts';
import { machineSpeed, scaledOption } from './harness/machine-speed.ts';

/** Bytes at most, of the entropy of the whole map's codes; encoding and decoding at least, GB/s of the fp32 values. */
const TARGETS = { entropy: 1.03, sparse_gb_s: 1, dense_gb_s: 0.4 };
const GRIDS = [2, 4] as const;
/** Values of a tile from which on its speed counts: below, calling costs as much as coding. */
const LEAST_TILE = 2048;

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
