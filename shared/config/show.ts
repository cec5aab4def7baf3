import { hideUserInfo } from '../redact.ts';
import type { ResolvedConfig } from './layers.ts';
import { SECRET_KEYS } from './schema.ts';

/** One value for display: secrets are `***`, also those inside URLs. */
export interface ShownSetting {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}

/** Every value of a configuration with its origin, in the order of the schema, secrets hidden. */
export function shownSettings({ config, origins }: ResolvedConfig): ShownSetting[] {
  return [...origins].map(([key, origin]) => ({ key, value: hide(key, valueAt(config, key.split('.'))), origin }));
}

function valueAt(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((level, key) => (level as Record<string, unknown>)[key], tree);
}

function hide(key: string, value: unknown): unknown {
  if (SECRET_KEYS.includes(key)) return '***';
  if (typeof value === 'string') return hideUserInfo(value);
  return Array.isArray(value) ? value.map((item) => hide(key, item)) : value;
}
