import type { Topics } from '../../shared/protocol/topics.ts';
import { ALL_MODELS, NUMBERS, type NumberSetting, SWITCHES } from '../settings/camera-settings.ts';
import { labelLevel } from '../tracking/label-level.ts';

/**
 * Device discovery of Home Assistant over MQTT: one retained document a device, `<prefix>/device/<id>/config`
 * (home-assistant.io/integrations/mqtt, "Device discovery payload"), with long key names.
 *
 *   1. `unique_id` and `default_entity_id` depend on names alone: people's automations hang on them.
 *   2. Every component is available while a central is; those that show what a camera or node says also need it online.
 */

/** A component of a device: an entity. */
export type Component = Readonly<Record<string, unknown>> & { readonly platform: string };

/** A discovery document. */
export interface Discovery {
  readonly device: Readonly<Record<string, unknown>>;
  readonly origin: Readonly<Record<string, unknown>>;
  readonly availability: readonly { readonly topic: string }[];
  readonly availability_mode: 'all';
  readonly components: Readonly<Record<string, Component>>;
}

/** What all documents depend on. */
export interface DiscoveryContext {
  readonly topics: Topics;
  readonly prefix: string;
  /** Version of this package. */
  readonly version: string;
  /** The models that are served, and those that cannot be. */
  readonly models: readonly string[];
}

/** A node as its device says. */
export interface NodeFacts {
  readonly hardware: string;
  readonly version: string;
}

const SUPPORT = 'https://github.com/tessera-edge/tessera';
const word = (text: string): string => text.replaceAll('/', '_');

/** The discovery topic of a device. */
export function discoveryTopic({ topics, prefix }: DiscoveryContext, kind: string, name: string): string {
  return `${prefix}/device/${deviceId(topics.base, kind, name)}/config`;
}

const deviceId = (base: string, kind: string, name: string): string =>
  kind === 'central' ? `${word(base)}_central` : `${word(base)}_${kind}_${name}`;

/** A document with components whose ids are made of device and key. */
function documentOf(
  context: DiscoveryContext,
  kind: string,
  name: string,
  device: Readonly<Record<string, unknown>>,
  components: Readonly<Record<string, Component>>,
): Discovery {
  const { topics, version } = context;
  const id = deviceId(topics.base, kind, name);
  const entries = Object.entries(components).map(([key, component]): [string, Component] => {
    const entity = `${id}_${key}`.toLowerCase().replace(/[^a-z0-9_]+/g, '_');
    return [key, { ...component, unique_id: `${id}_${key}`, default_entity_id: `${component.platform}.${entity}` }];
  });
  const via = kind === 'central' ? {} : { via_device: deviceId(topics.base, 'central', '') };
  return {
    device: { identifiers: [id], manufacturer: 'Tessera', ...device, ...via },
    origin: { name: 'Tessera', sw_version: version, support_url: SUPPORT },
    availability: [{ topic: topics.status }],
    availability_mode: 'all',
    components: Object.fromEntries(entries),
  };
}

/** The document of the central. */
export function centralDiscovery(context: DiscoveryContext): Discovery {
  const { topics, version } = context;
  const problem = { platform: 'binary_sensor', device_class: 'problem', entity_category: 'diagnostic' } as const;
  return documentOf(
    context,
    'central',
    '',
    { name: 'Tessera', model: 'central', sw_version: version },
    {
      refused_models: {
        ...problem,
        name: 'Refused models',
        state_topic: topics.centralModels('central'),
        value_template:
          "{{ 'ON' if value_json.models.values() | selectattr('state', 'eq', 'refused') | list else 'OFF' }}",
      },
      left_out_nodes: {
        ...problem,
        name: 'Nodes left out',
        state_topic: topics.centralLeftOut('central'),
        value_template: "{{ 'ON' if value_json.nodes else 'OFF' }}",
      },
      version: updateEntity(topics.centralVersion('central')),
    },
  );
}

const SWITCH_NAMES: Readonly<Record<(typeof SWITCHES)[number], string>> = {
  detect: 'Detection',
  result: 'Publish results',
  label: 'Publish label',
  count: 'Publish counts',
  event: 'Publish events',
  snapshot: 'Publish snapshots',
  crop: 'Publish crops',
};
const NUMBER_NAMES: Readonly<Record<NumberSetting, string>> = { threshold: 'Threshold', max_fps: 'Frame rate limit' };

/** The document of a camera; `labels` by model: those that have entities of their own. */
export function cameraDiscovery(
  context: DiscoveryContext,
  camera: string,
  labels: Readonly<Record<string, readonly string[]>>,
): Discovery {
  const { topics, models } = context;
  const config = { entity_category: 'config' } as const;
  const set = (setting: string) => ({
    state_topic: topics.setting(camera, setting),
    command_topic: topics.settingSet(camera, setting),
  });
  const components: Record<string, Component> = {
    objects: {
      platform: 'event',
      name: 'Objects',
      event_types: ['new', 'update', 'end'],
      state_topic: topics.objectEvent(camera),
      value_template:
        "{{ {'event_type': value_json.type, 'id': value_json.after.id, 'model': value_json.after.model, " +
        "'label': value_json.after.label, 'score': value_json.after.top_score, 'has_snapshot': value_json.after.has_snapshot} | tojson }}",
    },
    online: {
      platform: 'binary_sensor',
      name: 'Connection',
      device_class: 'connectivity',
      entity_category: 'diagnostic',
      state_topic: topics.cameraStatus(camera),
      payload_on: 'online',
      payload_off: 'offline',
    },
    latency: {
      ...statistic(topics, camera, 'latency_ms', 'p50'),
      name: 'Latency',
      unit_of_measurement: 'ms',
      device_class: 'duration',
    },
    rate: { ...statistic(topics, camera, 'process_fps'), name: 'Frames a second', unit_of_measurement: 'fps' },
    model: { platform: 'select', name: 'Model', ...config, options: [ALL_MODELS, ...models], ...set('model') },
  };
  for (const one of SWITCHES)
    components[one] = {
      platform: 'switch',
      name: SWITCH_NAMES[one],
      ...(one === 'detect' ? {} : { ...config, enabled_by_default: one !== 'result' }),
      ...set(one),
    };
  for (const [one, bounds] of Object.entries(NUMBERS))
    components[one] = {
      platform: 'number',
      name: NUMBER_NAMES[one as NumberSetting],
      mode: 'box',
      ...config,
      ...bounds,
      ...(one === 'max_fps' ? { unit_of_measurement: 'fps' } : {}),
      ...set(one),
    };
  for (const [model, seen] of Object.entries(labels))
    if (models.includes(model)) Object.assign(components, modelComponents(topics, camera, model, seen));
  return documentOf(context, 'camera', camera, { name: camera, model: 'camera' }, components);
}

function modelComponents(
  topics: Topics,
  camera: string,
  model: string,
  labels: readonly string[],
): Record<string, Component> {
  const availability = [{ topic: topics.status }, { topic: topics.cameraStatus(camera) }];
  const picture = { platform: 'image', content_type: 'image/jpeg' } as const;
  const components: Record<string, Component> = {
    [`${model}_label`]: {
      platform: 'sensor',
      name: `${model} label`,
      state_topic: topics.label(camera, model),
      availability,
    },
    [`${model}_snapshot`]: { ...picture, name: `${model} snapshot`, image_topic: topics.snapshot(camera, model) },
    [`${model}_crop`]: { ...picture, name: `${model} crop`, image_topic: topics.crop(camera, model) },
  };
  for (const label of labels) {
    const state_topic = topics.count(camera, model, labelLevel(label));
    components[`${model}_${labelLevel(label)}_count`] = {
      platform: 'sensor',
      name: `${label} count`,
      state_class: 'measurement',
      state_topic,
      availability,
    };
    components[`${model}_${labelLevel(label)}_present`] = {
      platform: 'binary_sensor',
      name: label,
      device_class: 'occupancy',
      state_topic,
      value_template: "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
      availability,
    };
  }
  return components;
}

/** A sensor of the statistics of a camera, which are of every ten seconds: shown by those who switch it on. */
function statistic(topics: Topics, camera: string, ...keys: readonly string[]): Component {
  const path = keys.map((key, i) => `.get('${key}'${i < keys.length - 1 ? ', {}' : ''})`).join('');
  return {
    platform: 'sensor',
    entity_category: 'diagnostic',
    enabled_by_default: false,
    state_class: 'measurement',
    state_topic: topics.stats,
    value_template: `{{ value_json.cameras.get('${camera}', {})${path} }}`,
  };
}

/** The version that runs, and whether there is another one; it is installed by `tessera update`. */
function updateEntity(topic: string): Component {
  const fixed = { platform: 'update', name: 'Version', entity_category: 'diagnostic', title: 'Tessera' };
  // Home Assistant takes no message with a field that it does not know.
  const template = "{{ dict(value_json.items() | rejectattr(0, 'eq', 'v')) | tojson }}";
  return { ...fixed, state_topic: topic, value_template: template };
}

/** The document of a node. */
export function nodeDiscovery(context: DiscoveryContext, node: string, { hardware, version }: NodeFacts): Discovery {
  const { topics } = context;
  const diagnostic = { entity_category: 'diagnostic' } as const;
  const availability = [{ topic: topics.status }, { topic: topics.nodeStatus(node) }];
  const health = (key: string) => ({
    ...diagnostic,
    state_topic: topics.nodeHealth(node),
    value_template: `{{ value_json.${key} }}`,
    availability,
  });
  const measured = { platform: 'sensor', state_class: 'measurement' } as const;
  return documentOf(
    context,
    'node',
    node,
    { name: node, model: hardware, sw_version: version },
    {
      online: {
        platform: 'binary_sensor',
        name: 'Connection',
        device_class: 'connectivity',
        ...diagnostic,
        state_topic: topics.nodeStatus(node),
        payload_on: 'online',
        payload_off: 'offline',
      },
      throttled: {
        platform: 'binary_sensor',
        name: 'Throttled',
        device_class: 'problem',
        ...health('throttled'),
        value_template: "{{ 'ON' if value_json.throttled else 'OFF' }}",
      },
      temperature: {
        ...measured,
        name: 'Temperature',
        device_class: 'temperature',
        unit_of_measurement: '°C',
        ...health('temp_c'),
      },
      version: { ...updateEntity(topics.nodeVersion(node)), availability: [{ topic: topics.status }] },
      cpu: { ...measured, name: 'CPU', unit_of_measurement: '%', ...health('cpu_percent') },
      memory: { ...measured, name: 'Memory', unit_of_measurement: '%', ...health('memory_percent') },
      tiles: { ...measured, name: 'Tiles a second', unit_of_measurement: 'tiles/s', ...health('tiles_per_s') },
    },
  );
}

/** The platform of each component, by key. */
export function platformsOf({ components }: Discovery): Record<string, string> {
  return Object.fromEntries(Object.entries(components).map(([key, { platform }]) => [key, platform]));
}

/** The document with components that were published before and are gone named by their platform alone, which removes them. */
export function withRemoved(discovery: Discovery, before: Readonly<Record<string, string>>): Discovery {
  const gone = Object.entries(before).filter(([key]) => !Object.hasOwn(discovery.components, key));
  if (gone.length === 0) return discovery;
  const removed = gone.map(([key, platform]): [string, Component] => [key, { platform }]);
  return { ...discovery, components: { ...discovery.components, ...Object.fromEntries(removed) } };
}
