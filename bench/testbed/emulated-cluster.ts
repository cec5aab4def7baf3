import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createCredentials } from '../../broker/credentials.ts';
import { failureOf, TesseraError } from '../../shared/errors.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import { Callee } from './calls.ts';
import type { ClusterEvent, ClusterFile, Device } from './cluster-file.ts';
import { type ControlGroup, ControlGroups } from './control-groups.ts';
import { startCallee, within } from './device.ts';
import type { driver } from './driver-process.ts';
import { Network, namespaces, removeNamespaces } from './namespaces.ts';
import type { recording } from './recorder-process.ts';
import { RunningCli } from './run-cli.ts';

/*
 * An emulated cluster: broker and central on one device, each node agent on one of its own. A device is a control group
 * and a network namespace; the camera is in the namespace of broker and central, and outside of their group.
 *
 * 1. Names of groups and namespaces begin with PREFIX and this process's id; those of processes that are gone are
 *    removed at the next start.
 * 2. While the cluster starts, there is no limit of CPU time; `limit` sets those of the file.
 * 3. State directories stay between runs: nodes keep their blobs, central its plan.
 */

const PREFIX = 'tessera-bed-';
const BASE = 'base';
const PORT = 1883;
const CAMERA = 'testbed';
/** Less than two cores, so that programs which ask for the number of cores are told one, as on the emulated devices. */
const STARTING_CORES = 1.9;
const READY_MS = 600_000;

/** What an emulated cluster needs. */
export interface EmulatedOptions {
  readonly file: ClusterFile;
  /** Folder of a model. */
  readonly model: string;
  /** Folder of the state directories. */
  readonly state: string;
  /** What happens, for people. */
  readonly note: (text: string) => void;
}

interface RunningDevice {
  readonly group: ControlGroup;
  readonly limits: Device;
  readonly namespace: string;
}

interface RunningNode extends RunningDevice {
  readonly id: string;
  readonly password: string;
  agent: RunningCli | undefined;
}

/** Broker, central, and node agents on emulated devices. */
export class EmulatedCluster {
  readonly driver: Callee<typeof driver>;
  /** Records frames at central. */
  readonly recorder: Callee<typeof recording>;
  /** Ids of processes: CPU time of broker and central. */
  readonly pids: { readonly broker: number; readonly central: number };
  readonly #groups: ControlGroups;
  readonly #network: Network;
  readonly #base: RunningDevice;
  readonly #baseAddress: string;
  readonly #nodes: readonly RunningNode[];
  readonly #options: EmulatedOptions;

  private constructor(
    groups: ControlGroups,
    network: Network,
    base: RunningDevice,
    baseAddress: string,
    nodes: readonly RunningNode[],
    processes: Pick<EmulatedCluster, 'driver' | 'recorder' | 'pids'>,
    options: EmulatedOptions,
  ) {
    this.#groups = groups;
    this.#network = network;
    this.#base = base;
    this.#baseAddress = baseAddress;
    this.#nodes = nodes;
    this.#options = options;
    this.driver = processes.driver;
    this.recorder = processes.recorder;
    this.pids = processes.pids;
  }

  /** Starts devices, broker and central; `removeEmulated` removes everything, also where this fails. */
  static async start(options: EmulatedOptions): Promise<EmulatedCluster> {
    const { file, model, state, note } = options;
    const groups = ControlGroups.open();
    await removeLeftovers(groups);
    const network = await Network.open(runName());
    const device = async (name: string, limits: Device) => {
      const address = await network.attach(name, limits.mbps ?? undefined);
      const group = groups.make(`${runName()}-${name}`, { cores: STARTING_CORES, memoryMb: limits.memory_mb });
      return { group, limits, namespace: network.namespace(name), address };
    };
    const base = await device(BASE, file.base);
    const brokerState = join(state, 'broker');
    makePath(join(brokerState, 'broker'));
    const credentials = await createCredentials(join(brokerState, 'broker'));
    const nodes: RunningNode[] = [];
    for (let i = 1; i <= file.nodes; i++) {
      const id = `node-${i}`;
      const { password } = await credentials.issue('node', id);
      nodes.push({ id, password, agent: undefined, ...(await device(id, file.device)) });
    }
    note(`devices are made: ${counted(nodes.length)} and that of broker and central`);
    const under = within(base.group, base.namespace);
    const broker = new RunningCli(['broker', '--listen', `127.0.0.1:${PORT}`, '--listen', `${base.address}:${PORT}`], {
      under,
      env: { STATE_DIRECTORY: brokerState },
    });
    await broker.printed(/broker: mqtt:/);
    const config = join(state, 'central.json');
    await writeFile(config, JSON.stringify(centralSettings()));
    const recorderUrl = pathToFileURL(compiledFile(import.meta.url, './recorder-process.ts'));
    const central = new RunningCli(
      [
        'central',
        '--broker',
        `mqtt://127.0.0.1:${PORT}`,
        '--model',
        model,
        '--nodes',
        String(file.nodes),
        '--config',
        config,
      ],
      {
        under,
        ipc: true,
        env: { STATE_DIRECTORY: join(state, 'central'), NODE_OPTIONS: `--import=${recorderUrl}` },
      },
    );
    const driver = startCallee<typeof import('./driver-process.ts').driver>(
      './driver-process.ts',
      within(undefined, base.namespace),
    );
    await driver.ready;
    await driver.call('connect', { url: `mqtt://127.0.0.1:${PORT}`, camera: CAMERA });
    const recorder = new Callee<typeof recording>('central', central.child);
    await central.printed(/central is online/);
    note('central is online');
    const pids = { broker: broker.child.pid!, central: central.child.pid! };
    return new EmulatedCluster(groups, network, base, base.address, nodes, { driver, recorder, pids }, options);
  }

  /** Starts the node agents that are not running. */
  startNodes(): void {
    for (const node of this.#nodes) {
      if (node.agent !== undefined) continue;
      node.agent = new RunningCli(
        ['agent', '--broker', `mqtt://${this.#baseAddress}:${PORT}`, '--id', node.id, '--threads', '1'],
        {
          under: within(node.group, node.namespace),
          env: {
            STATE_DIRECTORY: join(this.#options.state, node.id),
            TESSERA_MQTT__USER: node.id,
            TESSERA_MQTT__PASSWORD: node.password,
          },
        },
      );
    }
  }

  /** Has central serve a plan, and waits until all nodes that it names are ready. */
  async deploy(plan: Plan): Promise<void> {
    const wanted = nodesOf(
      plan,
      this.#nodes.map(({ id }) => id),
    );
    const until = performance.now() + READY_MS;
    for (;;) {
      const deployed = await this.driver.call('deploy', { plan }).catch((error: unknown) => failureOf(error));
      if ('code' in deployed) {
        // Central answers while nodes still prepare it; then it is asked again.
        const isLate = deployed.code === 'TESSERA_NO_NODES' || deployed.code === 'TESSERA_DEADLINE';
        if (!isLate || performance.now() > until) throw new TesseraError(deployed.code, deployed.message, deployed);
        this.#options.note(deployed.message);
        continue;
      }
      const [refused] = deployed.refused;
      if (refused !== undefined) throw new Error(`${refused.node} refuses the plan: ${refused.text}`);
      const missing = wanted.filter((id) => !deployed.ready.includes(id));
      if (missing.length === 0) return;
      if (performance.now() > until) throw new Error(`not ready: ${missing.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Sets the limits of CPU time that the file gives, or takes them away. */
  limit(isLimited: boolean): void {
    for (const { group, limits } of [this.#base, ...this.#nodes])
      group.limitCpu(isLimited ? limits.cores : STARTING_CORES);
  }

  /** A group like those of the nodes, without a network: for what the cluster is compared with. */
  single(): { readonly group: ControlGroup; readonly under: string[] } {
    const { memory_mb } = this.#options.file.base;
    const group = this.#groups.make(`${runName()}-single`, { cores: undefined, memoryMb: memory_mb });
    return { group, under: within(group, undefined) };
  }

  /** CPU time so far, ms: of the device of broker and central, and of each node. */
  cpu(): { readonly base: number; readonly nodes: readonly number[] } {
    return { base: this.#base.group.cpuMs(), nodes: this.#nodes.map(({ group }) => group.cpuMs()) };
  }

  /** Does what the file says for a frame. */
  async happen(frame: number): Promise<void> {
    for (const event of this.#options.file.events)
      if (event.frame === frame)
        for (const number of event.nodes) {
          const node = this.#nodes[number - 1];
          if (node !== undefined) await this.#happenTo(node, event);
        }
  }

  async #happenTo(node: RunningNode, event: ClusterEvent): Promise<void> {
    const { cores, mbps } = node.limits;
    switch (event.do) {
      case 'slow':
        return node.group.limitCpu(cores * event.factor);
      case 'stop':
        return void node.agent?.child.kill('SIGSTOP');
      case 'kill':
        return void node.agent?.child.kill('SIGKILL');
      case 'cut':
        return this.#network.cut(node.id, true);
      case 'throttle':
        return this.#network.rate(node.id, event.mbps);
      case 'restore':
        node.group.limitCpu(cores);
        node.agent?.child.kill('SIGCONT');
        await this.#network.cut(node.id, false);
        if (mbps !== null) await this.#network.rate(node.id, mbps);
    }
  }
}

/** Why this machine has no emulated clusters; undefined where it has. */
export async function whyNotHere(): Promise<string | undefined> {
  try {
    ControlGroups.open().make(`${runName()}-try`, { cores: 1, memoryMb: 256 });
    const network = await Network.open(`${runName()}-try`);
    await network.attach('device', 100);
    return undefined;
  } catch (error) {
    return failureOf(error).message;
  } finally {
    await removeEmulated().catch(() => {});
  }
}

/** Removes the groups, processes and namespaces of this process's clusters. */
export async function removeEmulated(): Promise<void> {
  // Side by side: who ends a benchmark may not wait for long.
  const groups = ControlGroups.open().named(`${runName()}-`);
  await Promise.all(groups.map((group) => group.remove()));
  await removeNamespaces(`${runName()}-`);
}

/** Removes what earlier runs left that were killed. */
async function removeLeftovers(groups: ControlGroups): Promise<void> {
  const isLeft = (name: string): boolean => {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && Number(pid) !== process.pid && !isBenchmark(pid);
  };
  for (const group of groups.named(PREFIX)) if (isLeft(group.name)) await group.remove();
  for (const name of await namespaces()) if (isLeft(name)) await removeNamespaces(name);
}

/** Whether a process with this id runs, and is a Node program: ids are used again. */
function isBenchmark(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('node');
  } catch {
    return false;
  }
}

const runName = (): string => `${PREFIX}${process.pid}`;

/** The nodes that a plan's stages may run on. */
function nodesOf({ stages }: Plan, all: readonly string[]): readonly string[] {
  const named = stages.flatMap(({ on }) => on.parts ?? ('nodes' in on && on.nodes !== '*' ? on.nodes : all));
  return all.filter((id) => named.includes(id));
}

function centralSettings() {
  return {
    version: 1,
    cameras: { [CAMERA]: { models: [], keep: 'every' } },
    central: { audit_share: 0 },
    planner: { replan: false },
  };
}

const counted = (nodes: number): string => `${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
