import fc from 'fast-check';
import { PacketLimit } from '../../../broker/packet-limit.ts';
import { JpegStream } from '../../../shared/camera/jpeg-stream.ts';
import { corpusOf } from '../corpus.ts';
import { applyEdits, editScript, MOST_BYTES } from '../edits.ts';
import { type FuzzTarget, must, same } from '../target.ts';

/** Streams: the parsed result must not depend on the chunk sizes. An input is the length of the chunks, then bytes. */
function chunks(input: Uint8Array): Uint8Array[] {
  const size = 1 + (input[0] ?? 0);
  const pieces: Uint8Array[] = [];
  for (let at = 1; at < input.length; at += size) pieces.push(input.subarray(at, at + size));
  return pieces;
}

/** Several samples one after another, with changes. */
function streams(seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const bodies = seeds.map((seed) => seed.subarray(1));
  const joined = fc.array(fc.constantFrom(...bodies), { minLength: 1, maxLength: 6 }).map((all) => Buffer.concat(all));
  return fc
    .tuple(fc.nat(255), joined, fc.option(editScript, { freq: 4 }))
    .map(([size, bytes, script]) =>
      Uint8Array.from([size, ...(script === null ? bytes : applyEdits(bytes, script, bodies, MOST_BYTES))]),
    );
}

const withSize = (bytes: Uint8Array): Uint8Array => Uint8Array.from([99, ...bytes]);

const MAX_PICTURE = 4000;

/** JPEGs one after another on standard input. */
export const jpegStream: FuzzTarget = {
  name: 'jpeg-stream',
  about: 'streams of damaged JPEGs: whole pictures only, however the stream is cut, and every byte accounted for',
  seeds: () =>
    corpusOf('picture')
      .filter((file) => file[0] === 0xff)
      .map(withSize),
  inputs: streams,
  open: () => ({
    judge(input) {
      const cut = new JpegStream(MAX_PICTURE);
      const pictures: Uint8Array[] = [];
      for (const piece of chunks(input)) {
        pictures.push(...cut.push(piece));
        must(cut.pending < MAX_PICTURE, () => `${cut.pending} bytes are held`);
      }
      const whole = new JpegStream(MAX_PICTURE);
      must(same(whole.push(input.subarray(1)), pictures), 'the pictures depend on how the stream is cut');
      let bytes = cut.pending + cut.skippedBytes;
      for (const picture of pictures) {
        bytes += picture.length;
        const isWhole =
          picture[0] === 0xff && picture[1] === 0xd8 && picture.at(-2) === 0xff && picture.at(-1) === 0xd9;
        must(isWhole && picture.length <= MAX_PICTURE, 'what is no picture is handed over');
      }
      must(bytes === Math.max(0, input.length - 1), () => `${bytes} of ${input.length - 1} bytes are accounted for`);
      return pictures.length > 0 ? 'accepted' : 'refused';
    },
  }),
};

const MAX_PACKET = 600;

/** MQTT packets of given sizes; the bodies are noise. */
function packet(size: number): Uint8Array {
  const digits: number[] = [];
  for (let left = size; digits.length === 0 || left > 0; left = Math.floor(left / 128))
    digits.push((left % 128) | (left >= 128 ? 128 : 0));
  return Uint8Array.from([0x30, ...digits, ...Array.from({ length: size }, (_, k) => (k * 97) & 255)]);
}

/** Where the first packet stands that is too large or has no length, by the whole stream; undefined for none. */
function faultIn(bytes: Uint8Array): number | undefined {
  for (let at = 0; at < bytes.length; ) {
    let length = 0;
    let digits = 0;
    for (;;) {
      const digit = bytes[at + 1 + digits];
      if (digit === undefined) return undefined;
      length += (digit & 127) * 128 ** digits;
      digits++;
      if (digit < 128) break;
      if (digits === 4) return at;
    }
    if (1 + digits + length > MAX_PACKET) return at;
    at += 1 + digits + length;
  }
  return undefined;
}

/** The broker's packet limit. */
export const packets: FuzzTarget = {
  name: 'packets',
  weight: 3,
  about: 'MQTT packets with lying lengths: the meter says what a reader of the whole stream says, however it is cut',
  seeds: () => [0, 5, 127, 128, 500, 597].map((size) => withSize(packet(size))),
  inputs: streams,
  open: () => ({
    judge(input) {
      const meter = new PacketLimit(MAX_PACKET);
      const fault = faultIn(input.subarray(1));
      let at = 0;
      for (const piece of chunks(input)) {
        const said = meter.feed(piece);
        at += piece.length;
        if (said === undefined) continue;
        must(fault !== undefined && at > fault, `a fault where there is none: ${said}`);
        return 'refused';
      }
      must(fault === undefined, 'a packet that is too large passes');
      return 'accepted';
    },
  }),
};
