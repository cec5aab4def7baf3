import fc from 'fast-check';
import { decodeTask } from '../../../central/tasks/task.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { prediction } from '../../../shared/protocol/messages/result.ts';
import { byteLength, type Dtype, type Tensor } from '../../../shared/tensor/tensor.ts';
import { editedBytes } from '../edits.ts';
import { type FuzzTarget, must } from '../target.ts';

/** Heads of every kind of network; outputs by name and shape. */
const HEADS = [
  { task: 'classify', output: { decoder: 'softmax' }, outputs: { y: [1, 12] } },
  { task: 'classify', output: { decoder: 'logits', background: 0 }, outputs: { y: [1, 12] } },
  { task: 'detect', output: { decoder: 'fastestdet' }, outputs: { y: [1, 7, 4, 4] } },
  { task: 'detect', output: { decoder: 'ultraface' }, outputs: { scores: [1, 9, 2], boxes: [1, 9, 4] } },
  { task: 'detect', output: { decoder: 'yolo' }, outputs: { y: [1, 7, 20] } },
  { task: 'detect', output: { decoder: 'yolo' }, outputs: { y: [1, 20, 6] } },
  { task: 'detect', output: { decoder: 'ssd' }, outputs: { boxes: [1, 9, 4], scores: [1, 9, 3] } },
  { task: 'segment', output: { decoder: 'none' }, outputs: { y: [1, 3, 6, 6] } },
] as const;
const DTYPES = ['float32', 'float32', 'float16', 'int64', 'uint8', 'float64'] as const satisfies readonly Dtype[];
const cards = HEADS.map(({ task, output }) =>
  parseCard({ name: 'fuzz', task, input: { shape: [1, 3, 100, 100] }, output }, 'fuzz'),
);
const VIEWS = [
  { sourceWidth: 200, sourceHeight: 100, mapping: { scaleX: 2, scaleY: 1, offsetX: -3, offsetY: 5 } },
  { sourceWidth: 0, sourceHeight: 0, mapping: null },
] as const;

/** Bit patterns of float32 at which arithmetic goes wrong: NaN, infinities, the largest, the smallest, -0. */
const FLOATS = [0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff, 1, 0x80000000, 0x3f800000, 0xbf800000];

/** Arbitrary outputs of a network. An input is head, dtype, then the bytes of the outputs. */
export const answers: FuzzTarget = {
  name: 'answers',
  about: 'outputs of networks full of NaN, infinities and noise: an answer with finite numbers, or a coded error',
  seeds: () =>
    HEADS.map((_, k) => Uint8Array.from({ length: 600 }, (_, i) => (i === 0 ? k : i === 1 ? 0 : (i * 37) & 255))),
  inputs: (seeds) => {
    const values = fc.array(fc.oneof(fc.constantFrom(...FLOATS), fc.nat(0xffffffff)), { minLength: 1, maxLength: 150 });
    const made = fc.tuple(fc.nat(255), fc.nat(255), values).map(([head, dtype, words]) => {
      const bytes = new Uint8Array(2 + words.length * 4);
      bytes.set([head, dtype]);
      const view = new DataView(bytes.buffer);
      words.forEach((word, k) => {
        view.setUint32(2 + 4 * k, word, true);
      });
      return bytes;
    });
    return fc.oneof({ weight: 3, arbitrary: made }, { weight: 1, arbitrary: editedBytes(seeds, 4096) });
  },
  open: () => ({
    judge(input) {
      const which = (input[0] ?? 0) % HEADS.length;
      const dtype = DTYPES[(input[1] ?? 0) % DTYPES.length]!;
      const body = input.subarray(2);
      const outputs = new Map<string, Tensor>();
      for (const [name, shape] of Object.entries(HEADS[which]!.outputs)) {
        const size = byteLength({ dtype, shape });
        const data = Uint8Array.from({ length: size }, (_, k) => body[k % Math.max(1, body.length)] ?? 0);
        outputs.set(name, { dtype, shape, data });
      }
      const view = VIEWS[(input[1] ?? 0) & 1]!;
      try {
        const { top, predictions } = decodeTask(outputs, cards[which]!, ['cat', 'dog'], view);
        // Readers of results must be able to parse what is published.
        for (const one of JSON.parse(JSON.stringify(predictions)) as unknown[]) {
          const read = prediction.safeParse(one);
          must(read.success, () => `${JSON.stringify(one)} is published`);
          must(read.data.score >= 0 && read.data.score <= 1, () => `the score ${read.data.score}`);
        }
        must(top === null || (Number.isFinite(top.score) && top.label.length > 0), () => JSON.stringify(top));
        must(predictions.length <= 1000, () => `${predictions.length} predictions`);
        return 'accepted';
      } catch (error) {
        if (error instanceof TesseraError && /^TESSERA_(MODEL_CARD|SHAPE)$/.test(error.code)) return 'refused';
        throw error;
      }
    },
  }),
};
