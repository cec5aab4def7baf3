import { startBroker } from '../broker/broker.ts';
import type { RunningBroker } from '../broker/broker-options.ts';
import type { CentralSessionLimits } from '../broker/central-session.ts';
import { type EnrolmentOptions, EnrolmentService } from '../broker/enrolment-service.ts';
import type { ListenTls } from '../broker/listen.ts';
import type { Central } from '../central/central.ts';
import type { BrokerConnection, CentralOptions } from '../central/central-options.ts';
import { refusalText } from '../central/coordinator/fallback-reason.ts';
import { startCentral } from '../central/open-central.ts';
import { TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { type AgentProcess, startAgentProcess } from './agent-process.ts';
import { announcementOf, BrokerAnnouncement } from './broker-announcement.ts';
import { machineDefaults } from './machine.ts';

/** How a cluster on this machine is made. */
export interface ClusterOptions {
  /** Node agents to start, each a process of its own. */
  readonly nodes: number;
  /** Where the embedded broker listens; with `bus` none is started and the cluster uses that broker. */
  readonly listen?: readonly string[];
  readonly bus?: BrokerConnection;
  /** Who may come from other machines, and the broker's address as those reach it. */
  readonly remoteAccess?: Pick<EnrolmentOptions, 'credentials' | 'server' | 'updateKeys'>;
  /** Whether the local network is told of the embedded broker, where other machines may come in. */
  readonly isAnnounced?: boolean;
  readonly tls?: ListenTls | undefined;
  /** Starts the bridge of the embedded broker, if it is to have one. */
  readonly bridge?: (broker: RunningBroker) => Promise<{ stop(): Promise<void> } | undefined>;
  /** Names and origins that WebSocket listeners of the embedded broker take beside their own. */
  readonly web?: { readonly hosts: readonly string[]; readonly origins: readonly string[] };
  /** Persistent sessions of the embedded broker, and their folder; by default in memory. */
  readonly sessions?: { readonly central: CentralSessionLimits; readonly folder: string };
  readonly base: string;
  /** Of central; otherwise the host name. */
  readonly centralId?: string | undefined;
  readonly stateDir: string;
  /** The state directory ends with the cluster. */
  readonly isTransient?: boolean;
  readonly maximumPacketSize: number;
  /** File of the key that models are signed with. */
  readonly signingKey?: string | undefined;
  readonly cameras: CentralOptions['cameras'];
  readonly acceptUnlistedCameras: boolean;
  readonly homeAssistant?: CentralOptions['homeAssistant'];
  readonly coordinator?: CentralOptions['coordinator'];
  readonly replan?: CentralOptions['replan'];
  readonly http?: CentralOptions['http'];
  /** Settings of the agents' connection from this process's configuration file, as environment. */
  readonly agentEnv?: Readonly<Record<string, string>>;
  /** Threads of each agent; otherwise the cores are shared out. */
  readonly threads?: number | undefined;
  /** Agents' ids are this, a dash and a number from 1. */
  readonly idPrefix: string;
  readonly log: Log;
}

/** Broker, central and node agents on this machine. */
export interface Cluster {
  /** Where the broker listens, for people and for clients. */
  readonly urls: readonly string[];
  readonly bus: BrokerConnection;
  readonly central: Central;
  readonly agents: readonly AgentProcess[];
  /** Enrols other machines. */
  readonly enrolment: EnrolmentService | undefined;
  stop(): Promise<void>;
}

/** The address under which this machine reaches a listener of its own. */
function localUrl(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}

/**
 * Starts a broker (unless told one), central and node agents. Agents share the blob folder of this machine, so
 * weights are stored once. When a part fails to start, the earlier ones are stopped again.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { nodes, base, stateDir, log } = options;
  const started: { stop(): Promise<void> }[] = [];
  let nodesStopping = (): void => {};
  const machine = machineDefaults();
  const stop = async (): Promise<void> => {
    nodesStopping();
    while (started.length > 0) {
      // Agents stop side by side; then central; then the broker that all of them talk to.
      const level = started.at(-1)!;
      await level.stop().catch((error) => log.warn(`while stopping: ${error}`));
      started.pop();
    }
  };
  try {
    let bus = options.bus;
    let enrolment: EnrolmentService | undefined;
    let urls: readonly string[] = bus === undefined ? [] : [bus.url];
    if (bus === undefined) {
      const broker = await startBroker({
        listen: [...(options.listen ?? ['mqtt://127.0.0.1:0'])],
        base,
        prefix: options.homeAssistant?.prefix,
        anonymous: 'loopback',
        credentials: options.remoteAccess?.credentials,
        tls: options.tls,
        maximumPacketSize: options.maximumPacketSize,
        allowedHosts: options.web?.hosts,
        allowedOrigins: options.web?.origins,
        centralSession: options.sessions?.central,
        sessionsFolder: options.sessions?.folder,
        log,
      });
      started.push(broker);
      const bridge = await options.bridge?.(broker);
      if (bridge !== undefined) started.push(bridge);
      urls = broker.urls;
      if (options.remoteAccess !== undefined) {
        const announcement = new BrokerAnnouncement(log);
        started.push(announcement);
        const onKeys = (keys: readonly string[]): void => {
          if (options.isAnnounced === true) announcement.say(announcementOf(urls, { role: 'broker', base, keys }));
        };
        enrolment = new EnrolmentService({ broker, ...options.remoteAccess, base, tls: options.tls, log, onKeys });
        started.push(enrolment);
        await enrolment.start();
      }
      bus = { url: localUrl(urls[0]!) };
    }
    const connection = bus;
    const startAgents = (): AgentProcess[] =>
      Array.from({ length: nodes }, (_, index) =>
        startAgentProcess({
          id: `${options.idPrefix}-${index + 1}`,
          broker: connection.url,
          base,
          user: connection.user,
          password: connection.password,
          env: options.agentEnv,
          threads: options.threads ?? Math.max(1, Math.floor(machine.threads / nodes)),
          stateDir,
          log,
        }),
      );
    // Processes take longest to start: at a broker of their own agents need not wait for central.
    let agents = options.bus === undefined ? startAgents() : [];
    const stopAgents = { stop: async () => void (await Promise.all(agents.map((agent) => agent.stop()))) };
    started.push(stopAgents);
    const central = await startCentral({
      bus: connection,
      id: options.centralId,
      isFirst: options.bus === undefined,
      base,
      stateDir,
      isTransient: options.isTransient,
      threads: Math.max(1, machine.threads - 1),
      sessionMemoryMb: machine.memoryMb,
      signingKey: options.signingKey,
      cameras: options.cameras,
      acceptUnlistedCameras: options.acceptUnlistedCameras,
      homeAssistant: options.homeAssistant,
      ...(options.coordinator === undefined ? {} : { coordinator: options.coordinator }),
      replan: options.replan,
      http: options.http,
      log,
    });
    started.splice(started.indexOf(stopAgents), 0, central);
    nodesStopping = () => central.nodesStopping();
    if (options.bus !== undefined) agents = startAgents();
    return { urls, bus: connection, central, agents, enrolment, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Waits until a plan is served and these many nodes have answered for it, and says on the way who refuses it. Throws
 * TESSERA_NO_NODES at once with the reason where all of them refuse it or their processes have ended; at the time-out,
 * with what each says, where some still prepare it.
 */
export async function untilReady(
  cluster: Pick<Cluster, 'central' | 'agents'>,
  plan: Parameters<Central['whenReady']>[0],
  nodes: number,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    // Nodes of other machines have no process here, and are never missed.
    const ended = cluster.agents.filter((agent) => agent.hasEnded).length;
    const left = nodes - Math.min(nodes, ended);
    if (nodes > 0 && left === 0)
      throw new TesseraError('TESSERA_NO_NODES', `all ${nodes} node agents ended by themselves`, {
        hint: 'their messages are above',
      });
    const next = new AbortController();
    for (const agent of cluster.agents) if (!agent.hasEnded) void agent.ended.then(() => next.abort());
    const timeLeft = deadline - performance.now();
    const readiness = await cluster.central.whenReady(plan, left, { timeoutMs: timeLeft, signal: next.signal });
    const { ready, preparing, refused, isServed } = readiness;
    if (isServed && ready.length > 0 && ready.length + refused.length >= left) return;
    if (isServed && left === 0) return;
    if (left > 0 && refused.length >= left) {
      const text = refusalText(refused, refused.length);
      throw new TesseraError('TESSERA_NO_NODES', `no node takes plan ${plan.id}: ${text}`, {
        hint: 'fix what they report, or choose another plan: `tessera model inspect` shows where the network can be cut',
      });
    }
    if (performance.now() < deadline) continue;
    const said = refused.length === 0 ? [] : [refusalText(refused, left)];
    const waiting = preparing.length === 0 ? [] : [`still preparing it: ${preparing.join(', ')}`];
    const missing = left - ready.length - preparing.length - refused.length;
    const absent = missing > 0 ? [`not online: ${missing}`] : [];
    const what = [`${ready.length} of ${left} ready`, ...waiting, ...absent, ...said].join('; ');
    throw new TesseraError('TESSERA_NO_NODES', `plan ${plan.id} is not served after ${timeoutMs / 1000} s: ${what}`, {
      hint: 'start again with TESSERA_LOG__LEVEL=debug to see what each node does',
    });
  }
}
