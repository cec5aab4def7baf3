import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, PublishOptions } from '../../shared/ports.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { OutputsMessage, ResultObject } from '../../shared/protocol/messages/result.ts';
import { splitBody } from '../../shared/protocol/parts.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { encode } from '../../shared/runtime/cbor.ts';

/** Connections that a result is tried on: every frame ends with one, also where the broker is killed again and again. */
export const RESULT_CONNECTIONS = 30;

/**
 * Publishes what central tells people and apps: states, which are retained, news, and results. States are published again
 * after every (re)connection, because a broker that was restarted may have lost them.
 */
export class Publisher {
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #throttledLog: Pick<LogThrottle, 'warn'>;
  readonly #onState: (topic: string, payload: string) => void;
  /** Payloads that are retained and published again, by topic. */
  readonly #retained = new Map<string, string>();
  /** Topics with retained payloads about a camera, by camera. */
  readonly #cameraTopics = new Map<string, Set<string>>();

  /** `onState` is told of every state and figure, and of states that are cleared: with an empty payload. */
  constructor(
    bus: Bus,
    topics: Topics,
    throttledLog: Pick<LogThrottle, 'warn'>,
    onState: (topic: string, payload: string) => void = () => {},
  ) {
    this.#bus = bus;
    this.#topics = topics;
    this.#throttledLog = throttledLog;
    this.#onState = onState;
  }

  /** Publishes all retained states; call it on every connection. */
  announce(): void {
    for (const [topic, payload] of this.#retained) void this.#send(topic, payload, true);
  }

  /** Publishes a state, which replaces the topic's last one; a state of a camera is cleared when the camera is forgotten. */
  retain(topic: string, payload: string, camera?: string): void {
    if (camera !== undefined) this.#topicsOf(camera).add(topic);
    this.#retained.set(topic, payload);
    this.#onState(topic, payload);
    void this.#send(topic, payload, true);
  }

  /** Clears a retained state, of whoever published it. */
  clear(topic: string): void {
    this.#retained.delete(topic);
    this.#onState(topic, '');
    void this.#send(topic, '', true);
  }

  /** Publishes a JPEG of a camera, which is retained until the camera is forgotten. */
  picture(topic: string, jpeg: Uint8Array, camera: string): void {
    this.#topicsOf(camera).add(topic);
    this.retainOnce(topic, jpeg);
  }

  /** Publishes a retained message that is not published again after a reconnection; an empty one clears the topic. */
  retainOnce(topic: string, payload: string | Uint8Array): void {
    void this.#send(topic, payload, true);
  }

  /** Clears everything that is retained about a camera, results too. */
  forget(camera: string): void {
    for (const topic of this.#topicsOf(camera)) this.clear(topic);
    this.#cameraTopics.delete(camera);
  }

  /** Publishes news, which is not retained. */
  event(topic: string, payload: string): void {
    void this.#send(topic, payload, false);
  }

  /** Publishes figures that the next ones replace: at most once, and not at all while the broker is away. */
  sample(topic: string, payload: string): void {
    this.#onState(topic, payload);
    void this.#bus.publish(topic, payload).catch(() => {});
  }

  /**
   * Publishes a frame's result; `text` is `result` as JSON. Resolves to true when the broker has acknowledged it, to false
   * when it was refused or given up. Error results are not retained: they are news, not a state.
   */
  result(result: ResultObject, text: string, tensors: WireRegion[]): Promise<boolean> {
    const { camera, model, id, frame, status } = result;
    const isRetained = status !== 'error';
    if (isRetained && tensors.length > 0) this.#tensors(camera, model, { v: 1, id, frame, outputs: tensors });
    const topic = this.#topics.result(camera, model);
    if (isRetained) this.#topicsOf(camera).add(topic);
    const { traceparent } = result;
    const context = traceparent === undefined ? {} : { traceparent };
    return this.#send(topic, text, isRetained, { connections: RESULT_CONNECTIONS, ...context });
  }

  #topicsOf(camera: string): Set<string> {
    const topics = this.#cameraTopics.get(camera) ?? new Set();
    this.#cameraTopics.set(camera, topics);
    return topics;
  }

  #tensors(camera: string, model: string, message: OutputsMessage): void {
    const topic = this.#topics.tensor(camera, model);
    for (const part of splitBody(encode(message), message.id)) {
      this.#bus.publish(topic, encode(part)).catch((error) => this.#logFailure(topic, error));
    }
  }

  async #send(
    topic: string,
    payload: string | Uint8Array,
    retain: boolean,
    more: Pick<PublishOptions, 'connections' | 'traceparent'> = {},
  ): Promise<boolean> {
    try {
      await this.#bus.publish(topic, payload, { qos: 1, retain, ...more });
      return true;
    } catch (error) {
      this.#logFailure(topic, error);
      return false;
    }
  }

  /** One line a topic and minute: after an outage hundreds of results may fail at once. */
  #logFailure(topic: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#throttledLog.warn(topic, `publishing on ${topic} failed: ${reason}`);
  }
}
