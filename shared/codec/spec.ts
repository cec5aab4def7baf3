import { TesseraError } from '../errors.ts';
import { z } from '../schema.ts';

/** Schema of a codec with its parameters, as plans and wire messages hold it; codec.ts lists the implementations. */
export const codecSpec = z.discriminatedUnion('name', [
  z.object({ name: z.literal('raw') }),
  z.object({ name: z.literal('packed') }),
  z.object({ name: z.literal('fp16') }),
  z.object({ name: z.literal('q8'), per: z.enum(['tensor', 'channel']) }),
  z
    .object({
      name: z.literal('clip'),
      a: z.number(),
      b: z.number(),
      bits: z.number().int().min(2).max(8),
      /** The value of code 0; absent: 0, as in ADCNN. With `a` itself, decoded values are not shifted. */
      base: z.number().optional(),
    })
    .refine(({ a, b }) => a < b && Number.isFinite((2 ** 8 - 1) / (b - a)), 'expected a < b, and not too near to it'),
]);

/** A codec with its parameters, as plans and wire messages hold it. */
export type CodecSpec = Readonly<z.infer<typeof codecSpec>>;

/** ADCNN's clipped ReLU and quantisation. */
export type ClipSpec = Extract<CodecSpec, { name: 'clip' }>;

/** The forms that `parseCodec` accepts, for messages. */
export const CODEC_FORMS = 'raw, packed, fp16, q8, q8:channel, clip:A:B:BITS (bits 2 to 8) or clip:A:B:BITS:BASE';

/** Parses a codec as the command line writes it, `clip:0.2:2:4`. Throws TesseraError TESSERA_USAGE. */
export function parseCodec(text: string): CodecSpec {
  const [name, ...rest] = text.split(':');
  const numbers = rest.map((word) => (word.trim() === '' ? Number.NaN : Number(word)));
  let spec: unknown;
  if (name === 'q8' && rest.length <= 1) spec = { name, per: rest[0] ?? 'tensor' };
  else if (name === 'clip' && (rest.length === 3 || rest.length === 4)) {
    const [a, b, bits, base] = numbers;
    spec = { name, a, b, bits, ...(base === undefined ? {} : { base }) };
  } else if (rest.length === 0) spec = { name };
  const parsed = codecSpec.safeParse(spec);
  if (parsed.success) return parsed.data;
  throw new TesseraError('TESSERA_USAGE', `"${text}" is no codec: ${CODEC_FORMS} are accepted`, {
    hint: 'clip:0.2:2:4 is 0 below 0.2, saturates at 2, and has codes of 4 bits (2 to 8)',
  });
}

/** Whether `parseCodec` accepts a text. */
export function isCodec(text: string): boolean {
  try {
    parseCodec(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether two specs are equal, whatever the order of their fields. */
export function sameCodec(a: CodecSpec, b: CodecSpec): boolean {
  if (a.name === 'clip')
    return b.name === 'clip' && a.a === b.a && a.b === b.b && a.bits === b.bits && a.base === b.base;
  return a.name === 'q8' ? b.name === 'q8' && a.per === b.per : a.name === b.name;
}

/** A codec in the form that `parseCodec` accepts. */
export function codecText(spec: CodecSpec): string {
  switch (spec.name) {
    case 'q8':
      return spec.per === 'tensor' ? 'q8' : 'q8:channel';
    case 'clip':
      return ['clip', spec.a, spec.b, spec.bits, ...(spec.base === undefined ? [] : [spec.base])].join(':');
    default:
      return spec.name;
  }
}
