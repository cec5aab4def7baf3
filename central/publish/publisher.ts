import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import type { CentralModels, PlanStatus } from '../../shared/protocol/messages/central.ts';
import type { LeftOut, NodeEvent } from '../../shared/protocol/messages/node.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { ResultObject, TensorMessage } from '../../shared/protocol/messages/result.ts';
import { splitBody } from '../../shared/protocol/parts.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { encode } from '../../shared/runtime/cbor.ts';
import { HeldLabel } from './label.ts';

/** A result is a frame's end: it is not given up for a broker that somebody kills again and again. */
export const RESULT_CONNECTIONS = 30;

/**
 * What central says to people and apps. What is retained is said again after every (re)connection, because a broker
 * that was restarted may have forgotten it.
 */
export class Publisher {
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #log: Log;
  readonly #standing = new Map<string, string>();
  readonly #labels = new Map<string, HeldLabel>();

  constructor(bus: Bus, topics: Topics, log: Log) {
    this.#bus = bus;
    this.#topics = topics;
    this.#log = log;
  }

  /** Says everything that stands; call it on every connection. */
  announce(): void {
    for (const [topic, payload] of this.#standing) void this.#send(topic, payload, true);
  }

  /** The public key that belongs to the signatures of models. */
  key(publicKey: string): void {
    this.#stand(this.#topics.centralKey(CENTRAL), publicKey);
  }

  /** Nodes that get no work. */
  leftOut(standing: LeftOut): void {
    this.#stand(this.#topics.centralLeftOut(CENTRAL), JSON.stringify(standing));
  }

  /** What is served, and what cannot be. */
  models(standing: CentralModels): void {
    this.#stand(this.#topics.centralModels(CENTRAL), JSON.stringify(standing));
  }

  plan(model: string, status: PlanStatus): void {
    this.#stand(this.#topics.plan(model), JSON.stringify(status));
  }

  camera(camera: string, state: 'online' | 'offline'): void {
    this.#stand(this.#topics.cameraStatus(camera), state);
  }

  /** Takes back what stands of a camera, also at the broker. */
  forget(camera: string): void {
    const models = [...this.#labels.keys()].filter((key) => key.startsWith(`${camera}/`));
    const about = models.flatMap((key) => {
      const model = key.slice(camera.length + 1);
      this.#labels.delete(key);
      return [this.#topics.label(camera, model), this.#topics.result(camera, model)];
    });
    for (const topic of [this.#topics.cameraStatus(camera), ...about]) {
      this.#standing.delete(topic);
      void this.#send(topic, '', true);
    }
  }

  nodeEvent(event: NodeEvent): void {
    void this.#send(this.#topics.nodeEvent(event.node), JSON.stringify(event), false);
  }

  stats(report: unknown): void {
    void this.#bus.publish(this.#topics.stats, JSON.stringify(report)).catch(() => {});
  }

  /**
   * A frame's end, `text` is `result` as JSON. Resolves with true when the broker has it, with false when this
   * connection will not bring it there. Error results are not retained: they are news, not a state.
   */
  async result(result: ResultObject, text: string, tensors: WireRegion[], hold: number): Promise<boolean> {
    const { camera, model, id, frame, status, task } = result;
    if (status !== 'error' && tensors.length > 0) this.#tensors(camera, model, { v: 1, id, frame, outputs: tensors });
    const topic = this.#topics.result(camera, model);
    const sent = this.#send(topic, text, status !== 'error', RESULT_CONNECTIONS);
    if (status !== 'error' && task !== 'raw') this.#label(result, hold);
    return sent;
  }

  #label({ camera, model, top }: ResultObject, hold: number): void {
    const key = `${camera}/${model}`;
    const held = this.#labels.get(key) ?? new HeldLabel(hold);
    this.#labels.set(key, held);
    const label = held.update(top?.label ?? null);
    if (label !== undefined) this.#stand(this.#topics.label(camera, model), label);
  }

  #tensors(camera: string, model: string, message: TensorMessage): void {
    const topic = this.#topics.tensor(camera, model);
    for (const part of splitBody(encode(message), message.id)) {
      this.#bus.publish(topic, encode(part)).catch((error) => this.#log.warn(`tensors of ${message.id}: ${error}`));
    }
  }

  #stand(topic: string, payload: string): void {
    this.#standing.set(topic, payload);
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
