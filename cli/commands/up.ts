import { join } from 'node:path';
import type { Shot, Source } from '../../shared/camera/source.ts';
import type { SourceName } from '../../shared/camera/source-name.ts';
import type { Config } from '../../shared/config/schema.ts';
import { counted } from '../../shared/counted.ts';
import { type Failure, TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { hideUserInfo } from '../../shared/redact.ts';
import { checkSource, sourceOf } from '../agent-cameras.ts';
import { bridgeOf } from '../bridge.ts';
import { centralCameras } from '../central-cameras.ts';
import type { Cluster, ClusterOptions } from '../cluster.ts';
import { defineCommand } from '../command.ts';
import { homeAssistantOption } from '../home-assistant-option.ts';
import {
  agreementOption,
  connectionOptions,
  connectionSettings,
  integer,
  positive,
  string,
  value,
  valueOr,
} from '../options.ts';
import type { Output } from '../output.ts';
import { thisCommand } from '../own-command.ts';
import { replanOptions } from '../replan-options.ts';
import { whatWasFound } from '../result-line.ts';

/** The camera's name in topics. */
const CAMERA = 'demo';
const BUNDLED = 'scenes';
/** Nodes to plan for at least where machines may join later. */
const OPEN_NODES = 4;
/** Ports of the page that are tried before any free one. */
const PORTS_TRIED = 20;

/** `tessera up`: a whole cluster on this machine. */
export const command = defineCommand({
  description:
    'Starts a broker, central, node agents and a camera on this machine and prints one line per prediction. ' +
    'Without options it needs nothing else: the model is bundled and the camera draws its pictures itself.',
  options: {
    ...connectionOptions,
    nodes: valueOr('--nodes <n>', 'node agents to start, each a process of its own', integer(0, 64), 4),
    model: value(
      '--model <model>',
      'model folder, name of a model, or .onnx file; default: the bundled one, and with cameras of the configuration ' +
        'those that `tessera central` serves',
      string,
    ),
    camera: value(
      '--camera <source>',
      'synthetic (the default where the configuration has no camera with a source), rtsp://..., http://..., /dev/video0, ' +
        'rpicam, a folder, a video, a picture, mqtt:TOPIC, or none',
      string,
    ),
    frames: value('--frames <n>', 'stop after so many frames', integer(1)),
    fps: valueOr('--fps <n>', 'frames per second of this camera', positive, 2),
    agreement: agreementOption,
    listen: value('--listen <host[:port]>', 'address of the broker; on the network clients need secrets', string),
    inviteFile: value(
      '--invite-file <file>',
      'file for the command that joins a second machine; - prints it. Default: the terminal, or a file in the state directory',
      string,
    ),
  },
  examples: [
    ['up', 'broker, central, four nodes and the drawn camera'],
    ['up --frames 20 --nodes 2', 'ends by itself after 20 frames'],
    ['up --model fastestdet --camera photos', 'another model on your own pictures'],
    ['up --listen 0.0.0.0', 'prints the command that joins a second machine'],
  ],
  async run({ options, json, out, signal, config }) {
    const { openLog } = await import('../connect.ts');
    const { startCluster, untilReady } = await import('../cluster.ts');
    const { costInWords } = await import('../../central/planner/cost-in-words.ts');
    const { boxShape, byteLength } = await import('../../shared/tensor/tensor.ts');
    const { loadRequestFor, modelsToServe } = await import('../models.ts');
    const { serveEach } = await import('../serve-each.ts');
    const { machineDefaults } = await import('../machine.ts');
    const { untilStopped } = await import('../signals.ts');
    const { atFreePort, parseListen } = await import('../listen.ts');
    const { HERE, inviteSecondMachine, otherBroker, ownBroker, usesOtherBroker } = await import('../up-broker.ts');
    const { makeStateDirectory } = await import('../../shared/runtime/state-directory.ts');

    const { config: settings, origins } = await config(await connectionSettings(options));
    const isSet = (key: string): boolean => (origins.get(key) ?? 'default') !== 'default';
    const configured = isSet('broker.listen') ? settings.broker.listen : undefined;
    const usesOther = usesOtherBroker(options, configured, isSet('mqtt.server') ? settings.mqtt.server : undefined);
    checkSettings(settings, usesOther);
    const log = await openLog(settings, 'tessera');
    const stateDir = await makeStateDirectory();
    const own = Object.entries(settings.cameras).flatMap(([name, { source }]) => (source === undefined ? [] : [name]));
    const isHome = options.camera === undefined && own.length > 0;
    const camera = options.camera ?? (isHome ? 'none' : 'synthetic');
    const source = camera === 'none' ? undefined : sourceOf(camera, '--camera');
    if (source !== undefined) await checkSource(source);
    const listed =
      isHome && options.model === undefined ? await modelsToServe(settings) : [{ name: options.model ?? BUNDLED }];
    // The only model is read first: a wrong name ends the command before anything starts.
    const only = listed.length === 1 ? await loadRequestFor(listed[0]!.name, settings, { signal }) : undefined;
    if (camera !== 'synthetic') for (const note of only?.notes ?? []) out.note(`note: ${note}`);
    const isOpenTo = ({ remoteAccess }: { readonly remoteAccess?: unknown }): boolean =>
      usesOther || remoteAccess !== undefined;
    const start = async () => {
      const broker = usesOther
        ? await otherBroker(settings)
        : await ownBroker(options.listen, configured, settings, stateDir);
      const cluster = await startCluster({
        ...broker,
        agentEnv: { ...broker.agentEnv, ...nodeEnvironment(settings) },
        threads: settings.node.threads === 'auto' ? undefined : settings.node.threads,
        nodes: options.nodes,
        web: { hosts: settings.broker.allowed_hosts, origins: settings.broker.allowed_origins },
        sessions: {
          central: { ms: settings.broker.keep_frames_s * 1000, bytes: settings.broker.keep_frames_mb * 1e6 },
          folder: join(stateDir, 'broker', 'frames'),
        },
        base: settings.mqtt.base_topic,
        centralId: settings.central.id === 'auto' ? undefined : settings.central.id,
        stateDir,
        maximumPacketSize: settings.mqtt.maximum_packet_size,
        signingKey: settings.models.signing_key,
        cameras: {
          ...centralCameras(settings),
          ...(source === undefined ? {} : { [CAMERA]: { models: [], hold: 1, offline_after_s: 30, keep: 'every' } }),
        },
        acceptUnlistedCameras: settings.accept_unlisted_cameras,
        ...homeAssistantOption(settings),
        isAnnounced: settings.mdns,
        bridge: (broker) => bridgeOf(settings, broker, log),
        coordinator: { audit_share: settings.central.audit_share, tier: settings.central.tier ?? null },
        // Nodes on one machine share its processors, so that each one's speed says little about all of them.
        replan: isOpenTo(broker) ? replanOptions(settings) : undefined,
        http: windowOf(settings, isSet),
        idPrefix: settings.node.id === 'auto' ? 'node' : settings.node.id,
        log,
      });
      return { broker, cluster };
    };
    const isPortGiven = usesOther || configured !== undefined || parseListen(options.listen ?? HERE).port !== undefined;
    const { broker, cluster } = await (isPortGiven ? start() : atFreePort(start));
    const isOpen = isOpenTo(broker);
    // Another central at this broker may take over while this process is suspended.
    const relieved = new AbortController();
    void cluster.central.relieved.then((reason) => relieved.abort(reason));
    const end = AbortSignal.any([signal, relieved.signal]);
    try {
      out.note(`broker: ${cluster.urls.map(hideUserInfo).join(', ')}`);
      if (cluster.central.url !== undefined) out.note(`window: ${cluster.central.url}`);
      if (cluster.enrolment !== undefined && broker.remoteAccess !== undefined)
        await inviteSecondMachine(cluster.enrolment, broker.remoteAccess, broker.tls?.ca !== undefined, out.note, {
          file: options.inviteFile,
          folder: join(stateDir, 'broker', 'invited'),
          isTerminal: process.stderr.isTTY === true,
        });
      let rawBytes = 0;
      const serve = async (name: string): Promise<void> => {
        const { request, notes } = only ?? (await loadRequestFor(name, settings, { signal }));
        if (only === undefined) for (const note of notes) out.note(`note: ${note}`);
        const served = await cluster.central.load(request);
        const compiled = await cluster.central.servePlan(served.name, {
          nodeCount: isOpen ? Math.max(options.nodes, OPEN_NODES) : options.nodes,
          sharedCores: isOpen ? undefined : machineDefaults().threads,
          agreement: options.agreement ?? settings.models.agreement,
        });
        await untilReady(cluster, compiled.plan, options.nodes);
        const share = Math.round(compiled.cost.macsOnNodes * 100);
        out.note(
          `model ${served.name}: ${compiled.plan.reason}; ${share} % of the computing on ${counted(options.nodes, 'node')}; ${costInWords(compiled.cost)}`,
        );
        const { specs } = served.resolved;
        const regions = compiled.stages.flatMap(({ parts }) => parts.flatMap(({ out }) => out));
        rawBytes = regions.reduce(
          (sum, { tensor, box }) => sum + byteLength({ dtype: specs.get(tensor)!.dtype, shape: boxShape(box) }),
          0,
        );
      };
      const stopped = untilStopped(end);
      const refuse = (name: string, failure: Failure) => cluster.central.refuse(name, failure);
      await Promise.race([serveEach(listed, serve, { refuse, log, stopped }), stopped]);
      if (source === undefined) {
        out.note(
          isHome
            ? `reading ${own.join(', ')}; Ctrl-C stops`
            : `waiting for frames on ${settings.mqtt.base_topic}/input/<camera>; Ctrl-C stops`,
        );
        await stopped;
        relieved.signal.throwIfAborted();
        return 0;
      }
      const demo = {
        ...options,
        source,
        rawBytes,
        json,
        out,
        signal: end,
        log,
        stateDir,
        server: cluster.bus.url,
        settings,
      };
      const tally = await demonstrate(cluster, settings.mqtt.base_topic, demo);
      relieved.signal.throwIfAborted();
      return options.frames !== undefined && !signal.aborted && tally.ok < options.frames ? 1 : 0;
    } finally {
      await cluster.stop();
    }
  },
});

/** Where the page is, unless the configuration says that there is none: at the port that it names, or at a free one. */
function windowOf({ http, updates }: Config, isSet: (key: string) => boolean): ClusterOptions['http'] {
  const { host, port } = http;
  if (isSet('http.enabled') && !http.enabled) return undefined;
  return {
    host,
    ports: isSet('http.port') ? [port] : [...Array.from({ length: PORTS_TRIED }, (_, k) => port + k), 0],
    releases: updates.folder,
  };
}

/** Refuses what cannot hold here, rather than not to do it. Throws TESSERA_CONFIG. */
function checkSettings({ central, broker }: Config, usesOther: boolean): void {
  if (central.standby)
    throw new TesseraError('TESSERA_CONFIG', 'central.standby is true, and `up` never waits for another central', {
      hint: 'omit it, or run `tessera central --standby`',
    });
  if (broker.anonymous === 'never' && !usesOther)
    throw new TesseraError(
      'TESSERA_CONFIG',
      'broker.anonymous is "never", and the programs of `up` have no passwords',
      {
        hint: 'omit it, or run `tessera broker`, `tessera central` and `tessera agent`, each with its own',
      },
    );
}

/** The configuration of node agents as environment, for processes that may not see its file. */
function nodeEnvironment({ node, log }: Config): Record<string, string> {
  return {
    TESSERA_NODE__TIER: node.tier,
    TESSERA_NODE__MEMORY_MB: String(node.memory_mb),
    TESSERA_NODE__TRUSTED_KEYS: JSON.stringify(node.trusted_keys),
    TESSERA_LOG__FORMAT: log.format,
  };
}

interface Tally {
  ended: number;
  ok: number;
  drawn: number;
  right: number;
}

interface Demonstration {
  readonly source: SourceName;
  readonly frames: number | undefined;
  readonly fps: number;
  /** Bytes of all that a frame's parts answer, before any codec. */
  readonly rawBytes: number;
  readonly json: boolean;
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly stateDir: string;
  /** The address of the broker, and the default of commands. */
  readonly server: string;
  readonly settings: Config;
}

async function demonstrate(cluster: Cluster, base: string, demo: Demonstration): Promise<Tally> {
  const { connectBus } = await import('../../shared/runtime/mqtt.ts');
  const { topics } = await import('../../shared/protocol/topics.ts');
  const { FrameClient } = await import('../frames.ts');
  const { sourceSettings } = await import('../../shared/camera/source-settings.ts');
  const { openCamera } = await import('../../shared/camera/live/open-camera.ts');
  const { PictureWork } = await import('../../shared/camera/live/picture-work.ts');
  const { runCamera } = await import('../run-camera.ts');
  const { LEGEND, nextSteps, saveDemoPicture } = await import('../demo-hints.ts');
  const { out, json, log } = demo;
  const tally: Tally = { ended: 0, ok: 0, drawn: 0, right: 0 };
  const bus = await connectBus({ ...cluster.bus, clientId: `${base}-camera-${process.pid}`, log });
  let source: Source | undefined;
  let shown: Promise<void> | undefined;
  try {
    const client = new FrameClient(bus, topics(base), CAMERA);
    await client.start();
    source = openCamera(CAMERA, sourceSettings(demo.source, { max_fps: demo.fps }), {
      bus,
      work: new PictureWork(),
      needed: () => undefined,
      onReport: () => {},
      log,
    });
    const onResult = (result: ResultObject, shot: Shot): void => {
      tally.ended++;
      if (result.status === 'ok') tally.ok++;
      if (shot.truth !== undefined) {
        tally.drawn++;
        if (result.top?.label === shot.truth) tally.right++;
      }
      if (json) {
        out.json(result);
        return;
      }
      if (tally.ended === 1) out.note(LEGEND);
      out.line(demoLine(result, shot, demo.rawBytes));
      if (shown === undefined && result.status === 'ok' && result.predictions.length > 0) shown = show(result, shot);
    };
    const show = async (result: ResultObject, shot: Shot): Promise<void> => {
      const path = await saveDemoPicture(demo.stateDir, shot.bytes, result).catch((error: Error) => {
        log.warn(`the picture of the demo cannot be written: ${error.message}`);
      });
      if (path !== undefined) out.note(`look at it: ${path}`);
      const broker = demo.server === demo.settings.mqtt.server ? '' : ` --broker ${hideUserInfo(demo.server)}`;
      for (const line of nextSteps(thisCommand(), broker)) out.note(line);
    };
    const onLost = (error: Error): void => log.warn(error.message);
    await runCamera({ client, source, frames: demo.frames, signal: demo.signal, onResult, onLost });
    await shown;
    const truth = tally.drawn === 0 ? '' : `, ${tally.right} of ${counted(tally.drawn, 'prediction')} as drawn`;
    out.note(`${counted(tally.ended, 'frame')}, ${tally.ok} ok${truth}`);
    return tally;
  } finally {
    await source?.stop();
    await bus.stop();
  }
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;

/** One prediction as a line: labels seen and drawn, latency, tiles by node, bytes sent. */
function demoLine(result: ResultObject, shot: Shot, rawBytes: number): string {
  const drawn =
    shot.truth === undefined ? '' : shot.truth === result.top?.label ? ' (drawn: yes)' : ` (drawn: ${shot.truth})`;
  // Central's own part is the rest of the network, no tile.
  const tiles = Object.entries(result.tiles_per_node)
    .filter(([node]) => node !== CENTRAL)
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([node, count]) => `${node}:${count}`)
    .join(' ');
  const before = result.bytes_down < rawBytes ? ` of ${kilobytes(rawBytes)}` : '';
  const between = result.bytes_between === undefined ? '' : `, ${kilobytes(result.bytes_between)} between nodes`;
  const bytes = `${kilobytes(result.bytes_up)} out, ${kilobytes(result.bytes_down)} back${before}${between}`;
  const seen = `${whatWasFound(result)}${drawn}`;
  return `${result.frame.padEnd(22)} ${seen.padEnd(34)} ${String(Math.round(result.latency_ms)).padStart(5)} ms  ${tiles}  ${bytes}`;
}
