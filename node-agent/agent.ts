import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { openCamera } from '../shared/camera/live/open-camera.ts';
import { PictureWork } from '../shared/camera/live/picture-work.ts';
import type { SourceSettings } from '../shared/camera/source-settings.ts';
import type { TesseraError } from '../shared/errors.ts';
import { Epochs } from '../shared/node/epochs.ts';
import { createExecutor } from '../shared/node/executor.ts';
import { FrameHolder } from '../shared/node/frame-holder.ts';
import { NodeService } from '../shared/node/node-service.ts';
import { CENTRAL, type Tier } from '../shared/plan/plan.ts';
import type { Bus, Log } from '../shared/ports.ts';
import { blobPartMessage } from '../shared/protocol/messages/blob.ts';
import { bornFrameOrder } from '../shared/protocol/messages/born-frame.ts';
import type { SourceReport } from '../shared/protocol/messages/camera.ts';
import { controlMessage } from '../shared/protocol/messages/control.ts';
import { echoMessage } from '../shared/protocol/messages/echo.ts';
import { receivedWork } from '../shared/protocol/messages/received-work.ts';
import { tensorMessage } from '../shared/protocol/messages/work.ts';
import { PART_LIMIT_BYTES } from '../shared/protocol/parts.ts';
import { topics as topicsOf } from '../shared/protocol/topics.ts';
import { BlobServer } from '../shared/runtime/blob-server.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import { cpuMs } from '../shared/runtime/cpu-time.ts';
import { machineLimits } from '../shared/runtime/machine-limits.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { requireSignature } from '../shared/runtime/signature.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { BlobFetch } from './blob-fetch.ts';
import { NodeCameras } from './cameras.ts';
import { watchCentrals } from './centrals.ts';
import { refuseDuplicate } from './duplicate.ts';
import { newBootId, nodeIdentity } from './identity.ts';
import { describeNode } from './node-info.ts';
import { announce } from './presence.ts';
import { openSettings } from './settings-file.ts';
import { watchSystemMetrics } from './system-metrics.ts';
import { TopicFrames } from './topic-frames.ts';
import { type UpdateOptions, Updater } from './update/updater.ts';

/** How a node agent runs. */
export interface AgentOptions {
  /** How to reach the broker; the agent sets client id and last will. */
  readonly bus: Omit<BusOptions, 'clientId' | 'will' | 'log'>;
  /** Base topic. */
  readonly base: string;
  /** The node's id; without one it is made once and kept in `stateDir`. */
  readonly id?: string | undefined;
  readonly tier: Tier;
  /** Threads of one inference run. */
  readonly threads: number;
  /** Megabytes (10^6) for loaded models. */
  readonly sessionMemoryMb: number;
  /** Public keys, one of which must have signed a model; none: every model is accepted. */
  readonly trustedKeys?: readonly string[] | undefined;
  /** The state directory, whose files survive a restart. */
  readonly stateDir: string;
  /** Folder for blobs of models; `<stateDir>/blobs` by default. Agents on one machine may share it. */
  readonly blobDir?: string | undefined;
  /** Cameras of this machine, whose frames are born here. */
  readonly cameras?: readonly AgentCamera[] | undefined;
  /** Is given a function that resolves when the inference thread answers. */
  readonly watch?: ((answers: () => Promise<void>) => void) | undefined;
  readonly updates?: UpdateOptions | undefined;
  readonly log: Log;
}

/** A camera of the agent's machine. */
export interface AgentCamera {
  readonly name: string;
  readonly settings: SourceSettings;
}

/** A running node agent. */
export interface Agent {
  readonly id: string;
  /** Resolves with the reason when the broker refuses this node, which it admitted before. */
  readonly refused: Promise<TesseraError>;
  /** Resolves when the process has to end, so that another release of the program can start. */
  readonly replaced: Promise<void>;
  /** Publishes `offline` and ends everything, within 8 s. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Most plans that are ready, and that wait; a central that never releases must not fill the memory. Most queued parts:
 * more than any sensible plan has for one node. Most messages given to the worker: one that runs and the next one, so
 * that the worker never waits for this thread.
 */
const LIMITS = { plans: 32, tiles: 4096, running: 2 } as const;
/** What other nodes than central may send. */
const FROM_NODES = ['blob-get', 'blob-part', 'tensor', 'echo'] as const;
/**
 * Share of the machine's memory for inputs of queued work, and as much again for regions that are kept for later parts;
 * and its bounds in bytes.
 */
const SHARE = 1 / 8;
const SHARE_BYTES = { least: 16e6, most: 256e6 } as const;

/**
 * Starts a node agent; resolves when it is online. Throws TesseraError: TESSERA_CONFIG (id, folders), TESSERA_BROKER,
 * TESSERA_NODE_DUPLICATE.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { base, stateDir, log } = options;
  const id = await nodeIdentity(options.id, stateDir);
  const bootId = newBootId();
  const topics = topicsOf(base);
  const clientId = `${base}-node-${id}`;
  const store = await openBlobStore(options.blobDir ?? join(stateDir, 'blobs'), { isOwner: true });

  let onRefused: (error: TesseraError) => void;
  const refused = new Promise<TesseraError>((resolve) => {
    onRefused = resolve;
  });
  const connection = { ...options.bus, log, onRefused: (error: TesseraError) => onRefused(error) };

  // Under another client id: the broker disconnects a client when another one connects with its id.
  const probe = await connectBus({ ...connection, clientId: `${clientId}-${bootId.slice(0, 8)}` });
  try {
    await connected(probe, refused);
    await refuseDuplicate(probe, topics, id);
  } finally {
    await probe.stop();
  }

  const { threads, sessionMemoryMb } = options;
  const tuned = await openSettings(stateDir, threads, log);
  const settings = tuned.known;
  const executor = await createExecutor({ node: id, folder: store.folder, threads, sessionMemoryMb, settings, log });
  options.watch?.(() => executor.answers());
  let bus: Bus;
  try {
    const will = { topic: topics.nodeStatus(id), payload: 'offline', qos: 1, retain: true } as const;
    bus = await connectBus({ ...connection, clientId, will });
  } catch (error) {
    await executor.stop();
    throw error;
  }

  const now = (): number => performance.now();
  const wire = new Wire({ bus, topics, self: id, log, now, only: CENTRAL, fromAny: FROM_NODES });
  const epochs = new Epochs();
  const fetch = new BlobFetch({
    self: id,
    store,
    send: (to, message) => wire.send(to, 'blob-get', message),
    join: () => wire.join(),
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(store.folder);
      return bavail * bsize;
    },
    log,
  });
  const metrics = watchSystemMetrics();
  const { trustedKeys = [] } = options;
  const service = new NodeService({
    id,
    bootId,
    executor,
    blobs: fetch,
    keepSettings: tuned.keep,
    requireTrust: trustedKeys.length === 0 ? undefined : (manifest) => requireSignature(manifest, trustedKeys),
    onReady: ({ name, skeleton }) => presence.addModel(name, skeleton.sha),
    send: (to, { kind, message }) => wire.send(to, kind, message),
    epochs,
    limits: { ...LIMITS, bytes: memoryShare(), regionBytes: memoryShare() },
    messageBytes: PART_LIMIT_BYTES,
    now,
    cpuMs,
    after: (ms, call) => setTimeout(call, ms).unref(),
    log,
  });

  wire.on('work', receivedWork, (from, work) => service.receiveWork(from, work));
  wire.on(
    'tensor',
    tensorMessage,
    (from, message) => service.exchange.receive(from, message),
    (from, head) => service.exchange.judge(from, head),
  );
  wire.on('blob-part', blobPartMessage, (from, message) => fetch.accept(from, message));
  const blobServer = new BlobServer({ wire, store, sizeOf: (sha) => service.plans.sizeOf(sha), log, now });
  blobServer.start();
  wire.on('echo', echoMessage, (from, message) => service.echoes.receive(from, message));
  wire.on('control', controlMessage, (from, message) => service.receiveControl(from, message));

  // Before the node's own topics: centrals' claims should be known before their first messages.
  await watchCentrals(bus, topics, epochs, log);
  await wire.start();
  let connections = 0;
  bus.onConnect(() => {
    if (connections++ > 0) service.work.connectionLost();
  });
  const presence = announce({
    bus,
    topics,
    info: await describeNode({ id, bootId, tier: options.tier, threads, sessionMemoryMb, regionBytes: memoryShare() }),
    metrics,
    load: () => ({
      queue: service.work.waiting,
      regions: service.regionStats,
      partsPerSecond: service.work.rate.perSecond,
      epoch: epochs.followed,
      plans: service.plans.progress,
    }),
    log,
  });

  // After the node is announced: central takes frames of nodes that it knows.
  const { plans, work } = service;
  const holder = new FrameHolder({ plans, regions: work.regions, executor, now });
  const topicFrames = new TopicFrames({ bus, topics, log });
  const pictures = new PictureWork();
  const open = ({ name, settings }: AgentCamera) => {
    const onReport = (report: SourceReport): void => cameras.report(name, report);
    const needed = () => plans.neededSide;
    return { name, source: openCamera(name, settings, { bus, work: pictures, needed, onReport, log }) };
  };
  const cameras = new NodeCameras({
    cameras: (options.cameras ?? []).map(open),
    bootId,
    bus,
    send: (message) => wire.send(CENTRAL, 'frame', message),
    epoch: () => epochs.followed,
    hold: (iId, plan, frame) => holder.hold(iId, plan, frame),
    fromTopic: (camera, frame) => topicFrames.take(camera, frame),
    free: (iId) => work.free([iId]),
    log,
  });
  wire.on('frame', bornFrameOrder, (from, order) => cameras.receive(from, order));

  let onReplaced: () => void = () => {};
  const replaced = new Promise<void>((resolve) => {
    onReplaced = resolve;
  });
  const updater =
    options.updates &&
    (await Updater.start(options.updates, {
      id,
      bus,
      topics,
      // No frame is born here while the node waits for its work to end.
      onTurn: () => cameras.stop(),
      isIdle: () => service.work.waiting === 0 && service.regionStats.bytes === 0,
      health: () => ({ connected: bus.connected, ...service.work.outcomes }),
      answers: () => executor.answers(),
      onEnd: onReplaced,
      log,
    }));

  let stopping: Promise<void> | undefined;
  return {
    id,
    refused,
    replaced,
    stop: () => {
      stopping ??= (async () => {
        updater?.stop();
        metrics.stop();
        topicFrames.stop();
        await cameras.stop();
        await pictures.stop();
        blobServer.stop();
        await presence.stop();
        await bus.stop();
        await executor.stop();
      })();
      return stopping;
    },
  };
}

function memoryShare(): number {
  return Math.min(SHARE_BYTES.most, Math.max(SHARE_BYTES.least, machineLimits().memoryBytes * SHARE));
}

/** Waits for the first connection of a bus that keeps trying; throws the reason when the broker refuses it. */
async function connected(bus: Bus, refused: Promise<TesseraError>): Promise<void> {
  const error = await Promise.race([refused, new Promise<void>((resolve) => bus.onConnect(resolve))]);
  if (error !== undefined) throw error;
}
