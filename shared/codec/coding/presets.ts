import { CONTEXTS, codeClasses } from './classes.ts';
import { frequenciesOf, LevelTable, levelOfWeight, WEIGHTS } from './levels.ts';
import { type DecodeTables, decodeTables, type EncodeTables, encodeTables } from './tans.ts';

/**
 * Tables that both sides know, so that they need not be sent. Quantised feature maps of convolutional networks are much
 * alike: the probability of a code after a code of some size depends less on the network than on the share of zeros.
 * These are the tables of twenty groups of tiles, found by `npm run bench -- codec-presets` on the maps of eleven
 * networks. A tile names its best preset in a few bits, where its own tables would take twenty bytes.
 *
 * Form: for each of 8 contexts (how large the code before is, classes.ts) a word of 16 letters, one for each 4-bit
 * code: its level (levels.ts), where `a` is 0. The letters are part of the wire format: they must never change.
 */
const PRESETS: readonly string[] = [
  'dhijkkkjihhilnpo gefhjijjjkklopqp ihefhijjjjklnorr lkhefhiiijklnprq oolifefghijlmprr strpnkhedfiknpss uvutrpnkhedfjnqs sutsrpomkihedfik',
  'asvwxxyxxxyyyyyx gbhnqrsrqstuwwww libioqqrqstvvvwv mnhbhmnooqrtuwwv nqnjdchklnprtuvu tvutrnhdcinqtuwv uwwvtsqmhcegmrut oututsrpmmlhdegh',
  'eghhhhhijklmopqp heeghijjlmnprsts kheeghiklnoqrstu olheeghjlnoqstuu rqmiedfhkmoqsuvv utrokheeehloqsuu uusqoljhfdfhknqr stspomljiihfefhi',
  'fhhhhhhhijklmopo hhgggghiiklmoprp jigffghhijlmoprq lkhfffghijlmoqrr onkhgffghikmoprr qqnljhfefgikmoqq rrpnljigfffhjlno qqpnlkjihhggghii',
  'alqstuvvwwwxxyyw gbhnqrstuvvwxxxu kgbhnpqstuvwwxxv mmgbhmoqstuvwwwv opnjdcinprtuvwxv qtsqojddflprtuvu rttsrqomiedekpsr orssrrqppomidefg',
  'bgjlmopqrstuuvvs ecfilnoqrstuvvwu gfdfilnoqrstuvvt hhfdfjlnpqrtuvvt ijigeehkmoprstus jlkjigefgjlnpqrq jmllkkjigffgjlnm immmlllkkjihgggf',
  'bijklmnoopqrsstq dfghijlmnopqrstr egfghiklmnpqrstq fhgfghjklnopqrsq gihgffhiklnopqrp hkjihgffgiklnopn hllkjjihggghjkml hlllkkkjjiihhhhf',
  'bghjkmnoqrstuvwt defhjkmoprstuvwu efefhjlnoqrsuuvu fgfegikmnpqrutvu ghgffgijlnpqrtus gihhggghiklnpqrq gjiihhhhhhijkmnm gjjjiiiiiiiiijkg',
  'bhiijklmnnopqrsp dgghijjklmnopqrp dggghijklmnopqrp ehggghijklnopqro ehhggghijkmnopqo fiihhhhhijklmnom fjjiiihhhhiiklmk fjjjjjiiiiiiijjg',
  'bijkllmnoppqrssp cghijklmnnppqrsp chhhijklmnopprrp chhhijklmmoopqrp chhhhijklmnnopqn diiiiiiijklmnoom diiiiiijjjkklmnk dijjjjjjjkkkkklh',
  'aknpqrstuuvvwwwu ecgkmoqrstuuvvvt hgcgkmoqrstuvvws ijgcgkmoqrstuuvt jljhdeilnpqrttur knmljheefjmoprsq koonnmljheefjmon jnnnnnnmllkiefgf',
  'aikmnpqrstuuvvwt cegikmopqssuvvvt dfegikmopqrsuvvs egfehjlmoprssuur ehhgfgikmnpqrstq eiiihgghiklmopqn ejjjjiihhhijklmk ekkkkkkjjjjjjjje',
  'aklmnnopqrsstuur cghijklmnopqqrsq chhhijklmnopqrsp chhhhijklmnopqro dihhhhijklmnopqn ejiiihhhijklmnom ekjjjiiiihijklmj elkkkkjjjjjjjjjf',
  'akmopqrsttuvvwwt ddgikmnpqrstuuur efdgikmnpqrrtuur fhfdgikmnpqrstuq gjigefhjlnopqrsq hlkjigffgikmnpqo hmllkkjihffgiknl gmmmlllkkjjigghe',
  'almnoppqrsstuuvs bhjkkmmoopqrsstr biijklmnnppqrstr biijklmnnopqqrsp bijjjklmmnoppqso bijjjkkklmnopqqn bjjjjkkklklmnopm cjjkkkkklllmnnnj',
  'amnopqrstuuvvwwu bghjklmooqrsstur cgghjklmopqrsstq chhgijkmnopqrstq cihhhhjklmoopqro djiiiihijklmnopm dkjjjijiiiiiklmj dkkkkkkkkkkjjjkf',
  'amoqrtuuvwwxxxxw cegjlnpqrstuvwwu dfehjlnoqrstttvt dhfehjlmnprsttts eihgfgiklnoqrssq fjjiihgggjkmopqo fllkkjjihfghjlml ellllkkkjjjihije',
  'apqrrssstttuuuuo ebimnopqqpqsstsn ehcilnoopopqqrsm djhdjlmnonoopqql cjjighklmmnnoopj ckkkkjhijkllnnoi dkklllkkjhijklmh cnnnnnmmmmmmllmd',
  'aopqrstuuvvwwxxv bhjklnopqrsstuus biijkmnoppqrttts biiiklmnopprrstq biijjjklmnpqqrtp cjjjjjjjklmooprn cjkjjkkkkkjlmnok ckkklklklllllllg',
  'apstuvwwxxxyyyyv dcgknoqrstuvwxxu ffcgkmoqrstuvwwt gifcgkmopqrsuvvs hljhdeilnoqrrtur ionmkheefimoqrsp jopoonlkhdegknpn gppooonnmmljgggd',
];

/** Number of presets. */
export const PRESET_COUNT = PRESETS.length;

/** Size of their tables. */
const LOG = 10;
/** Codes that the letters are for. */
const MOST = 15;

/** A preset for codes of a number of bits; expensive parts are computed on first use. */
export class Preset {
  /** One table for each context. */
  readonly tables: readonly LevelTable[];
  /** Bits of each item, context * classes + class. */
  readonly costs: Float64Array;
  readonly #context: Uint8Array;
  #encode: EncodeTables | undefined;
  #decode: DecodeTables | undefined;

  constructor(index: number, bits: number) {
    const { count: symbols, context } = codeClasses(bits);
    this.#context = context;
    this.tables = PRESETS[index]!.split(' ').map((word) => tableOf(word, bits));
    this.costs = new Float64Array(CONTEXTS * symbols);
    const frequencies = new Int32Array(symbols);
    this.tables.forEach((table, c) => {
      frequenciesOf(table, LOG, frequencies);
      for (let s = 0; s < symbols; s++) this.costs[c * symbols + s] = LOG - Math.log2(frequencies[s]!);
    });
  }

  get encode(): EncodeTables {
    this.#encode ??= encodeTables(
      { log: LOG, tables: this.tables },
      Uint8Array.from(this.tables, (_, c) => c),
    );
    return this.#encode;
  }

  get decode(): DecodeTables {
    if (this.#decode === undefined) {
      const symbols = this.#context.length;
      const next = new Uint8Array(this.tables.length * symbols);
      for (let c = 0; c < this.tables.length; c++) next.set(this.#context, c * symbols);
      this.#decode = decodeTables({ log: LOG, tables: this.tables }, next);
    }
    return this.#decode;
  }
}

/** Weight of codes between x0 and x1, in units of 4-bit codes: a histogram of 15 steps and what lies at its two ends. */
function weightBetween(weights: readonly number[], x0: number, x1: number): number {
  let sum = 0;
  for (let code = 0; code <= MOST; code++) {
    // Between 0 and 1/2 the density is as at 1, and near the upper end as just below it; the rest of both codes' weight
    // lies at the end.
    const density = code === 0 ? nearZero(weights) * 2 : code === MOST ? nearMost(weights) * 2 : weights[code]!;
    const low = Math.max(x0, code === 0 ? 0 : code - 0.5);
    const high = Math.min(x1, code === MOST ? MOST : code + 0.5);
    if (high > low) sum += density * (high - low);
  }
  return sum;
}

function nearZero(weights: readonly number[]): number {
  return Math.min(weights[1]! * 0.5, weights[0]! * 0.9);
}

function nearMost(weights: readonly number[]): number {
  return Math.min(weights[MOST - 1]! * 0.5, weights[MOST]! * 0.9);
}

/**
 * Levels of a word's letters for codes of another number of bits. Only +, -, *, / and comparisons: every machine must
 * get the same result.
 */
function tableOf(word: string, bits: number): LevelTable {
  const classes = codeClasses(bits);
  const weights = Array.from(word, (letter) => WEIGHTS[letter.charCodeAt(0) - 97]!);
  const most = (1 << bits) - 1;
  const step = MOST / most;
  const sums = new Float64Array(classes.count);
  for (let code = 0; code <= most; code++) {
    const ends = code === 0 ? weights[0]! - nearZero(weights) : code === most ? weights[MOST]! - nearMost(weights) : 0;
    sums[classes.of[code]!]! += ends + weightBetween(weights, (code - 0.5) * step, (code + 0.5) * step);
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const table = new LevelTable(classes.count);
  table.used = classes.count;
  sums.forEach((sum, symbol) => {
    const level = levelOfWeight((sum * 32768) / total);
    table.levels[symbol] = level;
    table.smooth[symbol] = level;
  });
  return table;
}

const made = new Map<number, Preset>();

/** Preset `index` (below PRESET_COUNT) for codes of 1 to 8 bits; each thread computes it once. */
export function preset(index: number, bits: number): Preset {
  const key = index * 16 + bits;
  let found = made.get(key);
  if (found === undefined) {
    found = new Preset(index, bits);
    made.set(key, found);
  }
  return found;
}
