import { CENTRAL } from '../plan/plan.ts';

/**
 * Every topic, in one place (docs/protocol.md shows them with examples).
 *
 *   <base>/...                       for people and apps: JSON, plain text, pictures
 *   <base>-wire/1/<to>/<kind>/<from> for machines: CBOR; a client subscribes <base>-wire/1/<self>/# and publishes
 *                                    only to <base>-wire/1/+/+/<self>
 *   <base>-wire/1/all/blob-part/central  from central to every node that reads it
 *
 * Senders are known from the topic, never from the payload.
 */

/** Version number in the wire root: raised when a message gains a required key. */
export const WIRE_VERSION = 1;

/** Kinds of wire messages. */
export const WIRE_KINDS = ['work', 'result', 'tensor', 'control', 'frame', 'blob-get', 'blob-part', 'echo'] as const;
/** Kind of a wire message. */
export type WireKind = (typeof WIRE_KINDS)[number];

const CAMERA_OR_MODEL = /^[A-Za-z0-9_-]{1,64}$/;
const NODE = /^[a-z0-9-]{1,63}$/;

/** Receiver in the topic of messages for several nodes; no node has this id. */
export const ALL = 'all';

const FRAME = /^[A-Za-z0-9_.:-]{1,128}$/;

/** Whether a string may be a camera's or a model's id. */
export const isName = (id: string): boolean => CAMERA_OR_MODEL.test(id);
/** Whether a string may be a node's id (`central` is reserved for central). */
export const isNodeId = (id: string): boolean => NODE.test(id) && id !== ALL;
/** Whether a string may be a publisher's own frame id. */
export const isFrameId = (id: string): boolean => FRAME.test(id);

/** Builds topics under one base. */
export function topics(base = 'tessera') {
  const wire = `${base}-wire/${WIRE_VERSION}`;
  return {
    base,
    status: `${base}/status`,
    centralStatus: (id: string) => `${base}/central/${id}/status`,
    centralStatusAll: `${base}/central/+/status`,
    centralHeartbeat: (id: string) => `${base}/central/${id}/heartbeat`,
    centralHeartbeatAll: `${base}/central/+/heartbeat`,
    centralKey: (id: string) => `${base}/central/${id}/key`,
    centralLeftOut: (id: string) => `${base}/central/${id}/left-out`,
    centralVersion: (id: string) => `${base}/central/${id}/version`,
    centralDrained: (id: string) => `${base}/central/${id}/drained`,
    centralModels: (id: string) => `${base}/central/${id}/models`,
    centralKeyAll: `${base}/central/+/key`,
    brokerStats: `${base}/broker/stats`,
    input: (camera: string, frame?: string) => `${base}/input/${camera}${frame === undefined ? '' : `/${frame}`}`,
    inputAll: `${base}/input/#`,
    result: (camera: string, model: string) => `${base}/result/${camera}/${model}`,
    resultAll: `${base}/result/+/+`,
    label: (camera: string, model: string) => `${base}/result/${camera}/${model}/label`,
    tensor: (camera: string, model: string) => `${base}/result/${camera}/${model}/tensor`,
    snapshot: (camera: string, model: string) => `${base}/result/${camera}/${model}/snapshot`,
    crop: (camera: string, model: string) => `${base}/result/${camera}/${model}/crop`,
    count: (camera: string, model: string, label: string) => `${base}/result/${camera}/${model}/count/${label}`,
    setting: (camera: string, setting: string) => `${base}/camera/${camera}/${setting}/state`,
    settingSet: (camera: string, setting: string) => `${base}/camera/${camera}/${setting}/set`,
    settingSetAll: `${base}/camera/+/+/set`,
    cameraStatus: (camera: string) => `${base}/camera/${camera}/status`,
    cameraStatusAll: `${base}/camera/+/status`,
    cameraSource: (camera: string) => `${base}/camera/${camera}/source`,
    nodeStatus: (node: string) => `${base}/node/${node}/status`,
    nodeInfo: (node: string) => `${base}/node/${node}/info`,
    heartbeat: (node: string) => `${base}/node/${node}/heartbeat`,
    nodeUpdate: (node: string) => `${base}/node/${node}/update`,
    nodeVersion: (node: string) => `${base}/node/${node}/version`,
    nodeUpdateAll: `${base}/node/+/update`,
    update: `${base}/update`,
    nodeHealth: (node: string) => `${base}/node/${node}/health`,
    nodeStatusAll: `${base}/node/+/status`,
    nodeInfoAll: `${base}/node/+/info`,
    nodeHealthAll: `${base}/node/+/health`,
    heartbeatAll: `${base}/node/+/heartbeat`,
    stats: `${base}/stats`,
    plan: (model: string) => `${base}/plan/${model}`,
    planAll: `${base}/plan/+`,
    planProgress: (model: string) => `${base}/plan/${model}/progress`,
    planProgressAll: `${base}/plan/+/progress`,
    planRanking: (model: string) => `${base}/plan/${model}/ranking`,
    nodeEvent: (node: string) => `${base}/event/node/${node}`,
    nodeEventAll: `${base}/event/node/+`,
    objectEvent: (camera: string) => `${base}/event/camera/${camera}`,
    trace: (camera: string) => `${base}/trace/${camera}`,
    request: (command: string) => `${base}/request/${command}`,
    requestAll: `${base}/request/+`,
    response: (command: string) => `${base}/response/${command}`,
    wire: (to: string, kind: WireKind, from: string) => `${wire}/${to}/${kind}/${from}`,
    wireInbox: (self: string) => `${wire}/${self}/#`,
    /** Pieces of models that central sends to several nodes at once. */
    wireShared: `${wire}/${ALL}/blob-part/${CENTRAL}`,
  };
}

/** The topics under one base. */
export type Topics = ReturnType<typeof topics>;

/** The parts of `<base>-wire/1/<to>/<kind>/<from>`, or undefined for any other topic. */
export function parseWireTopic(topic: string): { to: string; kind: WireKind; from: string } | undefined {
  const [root, version, to, kind, from, ...rest] = topic.split('/');
  if (!root?.endsWith('-wire') || version !== String(WIRE_VERSION) || rest.length > 0) return undefined;
  if (to === undefined || from === undefined || !(to === ALL || isNodeId(to)) || !isNodeId(from)) return undefined;
  if (!(WIRE_KINDS as readonly string[]).includes(kind ?? '')) return undefined;
  return { to, kind: kind as WireKind, from };
}

/** Camera and the publisher's frame id of `<base>/input/<camera>[/<frame>]`, or undefined. */
export function parseInputTopic(base: string, topic: string): { camera: string; frame: string | null } | undefined {
  const prefix = `${base}/input/`;
  if (!topic.startsWith(prefix)) return undefined;
  const [camera, frame, ...rest] = topic.slice(prefix.length).split('/');
  if (camera === undefined || !isName(camera) || rest.length > 0) return undefined;
  if (frame !== undefined && !isFrameId(frame)) return undefined;
  return { camera, frame: frame ?? null };
}

/** Camera and model of `<base>/result/<camera>/<model>` and of the topics below it, or undefined. */
export function parseResultTopic(base: string, topic: string): { camera: string; model: string } | undefined {
  const prefix = `${base}/result/`;
  if (!topic.startsWith(prefix)) return undefined;
  const [camera, model, ...rest] = topic.slice(prefix.length).split('/');
  if (camera === undefined || model === undefined || !isName(camera) || !isName(model) || rest.length > 1)
    return undefined;
  return { camera, model };
}

/** Camera and setting of `<base>/camera/<camera>/<setting>/set`, or undefined. */
export function parseSettingTopic(base: string, topic: string): { camera: string; setting: string } | undefined {
  const prefix = `${base}/camera/`;
  if (!topic.startsWith(prefix)) return undefined;
  const [camera, setting, leaf, ...rest] = topic.slice(prefix.length).split('/');
  if (camera === undefined || !isName(camera) || setting === undefined || leaf !== 'set' || rest.length > 0)
    return undefined;
  return { camera, setting };
}

/** Node id of `<base>/node/<node>/<leaf>`, or undefined. */
export function parseNodeTopic(base: string, topic: string): { node: string; leaf: string } | undefined {
  const prefix = `${base}/node/`;
  if (!topic.startsWith(prefix)) return undefined;
  const [node, leaf, ...rest] = topic.slice(prefix.length).split('/');
  if (node === undefined || !isNodeId(node) || leaf === undefined || rest.length > 0) return undefined;
  return { node, leaf };
}
