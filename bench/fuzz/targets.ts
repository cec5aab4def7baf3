import type { FuzzTarget } from './target.ts';
import { answers } from './targets/answers.ts';
import { codecs } from './targets/codecs.ts';
import { card, config, json } from './targets/documents.ts';
import { envelope, frameParser, picture } from './targets/frames.ts';
import { onnx, plan } from './targets/models.ts';
import { profile } from './targets/profiles.ts';
import { parts } from './targets/reassembly.ts';
import { jpegStream, packets } from './targets/streams.ts';
import { job, result } from './targets/tiles.ts';
import { cbor, signature } from './targets/wire-messages.ts';
import { token, topics, words } from './targets/words.ts';

/** Every decoder of data from outside. */
export const TARGETS: readonly FuzzTarget[] = [
  cbor,
  parts,
  frameParser,
  envelope,
  picture,
  jpegStream,
  json,
  topics,
  result,
  job,
  codecs,
  plan,
  onnx,
  profile,
  card,
  config,
  token,
  signature,
  words,
  packets,
  answers,
];
