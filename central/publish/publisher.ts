import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import type { CentralModels, PlanStatus, StatisticsMessage } from '../../shared/protocol/messages/central.ts';
import type { LeftOut, NodeEvent } from '../../shared/protocol/messages/node.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { OutputsMessage, ResultObject } from '../../shared/protocol/messages/result.ts';
import { splitBody } from '../../shared/protocol/parts.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { encode } from '../../shared/runtime/cbor.ts';

/** Connections that a result is tried on: every frame ends with one, also where the broker is killed again and again. */
export const RESULT_CONNECTIONS = 30;

/**
 * Publishes what central tells people and apps. Retained states are published again after every (re)connection, because a
 * broker that was restarted may have lost them.
 */
export class Publisher {
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #log: Log;
  /** Payloads that are retained and published again, by topic. */
  readonly #retained = new Map<string, string>();
  /** Topics with retained payloads about a camera, by camera. */
  readonly #cameraTopics = new Map<string, Set<string>>();

  constructor(bus: Bus, topics: Topics, log: Log) {
    this.#bus = bus;
    this.#topics = topics;
    this.#log = log;
  }

  /** Publishes all retained states; call it on every connection. */
  announce(): void {
    for (const [topic, payload] of this.#retained) void this.#send(topic, payload, true);
  }

  /** The public key that belongs to the signatures of models. */
  key(publicKey: string): void {
    this.#retain(this.#topics.centralKey(CENTRAL), publicKey);
  }

  /** Nodes that get no work. */
  leftOut(nodes: LeftOut): void {
    this.#retain(this.#topics.centralLeftOut(CENTRAL), JSON.stringify(nodes));
  }

  /** Models that are served or refused. */
  models(models: CentralModels): void {
    this.#retain(this.#topics.centralModels(CENTRAL), JSON.stringify(models));
  }

  plan(model: string, status: PlanStatus): void {
    this.#retain(this.#topics.plan(model), JSON.stringify(status));
  }

  camera(camera: string, state: 'online' | 'offline'): void {
    const topic = this.#topics.cameraStatus(camera);
    this.#topicsOf(camera).add(topic);
    this.#retain(topic, state);
  }

  label(camera: string, model: string, label: string): void {
    const topic = this.#topics.label(camera, model);
    this.#topicsOf(camera).add(topic);
    this.#retain(topic, label);
  }

  /** Clears everything that is retained about a camera. */
  forget(camera: string): void {
    for (const topic of this.#topicsOf(camera)) {
      this.#retained.delete(topic);
      void this.#send(topic, '', true);
    }
    this.#cameraTopics.delete(camera);
  }

  nodeEvent(event: NodeEvent): void {
    void this.#send(this.#topics.nodeEvent(event.node), JSON.stringify(event), false);
  }

  statistics(report: StatisticsMessage): void {
    void this.#bus.publish(this.#topics.stats, JSON.stringify(report)).catch(() => {});
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
    return this.#send(topic, text, isRetained, RESULT_CONNECTIONS);
  }

  #topicsOf(camera: string): Set<string> {
    const topics = this.#cameraTopics.get(camera) ?? new Set();
    this.#cameraTopics.set(camera, topics);
    return topics;
  }

  #tensors(camera: string, model: string, message: OutputsMessage): void {
    const topic = this.#topics.tensor(camera, model);
    for (const part of splitBody(encode(message), message.id)) {
      this.#bus.publish(topic, encode(part)).catch((error) => this.#log.warn(`tensors of ${message.id}: ${error}`));
    }
  }

  #retain(topic: string, payload: string): void {
    this.#retained.set(topic, payload);
    void this.#send(topic, payload, true);
  }

  async #send(topic: string, payload: string, retain: boolean, connections?: number): Promise<boolean> {
    try {
      await this.#bus.publish(topic, payload, {
        qos: 1,
        retain,
        ...(connections === undefined ? {} : { connections }),
      });
      return true;
    } catch (error) {
      this.#log.warn(`publishing on ${topic} failed: ${error instanceof Error ? error.message : error}`);
      return false;
    }
  }
}
