import { brokerStats } from '../../shared/protocol/messages/broker.ts';
import { centralModels, planRanking, planStatus, stats } from '../../shared/protocol/messages/central.ts';
import { count, text } from '../../shared/protocol/messages/fields.ts';
import { heartbeat, leftOut, nodeInfo, planPreparation } from '../../shared/protocol/messages/node.ts';
import { resultObject } from '../../shared/protocol/messages/result.ts';
import { frameSpan, requestTrace } from '../../shared/protocol/messages/trace.ts';
import { z } from '../../shared/schema.ts';
import { SETTINGS } from '../settings/camera-settings.ts';

/** What `/api/v1` answers (docs/window.md). What central publishes by MQTT has the same form here. */

/** What a central does: `standby` waits for another one, `relieved` was replaced by one. */
export const CENTRAL_PHASES = ['starting', 'standby', 'active', 'relieved'] as const;

const phase = z.enum(CENTRAL_PHASES);
/** What a central does. */
export type CentralPhase = z.infer<typeof phase>;

/** A node's presence as central sees it: `suspect` missed its heartbeats. */
const nodePresence = z.enum(['online', 'suspect', 'offline']);

/** `GET /api/v1/state`, and the event `state`. Every key but `central` is empty while central is not active. */
export const apiState = z.object({
  v: z.literal(1),
  /** Unix seconds. */
  time: z.number(),
  central: z.object({
    id: text,
    phase,
    version: text,
    base: text,
    broker_connected: z.boolean(),
    uptime_s: z.number(),
  }),
  /** By camera; `labels` by model. */
  cameras: z.record(text, z.object({ status: z.enum(['online', 'offline']), labels: z.record(text, text) })),
  /** As on `<base>/central/central/models`. */
  models: centralModels.shape.models,
  /** By model, the newest last; the last one is active. */
  plans: z.record(text, z.array(planStatus)),
  /** By model, as on `<base>/plan/<model>/progress`. */
  progress: z.record(text, planPreparation),
  /** By model, as on `<base>/plan/<model>/ranking`: models whose plans are made again while frames flow. */
  rankings: z.record(text, planRanking),
  /** Nodes that have published something about themselves; `central` is its own executor. */
  nodes: z.record(
    text,
    z.object({
      presence: nodePresence,
      info: nodeInfo.nullable(),
      heartbeat: heartbeat.nullable(),
      /** Time since the heartbeat, s. */
      heard_s: z.number().nullable(),
      /** Tiles whose results were used, since this central is active. */
      tiles: count,
      /** Tiles that wait for an answer of the node, or to be sent to it. */
      open_tiles: count,
      /** Of a message to the node and back, beyond waiting and computing, on average. */
      link: z.object({ bytes: z.number(), ms: z.number() }).nullable(),
    }),
  ),
  /** Nodes that were left out, as on `<base>/central/central/left-out`. */
  left_out: leftOut.shape.nodes,
  /** The last one of `<base>/stats`, and of `<base>/broker/stats`. */
  stats: stats.nullable(),
  broker: brokerStats.nullable(),
});
/** The state of a deployment. */
export type ApiState = z.infer<typeof apiState>;

/** `GET /api/v1/frames/<camera>`, and the event `frame`: a frame that has ended, part by part. */
export const apiFrame = z.object({
  v: z.literal(1),
  result: resultObject,
  /** Whether `/api/v1/frames/<camera>/<id>/picture` has a picture. */
  picture: z.boolean(),
  /** What the network sees of the picture: x1, y1, x2, y2 in its pixels; null where the frame was a tensor. */
  area: z.tuple([z.number(), z.number(), z.number(), z.number()]).nullable(),
  /** The stages of its plan; `rows` and `cols` are the sizes of tiles, and empty for other splits. */
  stages: z.array(
    z.object({ id: count, split: z.enum(['whole', 'tiles', 'channels']), rows: z.array(count), cols: z.array(count) }),
  ),
  /** Where its time went, as on `<base>/trace/<camera>`. */
  spans: z.array(frameSpan),
  trace: z.array(requestTrace),
});
/** A frame that has ended. */
export type ApiFrame = z.infer<typeof apiFrame>;

/** A line of `GET /api/v1/log`, and the event `log`: something that central complained about. */
export const apiLogLine = z.object({
  /** Unix seconds. */
  time: z.number(),
  level: z.enum(['warn', 'error']),
  text,
});
/** A complaint. */
export type ApiLogLine = z.infer<typeof apiLogLine>;

/** `GET /api/v1/log`: the newest complaints, the newest last. */
export const apiLog = z.object({ v: z.literal(1), lines: z.array(apiLogLine) });

/** `GET /api/v1/settings`: settings of cameras that change without a restart, as on `<base>/camera/<camera>/<setting>`. */
export const apiSettings = z.object({
  v: z.literal(1),
  /** By camera and setting: `ON` and `OFF`, a number, or the name of a model. */
  cameras: z.record(text, z.record(text, text)),
  /** Numbers, with their bounds. */
  numbers: z.record(text, z.object({ min: z.number(), max: z.number(), step: z.number() })),
  /** What `model` can be. */
  models: z.array(text),
});
/** What can be changed. */
export type ApiSettings = z.infer<typeof apiSettings>;

/** `POST /api/v1/settings`: a change of one setting. */
export const apiSettingChange = z.object({ camera: text, setting: z.enum(SETTINGS), value: text });
/** A change of one setting. */
export type ApiSettingChange = z.infer<typeof apiSettingChange>;

/** `POST /api/v1/login`: a user of the broker. */
export const apiLogin = z.object({ user: z.string().min(1).max(128), password: z.string().max(1024) });

/** `GET /api/v1/session`: who asks, and what they may do. `login`: whether there is a login at all. */
export const apiSession = z.object({
  v: z.literal(1),
  login: z.boolean(),
  user: text.nullable(),
  role: z.enum(['viewer', 'admin']).nullable(),
});
/** Who asks. */
export type ApiSession = z.infer<typeof apiSession>;

/** `/healthz`: 200 with `ok: true`, or 503 with what is wrong. */
export const apiHealth = z.object({ ok: z.boolean(), phase, problems: z.array(text) });
/** Whether a central works. */
export type ApiHealth = z.infer<typeof apiHealth>;
