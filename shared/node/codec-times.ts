import { type CodecSpec, sameCodec } from '../codec/spec.ts';
import type { ControlMessage } from '../protocol/messages/control.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import { wholeBox } from '../tensor/tensor.ts';
import type { Executor } from './executor-types.ts';

/** What a node's handling of tensors takes: a `codecs-timed` message. */
export type CodecTimes = Pick<Extract<ControlMessage, { type: 'codecs-timed' }>, 'part_ms' | 'codecs'>;

const RAW: CodecSpec = { name: 'raw' };
const SPECS: readonly CodecSpec[] = [
  RAW,
  { name: 'packed' },
  { name: 'fp16' },
  { name: 'q8', per: 'tensor' },
  { name: 'clip', a: 0, b: 2, bits: 4 },
];
/** A feature map of a quarter of a megabyte, [n, c, h, w]; and one that takes no time. */
const MAP = [1, 64, 32, 32] as const;
const EMPTY = [1, 1, 1, 1] as const;
/** Times of which the median counts, after one that does not: the coders build tables. */
const REPEATS = 9;
/** A frame of no central: epochs begin with 1. */
const FRAME = '0-0';

/**
 * Measures how long this node's executor takes to have a tensor handed over and back (`part_ms`), and to encode and
 * decode one, ms for 10^6 bytes of values: a feature map behind a ReLU, half of it zeros.
 */
export async function measureCodecs(
  executor: Pick<Executor, 'keep' | 'take' | 'free'>,
  now: () => number,
): Promise<CodecTimes> {
  /** Takes a region from the executor with another codec; the time of that, ms, and the region. */
  const taken = async (region: WireRegion, codec: CodecSpec) => {
    executor.keep(FRAME, undefined, [{ ...region, d: region.d.slice() }]);
    // What is kept is there once anything else was answered.
    await executor.take(FRAME, []);
    const began = now();
    const made = await executor.take(FRAME, [{ tensor: region.tensor, box: region.box, codec }]);
    const ms = now() - began;
    executor.free([FRAME]);
    if ('missing' in made) throw new Error('a region that was kept is missing');
    return { ms, region: made[0]! };
  };
  const timed = async (region: WireRegion, codec: CodecSpec) => {
    await taken(region, codec);
    const all: Awaited<ReturnType<typeof taken>>[] = [];
    for (let i = 0; i < REPEATS; i++) all.push(await taken(region, codec));
    return all.sort((a, b) => a.ms - b.ms)[Math.floor(REPEATS / 2)]!;
  };
  const { ms: part_ms } = await timed(featureMap(EMPTY), RAW);
  const map = featureMap(MAP);
  const perMegabyte = (ms: number): number => Math.max(0, (ms - part_ms) / (map.d.byteLength / 1e6));
  const codecs: { name: CodecSpec['name']; encode_ms: number; decode_ms: number }[] = [];
  for (const codec of SPECS) {
    const encoded = await timed(map, codec);
    const decoded = sameCodec(codec, RAW) ? encoded : await timed(encoded.region, RAW);
    codecs.push({
      name: codec.name,
      encode_ms: perMegabyte(encoded.ms),
      decode_ms: perMegabyte(decoded.ms),
    });
  }
  return { part_ms, codecs };
}

/** A float32 tensor of which every second value is 0, and the others lie between 0 and 2. */
function featureMap(shape: readonly [number, number, number, number]): WireRegion {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  let state = 1;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    values[i] = state >>> 31 === 0 ? 0 : (state >>> 8) / 2 ** 23;
  }
  const box = wholeBox(shape).map(([start, end]): [number, number] => [start, end]);
  const d = new Uint8Array(values.buffer);
  return { tensor: 'map', box, dtype: 'float32', shape: [...shape], codec: RAW, d };
}
