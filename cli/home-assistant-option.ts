import type { CentralOptions } from '../central/central-options.ts';
import type { Config } from '../shared/config/schema.ts';

/** Central's option for Home Assistant, where the configuration enables it. */
export function homeAssistantOption({ homeassistant }: Config): Pick<CentralOptions, 'homeAssistant'> {
  return homeassistant.enabled ? { homeAssistant: { prefix: homeassistant.prefix } } : {};
}
