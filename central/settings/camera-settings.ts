import { CAMERA_TOPICS, type CameraTopic } from '../../shared/config/camera-topics.ts';
import { CAMERA_DEFAULTS } from '../../shared/config/schema.ts';
import type { Failure } from '../../shared/errors.ts';
import { z } from '../../shared/schema.ts';
import type { CameraOptions } from '../ingest/camera-options.ts';

/** What can be switched of a camera while frames flow: whether its frames are taken, and what is published of it. */
export const SWITCHES = ['detect', ...(Object.keys(CAMERA_TOPICS) as CameraTopic[])] as const;
/** A switch. */
export type Switch = (typeof SWITCHES)[number];

/** Numbers that can be changed, with their bounds. */
export const NUMBERS = {
  threshold: { min: 0, max: 1, step: 0.01 },
  max_fps: { min: 0, max: 120, step: 0.1 },
} as const;
/** A number that can be changed; `max_fps` 0: no limit. */
export type NumberSetting = keyof typeof NUMBERS;

/** Every setting: switches, numbers, and the model that gets the frames. */
export const SETTINGS = [...SWITCHES, ...(Object.keys(NUMBERS) as NumberSetting[]), 'model'] as const;
/** The name of a setting. */
export type Setting = (typeof SETTINGS)[number];

/** The value of `model` with which frames go to every model that the configuration says. */
export const ALL_MODELS = 'all';

/** What people set, as text, by camera and setting. */
export const keptSettings = z.record(z.string(), z.record(z.string(), z.string()));
/** What people set. */
export type KeptSettings = z.infer<typeof keptSettings>;

/** What `CameraSettings` needs. */
export interface CameraSettingsOptions {
  /** What the configuration says of a camera; undefined for one that is not known. */
  readonly known: (camera: string) => CameraOptions | undefined;
  /** The models that are served. */
  readonly models: () => Iterable<string>;
  /** What was set before. */
  readonly kept: KeptSettings;
  /** Keeps what is set from now on. Throws TESSERA_STORAGE. */
  readonly keep: (all: KeptSettings) => void;
}

const isSwitch = (setting: Setting): setting is Switch => (SWITCHES as readonly string[]).includes(setting);
const isNumber = (setting: Setting): setting is NumberSetting => Object.hasOwn(NUMBERS, setting);

/**
 * Settings of cameras that change without a restart: what people set, otherwise the configuration. Values are texts, as
 * on their topics: `ON` and `OFF`, a number, or the name of a model.
 */
export class CameraSettings {
  readonly #options: CameraSettingsOptions;
  readonly #set: Map<string, Record<string, string>>;

  constructor(options: CameraSettingsOptions) {
    this.#options = options;
    this.#set = new Map(Object.entries(options.kept));
  }

  /** The value of a setting; of a camera that is not known its default. */
  text(camera: string, setting: Setting): string {
    const set = this.#set.get(camera)?.[setting];
    return set !== undefined && this.#fault(setting, set) === undefined ? set : this.#configured(camera, setting);
  }

  isOn(camera: string, setting: Switch): boolean {
    return this.text(camera, setting) === 'ON';
  }

  number(camera: string, setting: NumberSetting): number {
    return Number(this.text(camera, setting));
  }

  /** The only model that gets the camera's frames; undefined: those of the configuration. */
  model(camera: string): string | undefined {
    const model = this.text(camera, 'model');
    return model === ALL_MODELS ? undefined : model;
  }

  /** Sets a value, and keeps it; the failure says why it was not set. Throws TESSERA_STORAGE. */
  set(camera: string, setting: Setting, text: string): Failure | undefined {
    const fault =
      this.#options.known(camera) === undefined ? `there is no camera ${camera}` : this.#fault(setting, text);
    if (fault !== undefined) return { code: 'TESSERA_MESSAGE_INVALID', message: fault };
    const { [setting]: _, ...others } = this.#set.get(camera) ?? {};
    const mine = text === this.#configured(camera, setting) ? others : { ...others, [setting]: text };
    const all = new Map(this.#set).set(camera, mine);
    if (Object.keys(mine).length === 0) all.delete(camera);
    this.#options.keep(Object.fromEntries(all));
    this.#set.clear();
    for (const [name, values] of all) this.#set.set(name, values);
    return undefined;
  }

  /** Forgets what was set for a camera. Throws TESSERA_STORAGE. */
  forget(camera: string): void {
    if (this.#set.delete(camera)) this.#options.keep(Object.fromEntries(this.#set));
  }

  /** What is wrong with a value; undefined if nothing is. */
  #fault(setting: Setting, text: string): string | undefined {
    if (isSwitch(setting)) return text === 'ON' || text === 'OFF' ? undefined : `${setting} is ON or OFF`;
    if (isNumber(setting)) {
      const { min, max } = NUMBERS[setting];
      const isWithin = text.trim() !== '' && Number(text) >= min && Number(text) <= max;
      return isWithin ? undefined : `${setting} is a number from ${min} to ${max}`;
    }
    const models = [ALL_MODELS, ...this.#options.models()];
    return models.includes(text) ? undefined : `model is one of ${models.join(', ')}`;
  }

  #configured(camera: string, setting: Setting): string {
    if (setting === 'model') return ALL_MODELS;
    if (setting === 'detect') return 'ON';
    const configured = this.#options.known(camera);
    if (setting === 'max_fps') return String(configured?.max_fps ?? 0);
    if (setting === 'threshold') return String(configured?.threshold ?? CAMERA_DEFAULTS.threshold);
    return (configured?.publish ?? CAMERA_DEFAULTS.publish)[setting].on ? 'ON' : 'OFF';
  }
}
