import { createHash } from 'node:crypto';
import { type Failure, failureOf } from '../errors.ts';
import { adviceFor, describeBytes, payloadKind } from '../model/payload-kind.ts';
import type { Message } from '../ports.ts';
import { type FrameEnvelope, frameEnvelope } from '../protocol/messages/frame.ts';
import { partMessage } from '../protocol/messages/part.ts';
import type { SkipReason } from '../protocol/messages/result.ts';
import { Reassembler } from '../protocol/parts.ts';
import { isFrameId, parseInputTopic } from '../protocol/topics.ts';
import { traceparentOf } from '../protocol/traceparent.ts';
import { z } from '../schema.ts';
import { decode } from './cbor.ts';

/** A frame that has arrived whole. */
export interface Arrival {
  readonly camera: string;
  /** The publisher's own id, else the first 16 hex digits of the payload's SHA-256. */
  readonly frame: string;
  /** Whether `frame` is the publisher's own. */
  readonly named: boolean;
  /** Unix seconds. */
  readonly time: number;
  /** Without bytes where the frame was born at a node. */
  readonly envelope: FrameEnvelope;
  /** The trace context that came with it. */
  readonly traceparent?: string;
  /** The node that has the frame, and the picture's size in pixels. */
  readonly born?: { readonly node: string; readonly width: number; readonly height: number };
}

/** A frame that was born at a node and is still there. */
export type BornArrival = Arrival & Required<Pick<Arrival, 'born'>>;

/** Whether a frame was born at a node. */
export function isBorn(arrival: Arrival): arrival is BornArrival {
  return arrival.born !== undefined;
}

/** A message on an input topic, parsed. */
export type Received =
  | { readonly kind: 'frame'; readonly arrival: Arrival }
  | { readonly kind: 'pending' }
  | { readonly kind: 'skipped'; readonly camera: string; readonly reason: SkipReason; readonly failure?: Failure };

const envelopeOrPart = z.union([partMessage, frameEnvelope]);
/** The tag that says "this is CBOR" (RFC 8949 section 3.4.6): d9 d9 f7. */
const SELF_DESCRIBED = 0xd9;
const SELF_DESCRIBED_BYTES = 3;

/**
 * Parses messages on `<base>/input/<camera>[/<frame>]` into frames: a JPEG or PNG file, a CBOR envelope, or a part of an
 * envelope. Reads the first bytes and the envelope only; the data plane decodes pictures.
 */
export class FrameParser {
  readonly #base: string;
  readonly #parts = new Reassembler();

  constructor(base: string) {
    this.#base = base;
  }

  /** `nowMs`: Unix time in ms. */
  receive(message: Message, nowMs: number): Received {
    const topic = parseInputTopic(this.#base, message.topic);
    const camera = topic?.camera ?? '';
    if (topic === undefined)
      return invalid(camera, `${message.topic} is not ${this.#base}/input/<camera>[/<frame>] with valid names`);
    if (message.retained) return { kind: 'skipped', camera, reason: 'retained' };
    const received = this.#read(camera, topic.frame, message.payload, nowMs, false);
    if (received.kind !== 'frame') return received;
    const traceparent = message.traceparent ?? traceparentOf(received.arrival.envelope.traceparent);
    return traceparent === undefined ? received : { ...received, arrival: { ...received.arrival, traceparent } };
  }

  /** `joined`: the payload was put together from parts; a body in parts holds no parts. */
  #read(camera: string, id: string | null, payload: Uint8Array, nowMs: number, joined: boolean): Received {
    const kind = payloadKind(payload);
    if (kind === undefined)
      return invalid(
        camera,
        `the payload is ${describeBytes(payload)}, not a JPEG, a PNG or a CBOR envelope: ${adviceFor(payload, 'message')}`,
      );
    if (kind !== 'cbor') return frame(camera, id, payload, nowMs, { v: 1, format: kind, d: payload });
    try {
      const bare = payload[0] === SELF_DESCRIBED ? payload.subarray(SELF_DESCRIBED_BYTES) : payload;
      const message = decode(bare, joined ? frameEnvelope : envelopeOrPart, 'frame envelope');
      if ('format' in message) return frame(camera, id ?? message.id ?? null, payload, nowMs, message);
      // One allowance per camera, whatever ids its frames have, so that no camera takes the room of another.
      const outcome = this.#parts.accept(camera, { ...message, m: `${id ?? ''}/${message.m}` }, nowMs);
      if (outcome.kind === 'refused') return invalid(camera, `a part of a frame: ${outcome.reason}`);
      return outcome.kind === 'complete' ? this.#read(camera, id, outcome.body, nowMs, true) : { kind: 'pending' };
    } catch (error) {
      return { kind: 'skipped', camera, reason: 'invalid', failure: failureOf(error, 'TESSERA_MESSAGE_INVALID') };
    }
  }
}

function invalid(camera: string, message: string): Received {
  return { kind: 'skipped', camera, reason: 'invalid', failure: { code: 'TESSERA_INPUT_INVALID', message } };
}

function frame(
  camera: string,
  id: string | null,
  payload: Uint8Array,
  nowMs: number,
  envelope: FrameEnvelope,
): Received {
  const named = id !== null && isFrameId(id);
  const name = named ? id : createHash('sha256').update(payload).digest('hex').slice(0, 16);
  return { kind: 'frame', arrival: { camera, frame: name, named, time: envelope.time ?? nowMs / 1000, envelope } };
}
