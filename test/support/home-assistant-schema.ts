import { z } from '../../shared/schema.ts';

/**
 * What Home Assistant 2026.11 accepts of a device discovery document over MQTT, of the platforms that Tessera uses, with
 * long key names (home-assistant.io/integrations/mqtt and the pages of the platforms). Unknown keys are refused, so
 * `object_id`, which stopped working in 2026.4, is too.
 */

const topic = z.string().regex(/^[^+#\0]+$/);
const template = z.string().regex(/^\{\{.*\}\}$/s);
const availability = z.array(z.strictObject({ topic })).min(1);

const entity = (platform: string) => ({
  platform: z.literal(platform),
  unique_id: z.string().regex(/^[A-Za-z0-9_-]+$/),
  default_entity_id: z.string().regex(new RegExp(`^${platform}\\.[a-z0-9]+(_[a-z0-9]+)*$`)),
  name: z.string().min(1),
  availability: availability.optional(),
  entity_category: z.enum(['config', 'diagnostic']).optional(),
  enabled_by_default: z.boolean().optional(),
});
const commanded = { state_topic: topic, command_topic: topic };

/** A component that is removed. */
const removed = z.strictObject({ platform: z.string() });

/** A component that is there. */
export const entityConfig = z.union([
  z.strictObject({
    ...entity('sensor'),
    state_topic: topic,
    value_template: template.optional(),
    device_class: z.enum(['duration', 'temperature']).optional(),
    state_class: z.literal('measurement').optional(),
    unit_of_measurement: z.string().optional(),
  }),
  z.strictObject({
    ...entity('binary_sensor'),
    state_topic: topic,
    value_template: template.optional(),
    device_class: z.enum(['connectivity', 'occupancy', 'problem']).optional(),
    payload_on: z.string().optional(),
    payload_off: z.string().optional(),
  }),
  z.strictObject({
    ...entity('update'),
    state_topic: topic,
    title: z.string().max(255),
    value_template: template,
  }),
  z.strictObject({ ...entity('image'), image_topic: topic, content_type: z.literal('image/jpeg') }),
  z.strictObject({
    ...entity('event'),
    state_topic: topic,
    event_types: z.array(z.string()).min(1),
    value_template: template.optional(),
  }),
  z.strictObject({ ...entity('switch'), ...commanded }),
  z.strictObject({
    ...entity('number'),
    ...commanded,
    min: z.number(),
    max: z.number(),
    step: z.number().min(0.001),
    mode: z.enum(['auto', 'box', 'slider']).optional(),
    unit_of_measurement: z.string().optional(),
  }),
  z.strictObject({ ...entity('select'), ...commanded, options: z.array(z.string()).min(1) }),
]);

/** A device discovery document. */
export const deviceDiscovery = z.strictObject({
  device: z.strictObject({
    identifiers: z.array(z.string()).min(1),
    name: z.string().min(1),
    manufacturer: z.string().optional(),
    model: z.string().optional(),
    sw_version: z.string().optional(),
    via_device: z.string().optional(),
  }),
  origin: z.strictObject({ name: z.string(), sw_version: z.string().optional(), support_url: z.url().optional() }),
  availability,
  availability_mode: z.enum(['all', 'any', 'latest']),
  components: z.record(z.string(), z.union([entityConfig, removed])),
});

/** Entries of `automations.yaml`, with the triggers and actions that the documents use. */
export const automations = z.array(
  z.strictObject({
    alias: z.string(),
    triggers: z.array(z.strictObject({ trigger: z.literal('state'), entity_id: z.string(), to: z.string() })),
    actions: z.array(
      z.strictObject({
        action: z.enum(['light.turn_on', 'light.turn_off']),
        target: z.strictObject({ entity_id: z.string() }),
      }),
    ),
  }),
);
/** One of them. */
export type Automation = z.infer<typeof automations>[number];
