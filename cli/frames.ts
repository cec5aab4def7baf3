import { randomBytes } from 'node:crypto';
import { TesseraError } from '../shared/errors.ts';
import type { Bus } from '../shared/ports.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import { partMessage } from '../shared/protocol/messages/part.ts';
import {
  type OutputsMessage,
  outputsMessage,
  type ResultObject,
  resultObject,
} from '../shared/protocol/messages/result.ts';
import { PART_LIMIT_BYTES, Reassembler, splitBody } from '../shared/protocol/parts.ts';
import { parseResultTopic, type Topics } from '../shared/protocol/topics.ts';
import { decode, encode } from '../shared/runtime/cbor.ts';
import { z } from '../shared/schema.ts';

/** A frame's prediction; `tensors` where they were requested. */
export interface Answer {
  readonly result: ResultObject;
  readonly tensors: OutputsMessage | undefined;
}

/**
 * A frame that waits for its result, and what has arrived so far: results and tensors by their common id.
 */
interface AwaitedFrame {
  readonly wantsTensors: boolean;
  /** The model whose result counts; undefined: the first result. */
  readonly model: string | undefined;
  readonly results: Map<string, ResultObject>;
  readonly tensors: Map<string, OutputsMessage>;
  readonly resolve: (answer: Answer) => void;
}

const tensorOrPart = z.union([partMessage, outputsMessage]);

/**
 * Sends frames to a cluster as a camera does and waits for their results, by the frame's own id. Call `start`,
 * which subscribes, before `send`; otherwise a result may be missed.
 *
 *   1. A result is accepted only on the topic of this camera and of the requested model.
 *   2. Tensors belong to the result with the same id; tensors of another model's result for the frame are ignored.
 *   3. After its result or timeout a frame takes no memory.
 */
export class FrameClient {
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #camera: string;
  readonly #waiting = new Map<string, AwaitedFrame>();
  readonly #parts = new Reassembler();
  /** Why outputs of a model could not be put together, by topic. */
  readonly #refusals = new Map<string, string>();

  constructor(bus: Bus, topics: Topics, camera: string) {
    this.#bus = bus;
    this.#topics = topics;
    this.#camera = camera;
  }

  async start(): Promise<void> {
    await this.#bus.subscribe(this.#topics.result(this.#camera, '+'), 1, ({ topic, payload }) => {
      this.#onResult(topic, payload);
    });
    await this.#bus.subscribe(this.#topics.tensor(this.#camera, '+'), 1, ({ topic, payload }) => {
      this.#onTensor(topic, payload);
    });
  }

  /** A retained result counts, too: it was published while the connection was lost, and frame ids are unique. */
  #onResult(topic: string, payload: Uint8Array): void {
    const from = parseResultTopic(this.#topics.base, topic);
    const { data: result } = resultObject.safeParse(readJson(payload));
    if (from === undefined || result === undefined) return;
    const waiting = this.#waitingFor(result.frame, from.model);
    if (waiting === undefined || result.model !== from.model || result.camera !== from.camera) return;
    waiting.results.set(result.id, result);
    this.#settle(result.frame, waiting);
  }

  /** Tensors for other clients, and invalid ones, are dropped before they are decoded. */
  #onTensor(topic: string, payload: Uint8Array): void {
    const model = parseResultTopic(this.#topics.base, topic)?.model;
    const isWanted = ({ wantsTensors, model: asked }: AwaitedFrame): boolean =>
      wantsTensors && (asked === undefined || asked === model);
    if (model === undefined || ![...this.#waiting.values()].some(isWanted)) return;
    let message = readTensors(payload, tensorOrPart);
    if (message !== undefined && 'part' in message) {
      const outcome = this.#parts.accept(topic, message, performance.now());
      if (outcome.kind === 'refused') this.#refusals.set(model, outcome.reason);
      message = outcome.kind === 'complete' ? readTensors(outcome.body, outputsMessage) : undefined;
    }
    if (message === undefined || !('outputs' in message)) return;
    const waiting = this.#waitingFor(message.frame, model);
    if (waiting?.wantsTensors !== true) return;
    waiting.tensors.set(message.id, message);
    this.#settle(message.frame, waiting);
  }

  #waitingFor(frame: string, model: string): AwaitedFrame | undefined {
    const waiting = this.#waiting.get(frame);
    return waiting?.model === undefined || waiting.model === model ? waiting : undefined;
  }

  #settle(frame: string, { wantsTensors, results, tensors, resolve }: AwaitedFrame): void {
    for (const [id, result] of results) {
      const own = tensors.get(id);
      if (wantsTensors && own === undefined && result.status !== 'error') continue;
      this.#waiting.delete(frame);
      resolve({ result, tensors: own });
      return;
    }
  }

  /**
   * Publishes a frame under an id that is used once, and resolves with its result (of `model`, where several answer).
   * Throws TESSERA_DEADLINE.
   */
  async send(id: string, envelope: FrameEnvelope, timeoutMs: number, model?: string): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => {
      const waiting: AwaitedFrame = {
        wantsTensors: envelope.tensors ?? false,
        model,
        results: new Map(),
        tensors: new Map(),
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(this.#tooLate(id, waiting, timeoutMs));
      }, timeoutMs);
      this.#waiting.set(id, waiting);
    });
    await publishFrame(this.#bus, this.#topics, this.#camera, id, envelope);
    return answer;
  }

  #tooLate(id: string, { model, results }: AwaitedFrame, timeoutMs: number): TesseraError {
    const within = `within ${timeoutMs / 1000} s`;
    const [result] = results.values();
    if (result !== undefined) {
      const refused = this.#refusals.get(result.model);
      return new TesseraError('TESSERA_DEADLINE', `frame ${id} has a result, but its outputs did not come ${within}`, {
        hint:
          refused === undefined
            ? 'outputs travel with QoS 0: a connection that broke, or a limit of the broker, loses them; try again'
            : `the outputs cannot be put together: ${refused}`,
      });
    }
    const of = model === undefined ? '' : ` of model "${model}"`;
    return new TesseraError('TESSERA_DEADLINE', `no result${of} for frame ${id} ${within}`, {
      hint:
        'is central running with this model? `tessera nodes` shows who is online; where other frames of camera ' +
        `"${this.#camera}" came meanwhile, the newest may have replaced it (see cameras.*.keep: every)`,
    });
  }
}

/** The value of a JSON payload; undefined where it is invalid. */
export function readJson(payload: Uint8Array): unknown {
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

/**
 * Publishes one frame: a small picture without options as it is, any other frame in an envelope, in parts when large.
 */
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
