import { integer, type Values, valueOr } from '../cli/options.ts';
import { ClipQuantiser } from '../shared/codec/clip-quantiser.ts';
import { CONTEXTS, codeClasses } from '../shared/codec/coding/classes.ts';
import { entropyBytes, featureMaps, quantile, tilesOf } from './codec/feature-maps.ts';
import { dataFolder, dataOption, defineBenchmark } from './harness/benchmark.ts';

const BITS = 4;
const SYMBOLS = 16;
const MOST_LEVEL = 24;
/** Shares of values under the lower and upper bound: ReLU as it is, and clipped as retraining does. */
const BOUNDS = [
  [0, 0.99],
  [0, 0.995],
  [0, 0.999],
  [0.6, 0.995],
  [0.75, 0.997],
  [0.85, 0.998],
  [0.9, 0.999],
  [0.95, 0.9995],
] as const;

/** Of tensors with both signs, whose values keep their places. */
const LINEAR_BOUNDS = [
  [0.005, 0.995],
  [0.001, 0.999],
] as const;

/** How often each code follows each context in one tile. */
interface Sample {
  readonly counts: Float64Array;
  /** So that every map counts the same. */
  readonly weight: number;
}

function countTile(codes: Uint8Array): Float64Array {
  const { context } = codeClasses(BITS);
  const counts = new Float64Array(CONTEXTS * SYMBOLS);
  let before = 0;
  for (const code of codes) {
    counts[context[before]! * SYMBOLS + code]!++;
    before = code;
  }
  return counts;
}

/** Bits of each item with tables of these levels. */
function itemBits(levels: Float64Array): Float64Array {
  return levels.map((level, item) => {
    const row = levels.subarray(item - (item % SYMBOLS), item - (item % SYMBOLS) + SYMBOLS);
    return level / 2 + Math.log2(row.reduce((sum, each) => sum + 2 ** (-each / 2), 0));
  });
}

function cost(counts: Float64Array, bits: Float64Array): number {
  let sum = 0;
  for (let item = 0; item < counts.length; item++) sum += counts[item]! * bits[item]!;
  return sum;
}

/** The levels that fit samples best. */
function levelsFor(samples: readonly Sample[]): Float64Array {
  const sum = new Float64Array(CONTEXTS * SYMBOLS);
  for (const { counts, weight } of samples)
    for (let item = 0; item < sum.length; item++) sum[item]! += counts[item]! * weight;
  return sum.map((count, item) => {
    const row = sum.subarray(item - (item % SYMBOLS), item - (item % SYMBOLS) + SYMBOLS);
    const total = row.reduce((a, b) => a + b, 0);
    return Math.min(MOST_LEVEL, Math.round(-2 * Math.log2((count + 2e-4 * total + 1e-9) / (1.0032 * total + 1.6e-8))));
  });
}

/** Groups samples by the preset that codes them best and fits each again, until nothing moves (Lloyd's algorithm). */
function cluster(samples: readonly Sample[], count: number): Float64Array[] {
  const zeros = ({ counts }: Sample): number => {
    let [zero, all] = [0, 0];
    counts.forEach((times, item) => {
      all += times;
      if (item % SYMBOLS === 0) zero += times;
    });
    return zero / all;
  };
  const sorted = samples.toSorted((a, b) => zeros(a) - zeros(b));
  let presets = Array.from({ length: count }, (_, k) =>
    levelsFor(sorted.slice((k * sorted.length) / count, ((k + 1) * sorted.length) / count)),
  );
  for (let round = 0; round < 15; round++) {
    const bits = presets.map(itemBits);
    const groups: Sample[][] = presets.map(() => []);
    for (const sample of samples) {
      const costs = bits.map((each) => cost(sample.counts, each));
      groups[costs.indexOf(Math.min(...costs))]!.push(sample);
    }
    presets = groups.map((group, k) => (group.length > 0 ? levelsFor(group) : presets[k]!));
  }
  return presets;
}

/** Levels as letters, a row for each context. */
function letters(levels: Float64Array): string {
  const rows = Array.from({ length: CONTEXTS }, (_, c) =>
    Array.from(levels.subarray(c * SYMBOLS, (c + 1) * SYMBOLS), (level) => String.fromCharCode(97 + level)).join(''),
  );
  return rows.join(' ');
}

/** Indices of pictures, of which `npm run bench -- codec` has others. */
const PICTURES = [1, 23, 38, 77];

const options = {
  count: valueOr('--count <n>', 'presets', integer(1), 20),
  pictures: valueOr('--pictures <n>', 'pictures of each network', integer(1, PICTURES.length), PICTURES.length),
  cuts: valueOr('--cuts <n>', 'cuts of each network', integer(1), 6),
  data: dataOption,
};

export const { description, usage, run } = defineBenchmark({
  question: 'which preset tables of the entropy coder fit feature maps best?',
  method:
    'Prints the PRESETS of shared/codec/coding/presets.ts: groups the tiles of real feature maps by the table that codes ' +
    "them best, fits each table again, and repeats that (Lloyd's algorithm). Always passed.",
  needs: 'the shared networks and pictures.',
  notMeasured: 'how good they are: `npm run bench -- codec` does that, on other pictures.',
  options,
  quick: { pictures: 1, cuts: 2 },
  run: fit,
});

async function fit({ count, pictures, cuts, data }: Values<typeof options>) {
  const samples: Sample[] = [];
  const choice = { data: dataFolder(data), pictures: PICTURES.slice(0, pictures), cuts, only: [] };
  for (const where of ['active', 'linear'] as const)
    for await (const map of featureMaps({ ...choice, where }))
      for (const [low, high] of where === 'active' ? BOUNDS : LINEAR_BOUNDS) {
        const a = low === 0 ? 0 : quantile(map.values, low);
        const b = quantile(map.values, high);
        if (!(b > a)) continue;
        const codes = new Uint8Array(map.values.length);
        new ClipQuantiser({ a, b, bits: BITS }).quantise(map.values, codes);
        const weight = 1 / (1 + entropyBytes(codes));
        for (const tile of tilesOf(codes, map.shape, 4, 4)) samples.push({ counts: countTile(tile), weight });
      }
  const presets = cluster(samples, count);
  for (const preset of presets) console.log(`  '${letters(preset)}',`);
  return { pass: true, samples: samples.length };
}
