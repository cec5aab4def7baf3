import { CAMERA_DEFAULTS } from '../../shared/config/schema.ts';
import { failureOf } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus } from '../../shared/ports.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { EndedFrame } from '../effects.ts';
import { isStale, type KeptDevice, type KeptDevices, MAX_ENTITY_LABELS } from '../home-assistant/devices.ts';
import {
  cameraDiscovery,
  centralDiscovery,
  type Discovery,
  type DiscoveryContext,
  discoveryTopic,
  nodeDiscovery,
  platformsOf,
  withRemoved,
} from '../home-assistant/discovery.ts';
import type { CameraOptions } from '../ingest/camera-options.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** What `HomeAssistant` needs. */
export interface HomeAssistantOptions {
  /** False: what was published before is cleared, and nothing else happens. */
  readonly isEnabled: boolean;
  readonly bus: Pick<Bus, 'subscribe'>;
  readonly publisher: Pick<Publisher, 'retainOnce' | 'announce'>;
  readonly context: () => DiscoveryContext;
  /** Cameras of the configuration. */
  readonly cameras: Readonly<Record<string, CameraOptions>>;
  readonly nodes: () => ReadonlyMap<string, NodeRecord>;
  /** What was published before. */
  readonly kept: KeptDevices;
  /** Throws TESSERA_STORAGE. */
  readonly keep: (devices: KeptDevices) => void;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
  /** Unix seconds. */
  readonly time: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** Nodes are looked at so often, ms: what they are changes rarely. */
const LOOK_MS = 5000;
/** Home Assistant that has started gets everything again after a time up to this, so that not all programs answer at once, ms. */
const BIRTH_MS = 5000;

/**
 * Tells Home Assistant which devices there are (home-assistant/discovery.ts), and clears those that are gone.
 *
 *   1. Documents are published after `<base>/status` said `online` on this connection, so that nothing that they name is
 *      unavailable; again after every connection, and after `<prefix>/status` said `online`, with all states.
 *   2. A document is published when it differs from the last one.
 *   3. A device is in the file before it is published, so that a later run can clear it.
 */
export class HomeAssistant implements Observer {
  readonly #options: HomeAssistantOptions;
  readonly #devices: Map<string, KeptDevice>;
  /** The documents that Home Assistant has, by topic. */
  readonly #sent = new Map<string, string>();
  #isOnline = false;
  #isChanged = false;
  #isOver = false;
  #look: NodeJS.Timeout | undefined;
  #birth: NodeJS.Timeout | undefined;

  constructor(options: HomeAssistantOptions) {
    this.#options = options;
    this.#devices = new Map(Object.entries(options.kept));
  }

  start(): void {
    const { isEnabled, bus, context, cameras, time, throttledLog } = this.#options;
    const { topics, prefix } = context();
    for (const [topic, device] of this.#devices)
      if (!isEnabled || isStale(device, Object.keys(cameras), time()) || !topic.startsWith(`${prefix}/`))
        this.#clear(topic);
    if (!isEnabled) return;
    this.#known('central', '', true);
    for (const [camera, { isHidden }] of Object.entries(cameras))
      if (isHidden !== true) this.#known('camera', camera, true);
    const subscribed = Promise.all([
      bus.subscribe(topics.status, 1, ({ payload }) => this.#onStatus(textOf(payload))),
      bus.subscribe(`${prefix}/status`, 1, ({ payload, retained }) => {
        if (!retained && textOf(payload) === 'online') this.#onBirth();
      }),
    ]);
    subscribed.catch((error: unknown) =>
      throttledLog.warn('home assistant', `Home Assistant is not told of devices: ${failureOf(error).message}`),
    );
    this.#look = setInterval(() => this.#lookAtNodes(), LOOK_MS);
    this.#lookAtNodes();
  }

  stop(): void {
    // When devices were seen last: after a week nobody has seen one, it is cleared.
    if (this.#options.isEnabled) this.#keep();
    this.#isOver = true;
    clearInterval(this.#look);
    clearTimeout(this.#birth);
  }

  planActive(): void {
    this.#publish();
  }

  cameraChanged(camera: string): void {
    if (!this.#options.isEnabled || this.#options.cameras[camera]?.isHidden === true) return;
    this.#known('camera', camera, Object.hasOwn(this.#options.cameras, camera));
    this.#publish();
  }

  cameraForgotten(camera: string): void {
    this.#clear(discoveryTopic(this.#options.context(), 'camera', camera));
  }

  frameEnded(_: EndedFrame, { camera, model, status, task, top, predictions }: ResultObject): void {
    const device = this.#devices.get(discoveryTopic(this.#options.context(), 'camera', camera));
    if (device === undefined || status === 'error' || (task !== 'detect' && task !== 'classify')) return;
    const { labels: listed, start_score } = this.#options.cameras[camera]?.objects ?? CAMERA_DEFAULTS.objects;
    const before = device.labels[model];
    const found = task === 'classify' ? (top === null ? [] : [top]) : predictions;
    const seen = found.filter(({ score }) => score >= start_score).map(({ label }) => label);
    const labels = listed.length > 0 ? listed : [...new Set([...(before ?? []), ...seen])].slice(0, MAX_ENTITY_LABELS);
    if (before?.join('\n') === labels.join('\n')) return;
    device.labels[model] = [...labels];
    this.#publish();
  }

  /** Remembers that a device is there. */
  #known(kind: KeptDevice['kind'], name: string, listed: boolean): void {
    const topic = discoveryTopic(this.#options.context(), kind, name);
    const { labels = {}, components = {} } = this.#devices.get(topic) ?? {};
    const device = { kind, name, listed: kind === 'camera' && listed, seen: this.#options.time(), labels, components };
    this.#devices.set(topic, device);
  }

  #lookAtNodes(): void {
    for (const { id, online, info } of this.#options.nodes().values()) {
      if (info !== undefined) {
        if (online || !this.#devices.has(discoveryTopic(this.#options.context(), 'node', id)))
          this.#known('node', id, false);
      } else if (!online) this.#clear(discoveryTopic(this.#options.context(), 'node', id));
    }
    this.#publish();
  }

  #onStatus(status: string): void {
    this.#isOnline = status === 'online';
    this.#sent.clear();
    this.#publish();
  }

  #onBirth(): void {
    const { publisher, random } = this.#options;
    clearTimeout(this.#birth);
    this.#birth = setTimeout(() => {
      this.#sent.clear();
      this.#publish();
      publisher.announce();
    }, random() * BIRTH_MS);
  }

  /** Publishes the documents that changed, after all that happens now. */
  #publish(): void {
    if (this.#isChanged || !this.#isOnline) return;
    this.#isChanged = true;
    queueMicrotask(() => {
      this.#isChanged = false;
      if (!this.#isOver) this.#publishNow();
    });
  }

  #publishNow(): void {
    const { publisher } = this.#options;
    const messages: [topic: string, payload: string][] = [];
    for (const [topic, device] of this.#devices) {
      const discovery = this.#discoveryOf(device);
      const text = JSON.stringify(discovery);
      if (discovery === undefined || this.#sent.get(topic) === text) continue;
      this.#sent.set(topic, text);
      const complete = withRemoved(discovery, device.components);
      device.components = platformsOf(discovery);
      if (complete !== discovery) messages.push([topic, JSON.stringify(complete)]);
      messages.push([topic, text]);
    }
    if (messages.length > 0) this.#keep();
    for (const [topic, payload] of messages) publisher.retainOnce(topic, payload);
  }

  #discoveryOf({ kind, name, labels }: KeptDevice): Discovery | undefined {
    const context = this.#options.context();
    if (kind === 'central') return centralDiscovery(context);
    if (kind === 'camera') return cameraDiscovery(context, name, labels);
    const info = this.#options.nodes().get(name)?.info;
    return info === undefined ? undefined : nodeDiscovery(context, name, info);
  }

  #clear(topic: string): void {
    if (!this.#devices.delete(topic)) return;
    this.#sent.delete(topic);
    this.#options.publisher.retainOnce(topic, '');
    this.#keep();
  }

  #keep(): void {
    const { keep, throttledLog } = this.#options;
    try {
      keep(Object.fromEntries(this.#devices));
    } catch (error) {
      throttledLog.warn('home assistant list', failureOf(error).message);
    }
  }
}

const textOf = (payload: Uint8Array): string => new TextDecoder().decode(payload);
