import { type Failure, failureOf } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, Message } from '../../shared/ports.ts';
import { parseSettingTopic, type Topics } from '../../shared/protocol/topics.ts';
import type { Publisher } from '../publish/publisher.ts';
import { type CameraSettings, SETTINGS, type Setting } from '../settings/camera-settings.ts';
import type { Observer } from './observer.ts';

/** What `SettingTopics` needs. */
export interface SettingTopicsOptions {
  readonly bus: Pick<Bus, 'subscribe'>;
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly topics: Pick<Topics, 'base' | 'setting' | 'settingSetAll'>;
  readonly settings: CameraSettings;
  /** Cameras of the configuration. */
  readonly cameras: readonly string[];
  /** Called when a setting has changed. */
  readonly changed: (camera: string, setting: Setting) => void;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
}

/** Longest value that is read, bytes. */
const MAX_BYTES = 256;

/** Publishes the settings of cameras, and takes what people set on the topics for it. */
export class SettingTopics implements Observer {
  readonly #options: SettingTopicsOptions;
  /** Cameras whose settings were published. */
  readonly #shown = new Set<string>();
  #isOver = false;

  constructor(options: SettingTopicsOptions) {
    this.#options = options;
  }

  start(): void {
    const { bus, topics, cameras, throttledLog } = this.#options;
    for (const camera of cameras) this.#show(camera);
    bus
      .subscribe(topics.settingSetAll, 1, (message) => this.#onSet(message))
      .catch((error: unknown) =>
        throttledLog.warn('settings', `settings of cameras cannot be changed: ${failureOf(error).message}`),
      );
  }

  stop(): void {
    this.#isOver = true;
  }

  cameraChanged(camera: string): void {
    if (!this.#shown.has(camera)) this.#show(camera);
  }

  cameraForgotten(camera: string): void {
    this.#shown.delete(camera);
    this.#options.settings.forget(camera);
  }

  #show(camera: string): void {
    this.#shown.add(camera);
    for (const setting of SETTINGS) this.#publish(camera, setting);
  }

  #publish(camera: string, setting: Setting): void {
    const { publisher, topics, settings } = this.#options;
    publisher.retain(topics.setting(camera, setting), settings.text(camera, setting), camera);
  }

  #onSet({ topic, payload, retained }: Message): void {
    const { topics, throttledLog } = this.#options;
    const parsed = parseSettingTopic(topics.base, topic);
    if (this.#isOver || parsed === undefined) return;
    const setting = SETTINGS.find((one) => one === parsed.setting);
    if (retained || setting === undefined) {
      const why = retained
        ? 'it is retained, and would be obeyed at every start'
        : `the settings are ${SETTINGS.join(', ')}`;
      throttledLog.warn(topic, `${topic} is ignored: ${why}`);
      return;
    }
    const text = payload.byteLength > MAX_BYTES ? '' : new TextDecoder().decode(payload);
    const failure = this.set(parsed.camera, setting, text);
    if (failure !== undefined) throttledLog.warn(topic, `${topic} is ignored: ${failure.message}`);
  }

  /** Sets a value and publishes the one that is in force; the failure says why that is another one. */
  set(camera: string, setting: Setting, text: string): Failure | undefined {
    const { settings, changed } = this.#options;
    const before = settings.text(camera, setting);
    let failure: Failure | undefined;
    try {
      failure = settings.set(camera, setting, text);
    } catch (error) {
      failure = failureOf(error);
    }
    // Also where it was refused: whoever sent it shows the value that is in force.
    if (this.#shown.has(camera)) this.#publish(camera, setting);
    if (settings.text(camera, setting) !== before) changed(camera, setting);
    return failure;
  }
}
