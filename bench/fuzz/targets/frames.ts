import fc from 'fast-check';
import { TesseraError } from '../../../shared/errors.ts';
import type { PictureInput } from '../../../shared/model/picture-placement.ts';
import { SKIP_REASONS } from '../../../shared/protocol/messages/result.ts';
import { splitBody } from '../../../shared/protocol/parts.ts';
import { encode } from '../../../shared/runtime/cbor.ts';
import { FrameParser } from '../../../shared/runtime/frame-parser.ts';
import { decodeFrame, encodeJpeg } from '../../../shared/runtime/image.ts';
import { cborOf } from '../cbor-bytes.ts';
import { corpusOf } from '../corpus.ts';
import { editedBytes, thenEdited } from '../edits.ts';
import { bytesOf, type FuzzTarget, must, textOf, type Verdict } from '../target.ts';
import { editedTree } from '../trees.ts';
import { treeOf } from './wire-messages.ts';

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const FRAME = /^[A-Za-z0-9_.:-]{1,128}$/;
const rgb = (bytes: number) => Uint8Array.from({ length: bytes }, (_, k) => (k * 37) & 255);

/** Frames in every form that an envelope may have. */
function envelopes(): Record<string, unknown>[] {
  const v = 1;
  return [
    { v, id: 'cat-17', time: 1763650000.5, format: 'gray', dtype: 'uint8', shape: [4, 6, 1], d: rgb(24) },
    { v, format: 'rgb', shape: [4, 6, 3], d: rgb(72) },
    { v, format: 'bgr', shape: [6, 4, 3], d: rgb(72), tensors: true },
    { v, format: 'tensor', dtype: 'float32', shape: [1, 3, 2, 2], d: rgb(48) },
    ...corpusOf('picture')
      .slice(0, 3)
      .map((d) => ({ v, format: d[0] === 0xff ? 'jpeg' : 'png', d })),
  ];
}

/** A message on an input topic: the topic in one line, then the payload. */
const NEWLINE = 10;
function message(topic: string, payload: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([bytesOf(topic), Uint8Array.of(NEWLINE), payload]));
}

const level = fc.oneof(
  fc.constantFrom('front', 'a', '..', '.', '', '+', '#', '$SYS', 'x'.repeat(64), 'x'.repeat(65), 'x'.repeat(1000)),
  fc.constantFrom('ü', 'a b', 'a\u0000b', '__proto__', 'constructor', '%2e%2e', '\u202e', '-', '_'),
  fc.string({ maxLength: 5 }),
);
const topic = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('tessera/input/front', 'tessera/input/front/shot-7') },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('tessera/input', 'tessera', 'tessera/input/', 'other/input'),
        fc.array(level, { maxLength: 4 }),
      )
      .map(([base, levels]) => [base, ...levels].join('/')),
  },
);

/** What arrives on input topics. */
export const frameParser: FuzzTarget = {
  name: 'frame-parser',
  about: 'topics and payloads of frames: frames have valid names, all else is skipped with a reason',
  seeds() {
    const bodies = envelopes().map((one) => encode(one));
    const parts = splitBody(bodies[3]!, 'm', 160).map((part) => encode(part));
    const pictures = corpusOf('picture').slice(0, 6);
    const tagged = new Uint8Array([0xd9, 0xd9, 0xf7, ...bodies[0]!]);
    return [...bodies, ...parts, ...pictures, tagged].map((body) => message('tessera/input/front', body));
  },
  inputs(seeds) {
    const bodies = seeds.map((seed) => seed.subarray(seed.indexOf(NEWLINE) + 1));
    const trees = bodies.map(treeOf).filter((tree) => !(tree instanceof Uint8Array));
    const payload = fc.oneof(thenEdited(editedTree(trees).map(cborOf), bodies), editedBytes(bodies));
    return fc.tuple(topic, payload).map(([name, bytes]) => message(name.replaceAll('\n', ' '), bytes));
  },
  open() {
    const receiver = new FrameParser('tessera');
    let now = 0;
    return {
      judge(input) {
        now += 10;
        const end = Math.max(0, input.indexOf(NEWLINE));
        const name = textOf(input.subarray(0, end));
        const received = receiver.receive({ topic: name, payload: input.subarray(end + 1), retained: false }, now);
        if (received.kind === 'pending') return 'accepted';
        if (received.kind === 'skipped') {
          must(SKIP_REASONS.includes(received.reason), 'skipped for no reason');
          must(
            received.camera === '' || NAME.test(received.camera),
            () => `the camera "${received.camera}" is counted`,
          );
          must(received.failure?.code.startsWith('TESSERA_') === true, 'skipped without a code');
          return 'refused';
        }
        const { camera, frame, named, time, envelope } = received.arrival;
        must(NAME.test(camera) && name.split('/')[2] === camera, () => `the camera "${camera}" is accepted`);
        must(named ? FRAME.test(frame) : /^[0-9a-f]{16}$/.test(frame), () => `the frame id "${frame}" is accepted`);
        must(Number.isFinite(time), 'a frame of no time');
        must(envelope.d instanceof Uint8Array, 'a frame without bytes');
        return 'accepted';
      },
    };
  },
};

const INPUTS: readonly PictureInput[] = [
  { width: 8, height: 8, color: 'rgb', resize: 'stretch', crop: 1 },
  { width: 6, height: 10, color: 'gray', resize: 'letterbox', crop: 1 },
  { width: 12, height: 8, color: 'bgr', resize: 'crop', crop: 0.875 },
];
const LIMITS = { maxPixels: 1_000_000, maxSide: 4096 };

async function pictureVerdict(decode: () => ReturnType<typeof decodeFrame>, input: PictureInput): Promise<Verdict> {
  try {
    const { data, sourceWidth, sourceHeight, mapping } = await decode();
    const channels = input.color === 'gray' ? 1 : 3;
    must(data.length === input.width * input.height * channels, () => `${data.length} bytes of pixels`);
    must(sourceWidth >= 1 && sourceHeight >= 1, 'a picture of no size');
    must(sourceWidth * sourceHeight <= LIMITS.maxPixels, 'more pixels than are allowed');
    must(Math.max(sourceWidth, sourceHeight) <= LIMITS.maxSide, 'a side longer than is allowed');
    must(Object.values(mapping).every(Number.isFinite), 'boxes would be nowhere');
    return 'accepted';
  } catch (error) {
    if (error instanceof TesseraError && /^TESSERA_INPUT_/.test(error.code)) return 'refused';
    throw error;
  }
}

/** Whole files of pictures. */
export const picture: FuzzTarget = {
  name: 'picture',
  weight: 0.2,
  about: 'damaged, cut and made-up JPEG and PNG files: pixels of the right number, or a coded error',
  limitMs: 2000,
  heavy: true,
  seeds: async () => [await encodeJpeg(rgb(16 * 12 * 3), 16, 12, 80)],
  inputs: (seeds) => editedBytes(seeds),
  open: () => {
    let turn = 0;
    return {
      judge(bytes) {
        const input = INPUTS[turn++ % INPUTS.length]!;
        return pictureVerdict(() => decodeFrame(bytes, input, LIMITS), input);
      },
    };
  },
};

/** Frames in envelopes, through to their pixels. */
export const envelope: FuzzTarget = {
  name: 'envelope',
  weight: 0.5,
  about: 'frame envelopes with wrong shapes, types and sizes: pixels of the right number, or a coded error',
  limitMs: 2000,
  heavy: true,
  seeds: () => envelopes().map((one) => encode(one)),
  inputs: (seeds) => thenEdited(editedTree(seeds.map(treeOf)).map(cborOf), seeds),
  open: () => {
    const receiver = new FrameParser('tessera');
    let turn = 0;
    return {
      async judge(bytes) {
        const received = receiver.receive({ topic: 'tessera/input/front', payload: bytes, retained: false }, turn);
        if (received.kind !== 'frame') return 'refused';
        const input = INPUTS[turn++ % INPUTS.length]!;
        return pictureVerdict(() => decodeFrame(received.arrival.envelope, input, LIMITS), input);
      },
    };
  },
};
