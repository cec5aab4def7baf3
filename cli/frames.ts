import { randomBytes } from 'node:crypto';
import { TesseraError } from '../shared/errors.ts';
import type { Bus } from '../shared/ports.ts';
import {
  type FrameEnvelope,
  partMessage,
  type ResultObject,
  resultObject,
  type TensorMessage,
  tensorMessage,
} from '../shared/protocol/messages.ts';
import { PART_LIMIT_BYTES, Reassembler, splitBody } from '../shared/protocol/parts.ts';
import type { Topics } from '../shared/protocol/topics.ts';
import { decode, encode } from '../shared/runtime/cbor.ts';
import { z } from '../shared/schema.ts';

/** A frame's prediction; `tensors` where they were asked for. */
export interface Answer {
  readonly result: ResultObject;
  readonly tensors: TensorMessage | undefined;
}

const tensorOrPart = z.union([partMessage, tensorMessage]);

/**
 * Sends frames to a cluster as a camera does and waits for their results, by the frame's own id. Results that arrive
 * before `send` asks for them are not lost: subscribe (`start`) first.
 */
export class FrameClient {
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #camera: string;
  readonly #waiting = new Map<
    string,
    { resolve: (answer: Answer) => void; tensors: boolean; model: string | undefined }
  >();
  readonly #tensors = new Map<string, TensorMessage>();
  readonly #results = new Map<string, ResultObject>();
  readonly #parts = new Reassembler();

  constructor(bus: Bus, topics: Topics, camera: string) {
    this.#bus = bus;
    this.#topics = topics;
    this.#camera = camera;
  }

  async start(): Promise<void> {
    await this.#bus.subscribe(this.#topics.result(this.#camera, '+'), 1, ({ payload, retained }) => {
      if (retained) return;
      const result = resultObject.safeParse(readJson(payload));
      const waiting = result.success ? this.#waiting.get(result.data.frame) : undefined;
      if (!result.success || waiting === undefined || result.data.model !== (waiting.model ?? result.data.model))
        return;
      this.#results.set(result.data.frame, result.data);
      this.#settle(result.data.frame);
    });
    await this.#bus.subscribe(this.#topics.tensor(this.#camera, '+'), 1, ({ topic, payload }) => {
      this.#onTensor(topic, payload);
    });
  }

  /** Tensors that nobody waits for, and what is none, are somebody else's and cost nothing. */
  #onTensor(topic: string, payload: Uint8Array): void {
    let message = readTensors(payload, tensorOrPart);
    if (message !== undefined && 'part' in message) {
      const outcome = this.#parts.accept(topic, message, performance.now());
      message = outcome.kind === 'complete' ? readTensors(outcome.body, tensorMessage) : undefined;
    }
    if (message === undefined || !('outputs' in message) || !this.#waiting.has(message.frame)) return;
    this.#tensors.set(message.frame, message);
    this.#settle(message.frame);
  }

  #settle(frame: string): void {
    const waiting = this.#waiting.get(frame);
    const result = this.#results.get(frame);
    const tensors = this.#tensors.get(frame);
    if (waiting === undefined || result === undefined) return;
    if (waiting.tensors && tensors === undefined && result.status !== 'error') return;
    this.#waiting.delete(frame);
    this.#results.delete(frame);
    this.#tensors.delete(frame);
    waiting.resolve({ result, tensors });
  }

  /**
   * Publishes a frame under an id that is used once, and resolves with its result (of `model`, where several answer).
   * Throws TESSERA_DEADLINE.
   */
  async send(id: string, envelope: FrameEnvelope, timeoutMs: number, model?: string): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(
          new TesseraError('TESSERA_DEADLINE', `no result for frame ${id} within ${timeoutMs / 1000} s`, {
            hint: 'is central running with this model? `tessera nodes` shows who is online',
          }),
        );
      }, timeoutMs);
      this.#waiting.set(id, {
        tensors: envelope.tensors ?? false,
        model,
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
      });
    });
    await publishFrame(this.#bus, this.#topics, this.#camera, id, envelope);
    return answer;
  }
}

function readJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return undefined;
  }
}

function readTensors<T>(payload: Uint8Array, schema: z.ZodType<T>): T | undefined {
  try {
    return decode(payload, schema, 'tensors');
  } catch {
    return undefined;
  }
}

/** Publishes one frame: a picture as it is where that says everything, else an envelope, in parts when it is large. */
export async function publishFrame(
  bus: Bus,
  topics: Topics,
  camera: string,
  id: string,
  envelope: FrameEnvelope,
  qos: 0 | 1 = 1,
): Promise<void> {
  const topic = topics.input(camera, id);
  const plain = (envelope.format === 'jpeg' || envelope.format === 'png') && envelope.tensors !== true;
  if (plain && envelope.d.byteLength <= PART_LIMIT_BYTES) return bus.publish(topic, envelope.d, { qos });
  const body = encode(envelope);
  if (body.byteLength <= PART_LIMIT_BYTES) return bus.publish(topic, body, { qos });
  // A frame's id may be longer than that of a body.
  for (const part of splitBody(body, randomBytes(8).toString('hex'))) await bus.publish(topic, encode(part), { qos });
}
