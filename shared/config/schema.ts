import { parseSource, SOURCES } from '../camera/source-name.ts';
import { TIERS } from '../plan/plan.ts';
import { isName } from '../protocol/topics.ts';
import { z } from '../schema.ts';
import { CAMERA_TOPICS, type CameraTopic } from './camera-topics.ts';

/**
 * Schema of the configuration file: every key, its type, its default. Each process reads its part. `tessera schema
 * config` prints it as JSON Schema; `tessera config` shows the effective values with their origins.
 */

const text = z.string().min(1);
const auto = z.literal('auto');
const positive = z.number().positive();
const listener = z
  .string()
  .regex(/^(mqtts?|wss?):\/\/[^/]+$/, 'expected a URL such as mqtt://127.0.0.1:1883, mqtts://, ws:// or wss://');

/** Connection to the broker, for central, node agents and commands. */
const mqtt = z.strictObject({
  server: z
    .string()
    .regex(/^(mqtts?|wss?):\/\/.+$/, 'expected a URL such as mqtt://127.0.0.1:1883, mqtts://, ws:// or wss://')
    .default('mqtt://127.0.0.1:1883'),
  user: text.optional(),
  password: text.optional(),
  ca: text.optional().describe('file of the certificate authority (PEM)'),
  cert: text.optional().describe('file of the client certificate (PEM)'),
  key: text.optional().describe('file of the client key (PEM)'),
  reject_unauthorized: z.boolean().default(true).describe('refuse a broker whose certificate cannot be verified'),
  base_topic: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, 'expected letters, digits, _ and -, levels separated by /')
    .default('tessera'),
  maximum_packet_size: z.number().int().min(4096).default(1_000_000).describe('bytes'),
});

/** The embedded broker. */
const broker = z.strictObject({
  listen: z.array(listener).min(1).default(['mqtt://127.0.0.1:1883']),
  anonymous: z
    .enum(['loopback', 'never'])
    .default('loopback')
    .describe('who may connect without a password: programs on this machine, or no client'),
  keep_frames_s: z
    .number()
    .min(0)
    .max(3600)
    .default(60)
    .describe('seconds for which QoS 1 frames are stored while central is offline; 0: not at all'),
  keep_frames_mb: z.number().min(1).max(4096).default(64).describe('most bytes of stored frames, MB'),
  bridge: z
    .string()
    .regex(/^(mqtts?|wss?):\/\/.+$/, 'expected a URL such as mqtt://user:password@192.168.1.5:1883')
    .optional()
    .describe('another broker that gets results and states, and from which settings come'),
  allowed_hosts: z
    .array(text)
    .default([])
    .describe(
      'further host names of ws:// and wss:// listeners, besides their own, those of this machine and of the certificate; *. stands for one level',
    ),
  allowed_origins: z
    .array(z.string().regex(/^(null|https?:\/\/[^/]+)$/, 'expected an origin such as https://dash.example, or null'))
    .default([])
    .describe('origins of web pages that may open ws:// and wss://, beside those on the same host'),
  cert: text.optional().describe('file of the certificate (PEM) for mqtts:// and wss:// listeners'),
  key: text.optional().describe('file of its key (PEM)'),
  ca: text
    .optional()
    .describe(
      'file of the certificate authority (PEM) for clients: mqtts:// and wss:// then accept only clients with a certificate signed by it',
    ),
});

/** Central. */
const central = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/, 'expected 1 to 63 of a-z, 0-9 and -')
    .default('auto')
    .describe('id of this central among those of one base; auto: the host name'),
  audit_share: z
    .number()
    .min(0)
    .max(1)
    .default(0.01)
    .describe(
      "audits: share of nodes' tiles that another node computes again to find wrong results, besides the first three of each node; 0: no audits",
    ),
  tier: z
    .enum(TIERS)
    .optional()
    .describe('tier of this machine; absent: plans that place a stage on a tier do not place it on central'),
  standby: z.boolean().default(false).describe('while another central is active, stand by and take over when it fails'),
});

/** How central makes plans again while frames flow. */
const planner = z.strictObject({
  replan: z.boolean().default(true).describe('whether it does, where nodes or links have changed'),
  band: z
    .number()
    .positive()
    .max(10)
    .default(0.5)
    .describe('share by which a node or link may become slower or faster before its plans are reconsidered'),
  least_gain: z
    .number()
    .min(0)
    .lt(1)
    .default(0.15)
    .describe('share by which another plan has to be predicted faster to replace the active one'),
  hold_s: z.number().min(1).max(86_400).default(60).describe('seconds for which a plan serves at least'),
});

/** A node agent. */
const node = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/, 'expected 1 to 63 of a-z, 0-9 and -')
    .default('auto')
    .describe('auto: made once from host name and machine id, and kept'),
  tier: z.enum(TIERS).default('edge'),
  threads: z.union([auto, z.number().int().min(1).max(1024)]).default('auto'),
  memory_mb: z.union([auto, positive]).default('auto').describe('memory for loaded parts of models, MB (10^6 bytes)'),
  trusted_keys: z
    .array(z.string().regex(/^ed25519:[A-Za-z0-9_-]{43}$/, 'expected ed25519: and 43 characters, as central prints it'))
    .max(4)
    .default([])
    .describe(
      'run only models signed by one of these; a node that joined by an invitation trusts the keys of the invitation',
    ),
});

const topicOptions = (interval_s: number) =>
  z
    .strictObject({
      on: z.boolean().default(true).describe('whether it is published until somebody switches it'),
      interval_s: z
        .number()
        .min(0)
        .max(3600)
        .default(interval_s)
        .describe('least seconds between two messages of a topic'),
    })
    .prefault({});

/** What is published of a camera. */
const publish = z.strictObject(
  Object.fromEntries(
    Object.entries(CAMERA_TOPICS).map(([topic, interval_s]) => [topic, topicOptions(interval_s)]),
  ) as Record<CameraTopic, ReturnType<typeof topicOptions>>,
);

/** How detections become objects. */
const objects = z.strictObject({
  labels: z.array(text).default([]).describe('labels that are followed; empty: all'),
  start_score: z
    .number()
    .min(0)
    .max(1)
    .default(0.6)
    .describe('least score of a detection that begins an object; others only continue one'),
  gone_after_s: positive.max(3600).default(5).describe('seconds without a detection after which an object is gone'),
});

/** Most sections of a picture, the whole one not counted. */
const MAX_SECTIONS = 32;

/** Sections of a camera's pictures that detectors see as frames of their own. */
const sections = z
  .strictObject({
    rows: z.number().int().min(1).max(MAX_SECTIONS),
    columns: z.number().int().min(1).max(MAX_SECTIONS),
    overlap: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.2)
      .describe("share of a section's side that it has in common with its neighbour"),
    whole: z.boolean().default(true).describe('the whole picture is a further section, for large objects'),
  })
  .refine(({ rows, columns }) => rows * columns >= 2 && rows * columns <= MAX_SECTIONS, {
    error: `expected rows x columns of 2 to ${MAX_SECTIONS}`,
  });

/** Where people look at central: its page, its API and metrics. */
const http = z.strictObject({
  enabled: z.boolean().default(false).describe('whether central has a page; `tessera up` has one unless this is false'),
  host: text.default('127.0.0.1').describe('address to listen on; beyond this machine users of the broker log in'),
  port: z.number().int().min(1).max(65_535).default(7373).describe('`tessera up` takes the next free one by default'),
});

/** New versions of the program on nodes. */
const updates = z.strictObject({
  keys: z
    .array(
      z
        .string()
        .regex(/^ed25519:[A-Za-z0-9_-]{43}$/, 'expected ed25519: and 43 characters, as npm run bundle prints it'),
    )
    .max(4)
    .default([])
    .describe('a node runs only releases signed by one of these; the broker gives them to the nodes that it invites'),
  folder: text.optional().describe("folder of releases that central's page serves to nodes, under /updates/"),
  trial_s: z
    .number()
    .min(1)
    .max(600)
    .default(180)
    .describe('seconds for which a new version has to stay healthy on a node before the node keeps it'),
});

const share = z.number().min(0).max(1);
const source = text
  .refine((name) => typeof parseSource(name) !== 'string' && name !== '-', { error: sourceFault })
  .optional();

function sourceFault({ input }: { readonly input?: unknown }): string {
  const fault = parseSource(String(input));
  const text = typeof fault === 'string' ? fault : 'standard input is for the command line';
  return `${text}; expected ${SOURCES}`;
}

/** Settings of the frames of one camera. */
const cameraConfig = z
  .strictObject({
    source: source.describe(
      `where its pictures come from: ${SOURCES}; read by central, or by the agent of \`node\`; absent: they are published on its topic`,
    ),
    models: z.array(text).default([]).describe('names of models; empty: every served model'),
    keep: z
      .enum(['newest', 'every'])
      .default('newest')
      .describe('under overload: newest frame wins, or none is skipped'),
    max_fps: positive
      .max(1000)
      .optional()
      .describe('frames over this rate are skipped; absent: no limit, and 5 with a source'),
    deadline: z.enum(['wait', 'fill']).default('wait').describe('wait for every tile, or fill late tiles with zeros'),
    deadline_ms: positive.default(500),
    hold: z.number().int().min(1).default(3).describe('results that must agree before the label changes'),
    sections: sections
      .optional()
      .describe('for small objects: detectors see overlapping sections of the picture as frames of their own'),
    offline_after_s: positive.default(30),
    threshold: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe(
        'least score of predictions that count for label, counts and events, above the threshold of model.yaml',
      ),
    objects: objects.prefault({}),
    publish: publish.prefault({}),
    node: z
      .string()
      .regex(/^[a-z0-9-]{1,63}$/, 'expected 1 to 63 of a-z, 0-9 and -')
      .optional()
      .describe(
        'the node where its frames are born (its agent reads `source`, or has `--camera`); absent: they come from its topic, or central reads `source`',
      ),
    motion: z.boolean().optional().describe('with a source: only pictures in which something moved become frames'),
    motion_share: share.optional().describe('share of the picture that has to change; default 0.002'),
    heartbeat_s: positive
      .max(86_400)
      .optional()
      .describe('a picture becomes a frame after so many seconds without motion; default 10'),
    crop: z
      .tuple([share, share, share, share])
      .refine(([left, top, right, bottom]) => left < right && top < bottom, 'expected [left, top, right, bottom]')
      .optional()
      .describe('with a source: the part that is used, [left, top, right, bottom] in shares of width and height'),
    masks: z
      .array(
        z
          .array(share)
          .min(4)
          .max(200)
          .refine((corners) => corners.length % 2 === 0, 'expected x and y of each corner'),
      )
      .max(64)
      .optional()
      .describe(
        'with a source: areas that are painted black before a picture leaves the machine, each [x1, y1, x2, y2, ...] in shares of width and height; two corners are a rectangle',
      ),
    resize: z
      .union([z.enum(['auto', 'off']), z.number().int().min(16).max(32_768)])
      .optional()
      .describe(
        'with a source: the shorter side of its pictures at most, pixels; auto (the default): twice what its models need, at least 480',
      ),
    certificate: z
      .union([
        z.literal('any'),
        z.string().regex(/^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$/, 'expected 64 hex digits, or any'),
      ])
      .optional()
      .describe(
        "with an https source: the SHA-256 of the camera's own certificate, 64 hex digits, or any: it is not checked; absent: an authority that this machine knows has to vouch for it",
      ),
  })
  .superRefine((camera, context) => {
    for (const key of ['motion', 'crop', 'masks', 'resize', 'certificate'] as const)
      if (camera.source === undefined && camera[key] !== undefined)
        context.addIssue({ code: 'custom', path: [key], message: 'it needs a `source`, which this camera has not' });
    if (camera.certificate !== undefined && camera.source?.startsWith('https:') === false)
      context.addIssue({
        code: 'custom',
        path: ['certificate'],
        message: 'it needs a `source` that begins with https:',
      });
    for (const key of ['motion_share', 'heartbeat_s'] as const)
      if (camera.motion !== true && camera[key] !== undefined)
        context.addIssue({ code: 'custom', path: [key], message: 'it needs `motion: true`' });
  });
/** The settings of one camera, defaults filled in. */
export type CameraConfig = z.infer<typeof cameraConfig>;

/** The settings of a camera that is not listed. */
export const CAMERA_DEFAULTS = cameraConfig.parse({});

/** The whole configuration. */
export const configSchema = z.strictObject({
  version: z.literal(1).default(1),
  mqtt: mqtt.prefault({}),
  broker: broker.prefault({}),
  central: central.prefault({}),
  planner: planner.prefault({}),
  node: node.prefault({}),
  mdns: z
    .boolean()
    .default(true)
    .describe('multicast DNS: broker and central tell the local network where the broker is, and agents look there'),
  models: z
    .strictObject({
      dir: text.default('models').describe('folder of model folders'),
      agreement: z
        .number()
        .gt(0)
        .max(1)
        .optional()
        .describe(
          'least agreement with the uncompressed network, as `tessera model calibrate` measured it: tensors of networks that were not retrained may then be clipped; absent: they are sent losslessly',
        ),
      signing_key: text
        .optional()
        .describe(
          'file of the Ed25519 key (PEM) that central signs models with; absent: made at first start, and kept',
        ),
    })
    .prefault({}),
  cameras: z
    .record(z.string().refine(isName, 'a camera is named with 1 to 64 of A-Z, a-z, 0-9, _ and -'), cameraConfig)
    .default({}),
  accept_unlisted_cameras: z.boolean().default(true),
  homeassistant: z
    .strictObject({
      enabled: z.boolean().default(false).describe('whether Home Assistant is told of cameras, nodes and central'),
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, 'expected letters, digits, _ and -, levels separated by /')
        .default('homeassistant')
        .describe("Home Assistant's discovery prefix"),
    })
    .prefault({}),
  http: http.prefault({}),
  updates: updates.prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
      format: z.enum(['text', 'json']).default('text'),
    })
    .prefault({}),
});
/** The whole configuration, every default filled in. */
export type Config = z.infer<typeof configSchema>;

/** Keys whose values are never shown. */
export const SECRET_KEYS: readonly string[] = ['mqtt.password'];
/** Keys whose values name files: what the configuration file says is relative to its own folder. */
export const PATH_KEYS: readonly string[] = [
  'mqtt.ca',
  'mqtt.cert',
  'mqtt.key',
  'broker.cert',
  'broker.key',
  'broker.ca',
  'models.dir',
  'models.signing_key',
  'updates.folder',
];
