import mqtt, { type MqttClient } from 'mqtt';
import { matchesFilter } from '../../shared/protocol/filter.ts';
import type { z } from '../../shared/schema.ts';
import { type Automation, deviceDiscovery, entityConfig } from './home-assistant-schema.ts';
import { render } from './jinja.ts';

/** An entity of the stand-in. */
export interface StandInEntity {
  readonly id: string;
  readonly config: z.infer<typeof entityConfig>;
  /** Whether each availability topic last said `online`. */
  readonly available: Map<string, boolean>;
  /** The payload of its state or image topic. */
  state: Buffer | undefined;
}

/**
 * A stand-in for Home Assistant with MQTT 5: it makes entities of discovery documents, refuses what Home Assistant refuses,
 * and knows which of them are available (mode `all`: each availability topic said `online`, and the broker is reached).
 * With a new run it forgets everything, as Home Assistant does, and publishes `online` on its status topic. Of automations
 * it runs those with triggers on states, and switches lights over MQTT. No entity registry is kept.
 */
export class HomeAssistantStandIn {
  readonly entities = new Map<string, StandInEntity>();
  /** What it would have refused. */
  readonly refused: string[] = [];
  /** Keys of entities by discovery topic. */
  readonly #devices = new Map<string, Set<string>>();
  readonly #client: MqttClient;
  readonly #listeners: (() => void)[] = [];
  /** What was last received on each topic. */
  readonly #last = new Map<string, Buffer>();

  readonly #automations: readonly Automation[];
  readonly #lights: Readonly<Record<string, string>>;
  /** What the entities of triggers said last. */
  readonly #states = new Map<string, string>();
  readonly #values = new Map<string, string>();

  /** `lights`: the command topic of each light. */
  constructor(url: string, automations: readonly Automation[] = [], lights: Readonly<Record<string, string>> = {}) {
    this.#automations = automations;
    this.#lights = lights;
    const status = 'homeassistant/status';
    const will = { topic: status, payload: Buffer.from('offline'), qos: 0, retain: false } as const;
    this.#client = mqtt.connect(url, { protocolVersion: 5, clean: true, reconnectPeriod: 200, will });
    this.#client.on('error', () => {});
    this.#client.on('connect', () => {
      this.#client.subscribe('homeassistant/device/+/config', { qos: 0 });
      this.#client.publish(status, 'online');
    });
    this.#client.on('message', (topic, payload) => this.#onMessage(topic, payload));
  }

  /** Entities that are not available. */
  get unavailable(): string[] {
    return [...this.entities.values()]
      .filter(({ available }) => !this.#client.connected || [...available.values()].some((online) => !online))
      .map(({ id }) => id);
  }

  /** Waits until a condition holds, which is looked at after every message. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#listeners.push(resolve));
  }

  /** Sends a command to an entity. */
  command(id: string, payload: string): void {
    const { config } = this.entities.get(id)!;
    if (!('command_topic' in config)) throw new Error(`${id} takes no commands`);
    this.#client.publish(config.command_topic, payload);
  }

  /** kill -9 */
  kill(): void {
    this.#client.end(true);
  }

  #onMessage(topic: string, payload: Buffer): void {
    this.#last.set(topic, payload);
    if (matchesFilter('homeassistant/device/+/config', topic)) this.#onDiscovery(topic, payload.toString());
    for (const entity of this.entities.values()) {
      if (entity.available.has(topic)) entity.available.set(topic, payload.toString() === 'online');
      if (stateTopicOf(entity.config) === topic) entity.state = payload;
    }
    this.#runAutomations();
    for (const wake of this.#listeners.splice(0)) wake();
  }

  /** The state of an entity as automations see it. */
  #stateOf(id: string): string {
    const entity = this.entities.get(id);
    if (entity === undefined || this.unavailable.includes(id)) return 'unavailable';
    const { config, state } = entity;
    if (state === undefined) return 'unknown';
    const payload = state.toString();
    const template = 'value_template' in config ? config.value_template : undefined;
    const value = template === undefined ? payload : this.#rendered(template, payload);
    return config.platform === 'binary_sensor' ? value.toLowerCase() : value;
  }

  /** Python starts once for each value, not for each message. */
  #rendered(template: string, payload: string): string {
    const key = `${template} of ${payload}`;
    const value = this.#values.get(key) ?? render([template, payload])[0]!;
    this.#values.set(key, value);
    return value;
  }

  #runAutomations(): void {
    const watched = new Set(this.#automations.flatMap(({ triggers }) => triggers.map(({ entity_id }) => entity_id)));
    for (const id of watched) {
      const before = this.#states.get(id);
      const now = this.#stateOf(id);
      this.#states.set(id, now);
      if (now === before) continue;
      for (const { triggers, actions } of this.#automations)
        if (triggers.some(({ entity_id, to }) => entity_id === id && to === now))
          for (const { action, target } of actions)
            this.#client.publish(this.#lights[target.entity_id]!, action === 'light.turn_on' ? 'ON' : 'OFF');
    }
  }

  #onDiscovery(topic: string, text: string): void {
    const known = this.#devices.get(topic) ?? new Set();
    if (text === '') {
      for (const id of known) this.entities.delete(id);
      this.#devices.delete(topic);
      return;
    }
    const read = deviceDiscovery.safeParse(JSON.parse(text));
    if (!read.success) {
      this.refused.push(`${topic}: ${read.error}`);
      return;
    }
    this.#devices.set(topic, known);
    for (const component of Object.values(read.data.components)) {
      const config = entityConfig.safeParse(component).data;
      if (config === undefined) continue;
      const id = config.default_entity_id;
      known.add(id);
      const topics = (config.availability ?? read.data.availability).map((one) => one.topic);
      const available = new Map(topics.map((one) => [one, this.#last.get(one)?.toString() === 'online']));
      const entity: StandInEntity = { id, config, available, state: this.#last.get(stateTopicOf(config)) };
      this.entities.set(id, entity);
      this.#client.subscribe([...topics, stateTopicOf(config)], { qos: 0 });
    }
  }
}

function stateTopicOf(config: StandInEntity['config']): string {
  return 'image_topic' in config ? config.image_topic : config.state_topic;
}
