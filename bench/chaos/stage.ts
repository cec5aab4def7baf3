import { setTimeout as pause } from 'node:timers/promises';
import { Deployment, kill, type TestBroker } from '../testbed/deployment.ts';
import { NO_MOSQUITTO } from '../testbed/mosquitto.ts';
import type { RunningCli } from '../testbed/run-cli.ts';
import type { Act } from './acts.ts';

const EVERY = { keep: 'every', hold: 1 };

/** Broker, central and nodes, each a process, in which faults are caused. */
export class Stage {
  readonly broker: TestBroker;
  readonly cameras: readonly string[];
  readonly #deployment: Deployment;
  readonly #start: ReadonlyMap<string, () => Promise<RunningCli>>;
  readonly #running = new Map<string, RunningCli>();
  readonly #runs = new Map<string, RunningCli[]>();

  private constructor(
    deployment: Deployment,
    broker: TestBroker,
    cameras: readonly string[],
    nodes: readonly string[],
  ) {
    this.#deployment = deployment;
    this.broker = broker;
    this.cameras = cameras;
    const settings = { cameras: Object.fromEntries(cameras.map((name) => [name, EVERY])) };
    this.#start = new Map([
      ['central', () => deployment.central(broker.url, settings)],
      ...nodes.map((id) => [id, async () => deployment.agent(broker.url, id)] as const),
    ]);
  }

  /** Starts everything; resolves when central and all nodes are ready. Throws where Mosquitto is not installed. */
  static async open(
    kind: 'embedded' | 'mosquitto',
    cameras: readonly string[],
    nodes: readonly string[],
  ): Promise<Stage> {
    const deployment = await Deployment.create();
    try {
      const broker = await deployment.broker(kind, { persistent: true });
      if (broker === undefined) throw new Error(NO_MOSQUITTO);
      const stage = new Stage(deployment, broker, cameras, nodes);
      for (const name of stage.#start.keys()) await stage.#begin(name);
      await stage.#running.get('central')!.printed(/central is online/);
      for (const id of nodes) await stage.#running.get(id)!.printed(/ready for plan/);
      return stage;
    } catch (error) {
      await deployment.end();
      throw error;
    }
  }

  /** Causes a fault in all targets at once, and repairs it after the given time. */
  async act({ targets, how, forMs }: Act): Promise<void> {
    await Promise.all(targets.map((name) => this.#away(name, how)));
    await pause(forMs);
    await Promise.all(targets.map((name) => this.#back(name, how)));
  }

  /** The output of central, broker and nodes, over all runs of each. */
  logs(): Map<string, string> {
    const own = [...this.#runs].map(([name, runs]) => [name, runs.map((run) => run.printedSoFar).join('\n')] as const);
    return new Map([...own, ['broker', this.broker.log()]]);
  }

  end(): Promise<void> {
    return this.#deployment.end();
  }

  async #begin(name: string): Promise<void> {
    const running = await this.#start.get(name)!();
    this.#running.set(name, running);
    this.#runs.set(name, [...(this.#runs.get(name) ?? []), running]);
  }

  async #away(name: string, how: Act['how']): Promise<void> {
    if (name === 'broker') {
      if (how === 'kill') await this.broker.kill();
      else if (how === 'stop') await this.broker.stop();
      else this.broker.signal('SIGSTOP');
      return;
    }
    const running = this.#running.get(name)!;
    if (how === 'freeze') running.child.kill('SIGSTOP');
    else if (how === 'kill') await kill(running);
    else if (running.child.exitCode === null) await running.stop('SIGTERM');
  }

  async #back(name: string, how: Act['how']): Promise<void> {
    if (name === 'broker') {
      if (how === 'freeze') this.broker.signal('SIGCONT');
      else await this.broker.restart();
    } else if (how === 'freeze') this.#running.get(name)!.child.kill('SIGCONT');
    else await this.#begin(name);
  }

  /** Restarts processes that have ended by themselves, as a service manager does; returns their names. */
  async restartEnded(): Promise<string[]> {
    const ended = [...this.#running].filter(([, { child }]) => child.exitCode !== null).map(([name]) => name);
    for (const name of ended) await this.#begin(name);
    return ended;
  }
}
