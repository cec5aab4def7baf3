import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, FrameClient } from '../../cli/frames.ts';
import { loadRequestFor } from '../../cli/models.ts';
import { resolveConfig } from '../../shared/config/layers.ts';
import type { Bus } from '../../shared/ports.ts';
import { deployedAnswer } from '../../shared/protocol/messages/requests.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { createRandom } from '../../shared/random.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import type { FormName } from '../plan-forms/forms.ts';
import { planOfForm } from '../plan-forms/plan-of-form.ts';
import { Deployment, eventually, kill, pictures, type TestBroker } from '../testbed/deployment.ts';
import { Relay } from '../testbed/relay.ts';
import type { RunningCli } from '../testbed/run-cli.ts';

/** A node agent behind a link of its own. */
export interface FaultyNode {
  readonly id: string;
  readonly relay: Relay;
  process: RunningCli;
}

/** Frames that were sent, results, and faults: lost frames, errors, outputs that differ from a run without faults. */
export interface Filmed {
  readonly answers: readonly Answer[];
  readonly problems: readonly string[];
}

/** The faults of the nodes in one run. */
export interface Disturbed extends Filmed {
  /** How often each kind of fault was made. */
  readonly faults: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const NODES = ['pi-1', 'pi-2', 'pi-3', 'pi-4'];
/** 1.6 Mbit/s */
export const SLOW_BYTES_PER_S = 200_000;
/** Frames have no deadline here: one that takes this long is lost. */
const LOST_MS = 90_000;

/** Faults by how often they are chosen; what was cut, stalled or slowed down stays so until it is repaired. */
const FAULTS = ['kill', 'kill', 'freeze', 'freeze', 'cut', 'slow', 'stall', 'repair', 'repair'] as const;

/** What is special about a faulty cluster. */
interface FaultyClusterOptions {
  /** Further cameras of central's configuration. */
  readonly cameras?: object;
  /** The form of the plan; otherwise the planner's. */
  readonly form?: FormName | undefined;
  /** By name or path; default the bundled one. */
  readonly model?: string;
}

/**
 * Four nodes around a real broker, every process its own, each node behind a link of its own; a camera that asks for
 * the network's outputs with each result, and what they are when nothing goes wrong.
 */
export class FaultyCluster {
  readonly deployment: Deployment;
  readonly broker: TestBroker;
  readonly bus: Bus;
  readonly nodes: readonly FaultyNode[];
  /** Number of different pictures. */
  readonly pictures: number;
  readonly #camera: FrameClient;
  readonly #jpegs: readonly Uint8Array[];
  /** SHA-256 of each picture's outputs when nothing goes wrong. */
  #undisturbed: readonly string[] = [];
  /** Everything that was published as a result. */
  #results: readonly ResultObject[] = [];
  /** The nodes that the plan names. */
  #used: readonly FaultyNode[];
  #sent = 0;

  private constructor(
    deployment: Deployment,
    broker: TestBroker,
    bus: Bus,
    nodes: readonly FaultyNode[],
    camera: FrameClient,
    jpegs: readonly Uint8Array[],
  ) {
    this.deployment = deployment;
    this.broker = broker;
    this.bus = bus;
    this.nodes = nodes;
    this.#used = nodes;
    this.pictures = jpegs.length;
    this.#camera = camera;
    this.#jpegs = jpegs;
  }

  /** Starts everything and waits until all nodes are ready. Throws TESSERA_USAGE where the network has no such form. */
  static async start({ cameras = {}, form, model = 'scenes' }: FaultyClusterOptions = {}): Promise<FaultyCluster> {
    const deployment = await Deployment.create();
    try {
      const { request } = await loadRequestFor(model, resolveConfig([]).config);
      const plan = form && (await planOfForm(request, form, NODES, deployment.folder));
      const broker = (await deployment.broker('embedded'))!;
      const bus = await deployment.connect(broker.url, 'test');
      const camera = await deployment.camera(bus, 'front');
      const jpegs = await pictures(10);
      const central = await deployment.central(broker.url, {
        model,
        cameras: { front: { keep: 'every', hold: 1 }, ...cameras },
      });
      await central.printed(/central is online/);
      const nodes = await Promise.all(
        NODES.map(async (id) => {
          const relay = await Relay.open(broker.port);
          return { id, relay, process: deployment.agent(relay.url, id) };
        }),
      );
      const cluster = new FaultyCluster(deployment, broker, bus, nodes, camera, jpegs);
      await Promise.all(nodes.map((node) => node.process.printed(/ready for plan/)));
      if (plan !== undefined) {
        await askRequest(bus, deployment.names, 'deploy', { plan }, deployedAnswer, LOST_MS);
        cluster.#used = nodes.filter(({ id }) => plan.stages.some(({ on }) => 'nodes' in on && on.nodes.includes(id)));
        await Promise.all(cluster.#used.map((node) => node.process.printed(new RegExp(`ready for plan ${plan.id}`))));
      }
      cluster.#results = await deployment.results(bus);
      cluster.#undisturbed = await Promise.all(jpegs.map(async (_, i) => hashOf(await cluster.send(camera, i))));
      return cluster;
    } catch (error) {
      await deployment.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    await this.deployment.end();
    await Promise.all(this.nodes.map(({ relay }) => relay.close()));
  }

  /** Sends a picture and waits for its outputs. Throws TESSERA_DEADLINE for a frame that is lost. */
  send(camera: FrameClient, picture: number): Promise<Answer> {
    const d = this.#jpegs[picture]!;
    return camera.send(`f-${this.#sent++}`, { v: 1, format: 'jpeg', d, tensors: true }, LOST_MS);
  }

  /** Sends frames, `atOnce` at a time; every one should end `ok` with the outputs of the run without faults. */
  async film(count: number, { atOnce = 6, everyMs = 0 } = {}): Promise<Filmed> {
    const answers: Answer[] = [];
    const problems: string[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let i = next++; i < count; i = next++) {
        const picture = i % this.pictures;
        try {
          const answer = await this.send(this.#camera, picture);
          answers.push(answer);
          if (hashOf(answer) !== this.#undisturbed[picture]) problems.push(`frame ${i} has other outputs`);
        } catch (error) {
          problems.push((error as Error).message);
        }
        await pause(everyMs);
      }
    };
    const published = this.#results.length;
    await Promise.all(Array.from({ length: atOnce }, lane));
    const frames = this.#results.slice(published).map(({ frame }) => frame);
    for (const frame of frames.filter((one, i) => frames.indexOf(one) < i)) problems.push(`frame ${frame} ended twice`);
    return { answers, problems };
  }

  /**
   * Sends frames while nodes are killed and started again, stopped for a while, cut off, slowed down and silenced, one
   * fault every 100 to 500 ms. The seed determines faults and nodes; the times are real.
   */
  async disturb(frames: number, seed: number): Promise<Disturbed> {
    const random = createRandom(seed);
    const faults: Record<string, number> = {};
    const thaws: Promise<void>[] = [];
    let isOver = false;
    const disturb = async (): Promise<void> => {
      while (!isOver) {
        await pause(random.between(100, 500));
        const node = random.pick(this.nodes);
        const what = random.pick(FAULTS);
        faults[what] = (faults[what] ?? 0) + 1;
        if (what === 'kill') {
          await kill(node.process);
          node.process = this.deployment.agent(node.relay.url, node.id);
        } else if (what === 'freeze') {
          const { child } = node.process;
          child.kill('SIGSTOP');
          thaws.push(pause(random.between(300, 4_000)).then(() => void child.kill('SIGCONT')));
        } else if (what === 'slow') node.relay.slow(SLOW_BYTES_PER_S);
        else node.relay[what]();
      }
    };
    const started = performance.now();
    const disturbing = disturb();
    const filmed = await this.film(frames, { atOnce: 4, everyMs: 40 });
    const seconds = (performance.now() - started) / 1000;
    isOver = true;
    await disturbing;
    await Promise.all(thaws);
    return { ...filmed, faults, seconds };
  }

  /** Every node runs with a good link again and work is distributed: throws when too few nodes take part. */
  async repair(): Promise<void> {
    for (const node of this.nodes) {
      node.process.child.kill('SIGCONT');
      node.relay.repair();
      const { exitCode, signalCode } = node.process.child;
      if (exitCode !== null || signalCode !== null) node.process = this.deployment.agent(node.relay.url, node.id);
    }
    for (const { id, process } of this.#used)
      await eventually(`${id} is ready`, () => /ready for plan/.test(process.printedSoFar), LOST_MS);
    const needed = Math.min(3, this.#used.length);
    let seen: string[] = [];
    const until = performance.now() + LOST_MS;
    while (performance.now() < until) {
      const { answers, problems } = await this.film(6);
      if (problems.length > 0) throw new Error(`after repair: ${problems.join(', ')}`);
      seen = nodesOf(answers);
      if (seen.length >= needed) return;
      await pause(200);
    }
    throw new Error(`after repair only ${seen.join(', ')} take part`);
  }
}

/** The nodes that computed parts of these frames. */
export function nodesOf(answers: readonly Answer[]): string[] {
  return [...new Set(answers.flatMap(({ result }) => result.nodes))].sort();
}

/** SHA-256 of a frame's outputs; throws where the result is not complete. */
function hashOf({ result, tensors }: Answer): string {
  if (result.status !== 'ok' || result.missing.length > 0 || tensors === undefined)
    throw new Error(`frame ${result.frame} ended ${result.status}: ${result.error?.code ?? 'tiles are missing'}`);
  const hash = createHash('sha256');
  for (const { tensor, d } of tensors.outputs) hash.update(tensor).update(d);
  return hash.digest('hex');
}
