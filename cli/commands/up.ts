import { join } from 'node:path';
import type { Desk } from '../../broker/desk.ts';
import type { Config } from '../../shared/config/schema.ts';
import { hideUserInfo } from '../../shared/config/show.ts';
import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { ResultObject } from '../../shared/protocol/messages.ts';
import type { Shot, Source } from '../camera/source.ts';
import type { Cluster, ClusterOptions } from '../cluster.ts';
import { defineCommand } from '../command.ts';
import { camerasWithInfer } from '../infer-camera.ts';
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
import { IN_ITS_FOLDER, thisCommand } from '../own-command.ts';
import { whatWasFound } from '../result-line.ts';
import { SecretOutput, type SecretOutputOptions } from '../secret-output.ts';

/** The camera's name in topics. */
const CAMERA = 'demo';
/** Time for central to announce its key, ms. */
const KEY_MS = 5000;
/** Nodes to plan for at least where machines may join later. */
const OPEN_NODES = 4;

type Guests = NonNullable<ClusterOptions['guests']>;

/** `tessera up`: a whole cluster on this machine. */
export const command = defineCommand({
  description:
    'Starts a broker, central, node agents and a camera on this machine and prints one line per prediction. ' +
    'Without options it needs nothing else: the model is bundled and the camera draws its pictures itself.',
  options: {
    ...connectionOptions,
    nodes: valueOr('--nodes <n>', 'node agents to start, each a process of its own', integer(0, 64), 4),
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    camera: valueOr('--camera <source>', 'synthetic, a picture, a folder, mqtt:TOPIC, or none', string, 'synthetic'),
    frames: value('--frames <n>', 'stop after so many frames', integer(1)),
    fps: valueOr('--fps <n>', 'frames per second of the camera', positive, 2),
    agreement: agreementOption,
    listen: value('--listen <host[:port]>', 'where the broker listens; beyond this machine with secrets', string),
    inviteFile: value(
      '--invite-file <file>',
      'where the line for a second machine goes; - prints it, as a terminal does; else a file in the state directory',
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
    const { choosePlan } = await import('../../central/planner/choose.ts');
    const { costInWords } = await import('../../central/planner/cost-in-words.ts');
    const { boxShape, byteLength } = await import('../../shared/tensor/tensor.ts');
    const { loadForDeploy } = await import('../models.ts');
    const { machineDefaults } = await import('../machine.ts');
    const { makeStateDirectory } = await import('../../shared/runtime/state-directory.ts');

    const { config: settings, origins } = await config(await connectionSettings(options));
    checkSettings(settings, options.broker !== undefined);
    const log = await openLog(settings, 'tessera');
    const stateDir = await makeStateDirectory();
    const model = await loadForDeploy(options.model, settings, { signal });
    for (const note of model.notes) if (options.camera !== 'synthetic') out.note(`note: ${note}`);
    const configured = (origins.get('broker.listen') ?? 'default') === 'default' ? undefined : settings.broker.listen;
    const broker = await brokerFor(options, configured, settings, stateDir);
    const isOpen = options.broker !== undefined || broker.guests !== undefined;
    const cluster = await startCluster({
      ...broker,
      agentEnv: { ...broker.agentEnv, ...nodeEnvironment(settings) },
      threads: settings.node.threads === 'auto' ? undefined : settings.node.threads,
      nodes: options.nodes,
      web: { hosts: settings.broker.allowed_hosts, origins: settings.broker.allowed_origins },
      frames: {
        keep: { ms: settings.broker.keep_frames_s * 1000, bytes: settings.broker.keep_frames_mb * 1e6 },
        folder: join(stateDir, 'broker', 'frames'),
      },
      base: settings.mqtt.base_topic,
      stateDir,
      maximumPacketSize: settings.mqtt.maximum_packet_size,
      signingKey: settings.models.signing_key,
      cameras: {
        ...camerasWithInfer(settings.cameras, settings.accept_unlisted_cameras),
        [CAMERA]: { models: [], hold: 1, offline_after_s: 30, keep: 'every' },
      },
      acceptUnlistedCameras: settings.accept_unlisted_cameras,
      coordinator: { audit_share: settings.central.audit_share },
      idPrefix: 'node',
      log,
    });
    // Another central at this broker may take over while this process stands still.
    const relieved = new AbortController();
    void cluster.central.relieved.then((reason) => relieved.abort(reason));
    const end = AbortSignal.any([signal, relieved.signal]);
    try {
      out.note(`broker: ${cluster.urls.map(hideUserInfo).join(', ')}`);
      if (cluster.desk !== undefined && broker.guests !== undefined)
        await inviteSecondMachine(cluster.desk, broker.guests, broker.tls?.ca !== undefined, out.note, {
          file: options.inviteFile,
          folder: join(stateDir, 'broker', 'invited'),
          isTerminal: process.stderr.isTTY === true,
        });
      const deployment = await cluster.central.deploy(model.request);
      const prepared = choosePlan(deployment, {
        nodeCount: isOpen ? Math.max(options.nodes, OPEN_NODES) : options.nodes,
        sharedCores: isOpen ? undefined : machineDefaults().threads,
        agreement: options.agreement ?? settings.models.agreement,
      });
      await cluster.central.activate(deployment.name, prepared);
      await untilReady(cluster, prepared.plan, options.nodes);
      const share = Math.round(prepared.macsOnNodes * 100);
      out.note(
        `model ${deployment.name}: ${prepared.plan.reason}; ${share} % of the computing on ${options.nodes === 1 ? '1 node' : `${options.nodes} nodes`}; ${costInWords(prepared.cost)}`,
      );
      if (options.camera === 'none') {
        const { untilStopped } = await import('../signals.ts');
        out.note(`waiting for frames on ${settings.mqtt.base_topic}/input/<camera>; Ctrl-C stops`);
        await untilStopped(end);
        relieved.signal.throwIfAborted();
        return 0;
      }
      const { specs } = deployment.resolved;
      const regions = prepared.forms.flatMap(({ tiles }) => tiles.flatMap(({ out }) => out));
      const rawBytes = regions.reduce(
        (sum, { tensor, box }) => sum + byteLength({ dtype: specs.get(tensor)!.dtype, shape: boxShape(box) }),
        0,
      );
      const demo = { ...options, rawBytes, json, out, signal: end, log, stateDir, server: cluster.bus.url, settings };
      const tally = await demonstrate(cluster, settings.mqtt.base_topic, demo);
      relieved.signal.throwIfAborted();
      return options.frames !== undefined && !signal.aborted && tally.ok < options.frames ? 1 : 0;
    } finally {
      await cluster.stop();
    }
  },
});

/** Which broker to use or start, and who may come in where the listener is reachable. */
async function brokerFor(
  options: { broker: string | undefined; listen: string | undefined },
  configured: readonly string[] | undefined,
  settings: Config,
  stateDir: string,
): Promise<Pick<ClusterOptions, 'bus' | 'agentEnv' | 'listen' | 'guests' | 'tls'>> {
  if (options.broker !== undefined) {
    if (options.listen !== undefined)
      throw new TesseraError('TESSERA_USAGE', '--broker and --listen exclude each other', {
        hint: '--broker uses a broker that runs; --listen says where the embedded one listens',
      });
    const { busOptions } = await import('../connect.ts');
    const { silentLog } = await import('../../shared/ports.ts');
    const { clientId: _, log: __, ...bus } = await busOptions(settings, '', silentLog);
    return { bus, agentEnv: tlsEnvironment(settings) };
  }
  if (options.listen === undefined && configured !== undefined) return configuredBroker(configured, settings, stateDir);
  const { choosePort, isLoopback, parseListen, reachableHost, urlHost } = await import('../listen.ts');
  const address = parseListen(options.listen ?? '127.0.0.1');
  const port = await choosePort(address);
  if (isLoopback(address.host)) return { listen: [`mqtt://${urlHost(address.host)}:${port}`] };
  const { brokerTls } = await import('../connect.ts');
  const { createCredentials } = await import('../../broker/credentials.ts');
  const tls = await brokerTls(settings);
  const scheme = tls === undefined ? 'mqtt' : 'mqtts';
  const credentials = await createCredentials(join(stateDir, 'broker'));
  const server = `${scheme}://${urlHost(reachableHost(address.host))}:${port}`;
  // The cluster's own clients come over loopback, without a password; 0.0.0.0 is loopback too, unless it speaks TLS.
  const isEverywhere = address.host === '0.0.0.0' || address.host === '::';
  const local = tls !== undefined ? ['mqtt://127.0.0.1:0'] : isEverywhere ? [] : [`mqtt://127.0.0.1:${port}`];
  const listen = [...local, `${scheme}://${urlHost(address.host)}:${port}`];
  return { listen, guests: { credentials, server }, tls };
}

/** The broker as `broker.listen` of the configuration says it. */
async function configuredBroker(
  urls: readonly string[],
  settings: Config,
  stateDir: string,
): Promise<Pick<ClusterOptions, 'listen' | 'guests' | 'tls'>> {
  const [{ parseListen, isLoopback }, { reachableHost, urlHost }, { brokerTls }, { createCredentials }] =
    await Promise.all([
      import('../../broker/listen.ts'),
      import('../listen.ts'),
      import('../connect.ts'),
      import('../../broker/credentials.ts'),
    ]);
  const addresses = urls.map((url) => ({ url, ...parseListen(url) }));
  const tls = await brokerTls(settings);
  // The cluster's own clients come over loopback, without a password.
  const isLocal = ({ scheme, host }: { scheme: string; host: string }): boolean =>
    scheme === 'mqtt' && (isLoopback(host) || host === '0.0.0.0' || host === '::');
  const local = addresses.find(isLocal);
  const others = addresses.filter((address) => address !== local).map(({ url }) => url);
  const listen = [local?.url ?? 'mqtt://127.0.0.1:0', ...others];
  const open = addresses.filter(({ host }) => !isLoopback(host));
  const guest =
    open.find(({ scheme }) => scheme === 'mqtts') ?? open.find(({ scheme }) => scheme === 'mqtt') ?? open[0];
  if (guest === undefined) return { listen, tls };
  if (guest.port === 0)
    throw new TesseraError('TESSERA_CONFIG', `broker.listen: ${guest.url} has no port that other machines could know`, {
      hint: 'name one: 1883, or 8883 for mqtts',
    });
  const server = `${guest.scheme}://${urlHost(reachableHost(guest.host))}:${guest.port}`;
  return { listen, guests: { credentials: await createCredentials(join(stateDir, 'broker')), server }, tls };
}

/** Refuses what cannot hold here, rather than not to do it. Throws TESSERA_CONFIG. */
function checkSettings({ central, broker }: Config, usesOther: boolean): void {
  if (central.standby)
    throw new TesseraError('TESSERA_CONFIG', 'central.standby is true, and `up` never waits for another central', {
      hint: 'leave it out, or run `tessera central --standby`',
    });
  if (broker.anonymous === 'never' && !usesOther)
    throw new TesseraError(
      'TESSERA_CONFIG',
      'broker.anonymous is "never", and the programs of `up` have no passwords',
      {
        hint: 'leave it out, or run `tessera broker`, `tessera central` and `tessera agent`, each with its own',
      },
    );
}

/** What a configuration says of node agents, for processes that may not see its file. */
function nodeEnvironment({ node, log }: Config): Record<string, string> {
  return {
    TESSERA_NODE__TIER: node.tier,
    TESSERA_NODE__MEMORY_MB: String(node.memory_mb),
    TESSERA_NODE__TRUSTED_KEYS: JSON.stringify(node.trusted_keys),
    TESSERA_LOG__FORMAT: log.format,
  };
}

/** The certificates of a configuration for processes that may not see its file. */
function tlsEnvironment({ mqtt }: Config): Record<string, string> {
  const { ca, cert, key, reject_unauthorized } = mqtt;
  const said = { CA: ca, CERT: cert, KEY: key, REJECT_UNAUTHORIZED: String(reject_unauthorized) };
  return Object.fromEntries(
    Object.entries(said).flatMap(([name, value]) => (value === undefined ? [] : [[`TESSERA_MQTT__${name}`, value]])),
  );
}

/** Says how a second machine comes in. */
async function inviteSecondMachine(
  desk: Desk,
  { credentials, server }: Guests,
  isTls: boolean,
  note: Output['note'],
  where: Pick<SecretOutputOptions, 'file' | 'folder' | 'isTerminal'>,
) {
  if (isTls) {
    note(
      `a second machine needs a certificate that broker.ca signed; then, in its folder of Tessera: ${IN_ITS_FOLDER} agent --broker ${server}`,
    );
    return;
  }
  const { INVITATION_S, inviteNode } = await import('../invite.ts');
  await desk.untilKey(AbortSignal.timeout(KEY_MS));
  const known = new Set(credentials.users().map(({ user }) => user));
  let number = 2;
  while (known.has(`machine-${number}`)) number++;
  const { token } = await inviteNode(`machine-${number}`, INVITATION_S, (asked) => desk.invite(asked));
  const line = `${IN_ITS_FOLDER} agent --join ${token}`;
  const show = (text: string): void => note(`on a second machine, in its folder of Tessera, within the hour: ${text}`);
  await new SecretOutput({ ...where, show, note }).tell(`machine-${number}`, line);
}

interface Tally {
  ended: number;
  ok: number;
  drawn: number;
  right: number;
}

interface Demonstration {
  readonly camera: string;
  readonly frames: number | undefined;
  readonly fps: number;
  /** Bytes of all that a frame's parts answer, before any codec. */
  readonly rawBytes: number;
  readonly json: boolean;
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly log: ClusterOptions['log'];
  readonly stateDir: string;
  /** Address of the broker, and what commands use where nobody names one. */
  readonly server: string;
  readonly settings: Config;
}

async function demonstrate(cluster: Cluster, base: string, demo: Demonstration): Promise<Tally> {
  const { connectBus } = await import('../../shared/runtime/mqtt.ts');
  const { topics } = await import('../../shared/protocol/topics.ts');
  const { FrameClient } = await import('../frames.ts');
  const { openSource } = await import('../camera/source.ts');
  const { runCamera } = await import('../camera/run.ts');
  const { LEGEND, nextSteps, saveDemoPicture } = await import('../demo-hints.ts');
  const { out, json, log } = demo;
  const tally: Tally = { ended: 0, ok: 0, drawn: 0, right: 0 };
  const bus = await connectBus({ ...cluster.bus, clientId: `${base}-camera-${process.pid}`, log });
  let source: Source | undefined;
  let shown: Promise<void> | undefined;
  try {
    const client = new FrameClient(bus, topics(base), CAMERA);
    await client.start();
    source = await openSource(demo.camera, bus);
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
    await runCamera({ client, source, fps: demo.fps, frames: demo.frames, signal: demo.signal, onResult, onLost });
    await shown;
    const truth = tally.drawn === 0 ? '' : `, ${tally.right} of ${tally.drawn} predictions true to what was drawn`;
    out.note(`${tally.ended} frames, ${tally.ok} ok${truth}`);
    return tally;
  } finally {
    await source?.stop();
    await bus.stop();
  }
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;

/** One prediction as a line: what was seen and drawn, how long it took, which node did how many tiles, what travelled. */
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
  const bytes = `${kilobytes(result.bytes_up)} out, ${kilobytes(result.bytes_down)} back${before}`;
  const seen = `${whatWasFound(result)}${drawn}`;
  return `${result.frame.padEnd(22)} ${seen.padEnd(34)} ${String(Math.round(result.latency_ms)).padStart(5)} ms  ${tiles}  ${bytes}`;
}
