import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import { drainedNodes } from '../../shared/protocol/messages/node.ts';
import { type NodeDrain, nodeDrain } from '../../shared/protocol/messages/requests.ts';
import { MAX_STATE_BYTES, type NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { answerRequests, handler } from '../../shared/runtime/requests.ts';
import type { Publisher } from '../publish/publisher.ts';

/** What `Drains` needs. */
export interface DrainsOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly nodes: () => ReadonlyMap<string, NodeRecord>;
  /** Gives a node no new work, or work again. */
  readonly drain: (node: string, isDrained: boolean) => void;
  readonly log: Log;
}

/**
 * Which nodes get no new work: those that somebody drained (`tessera node drain`), and those that are about to be updated.
 * The former are retained on `<base>/central/central/drained`, where the next central finds them.
 */
export class Drains {
  readonly #options: DrainsOptions;
  readonly #byPeople = new Set<string>();
  #updating: readonly string[] = [];

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus, topics, log } = this.#options;
    await bus.subscribe(topics.centralDrained(CENTRAL), 1, ({ payload, retained }) => {
      if (!retained || payload.byteLength > MAX_STATE_BYTES) return;
      const read = drainedNodes.safeParse(parsed(payload));
      for (const node of read.data?.nodes ?? []) this.#set(node, true);
    });
    await answerRequests(bus, topics, { 'node-drain': handler(nodeDrain, (asked) => this.#answer(asked)) }, log);
  }

  /** The nodes that are about to be updated. */
  updating(nodes: readonly string[]): void {
    const before = this.#updating;
    this.#updating = nodes;
    for (const node of new Set([...before, ...nodes]))
      if (before.includes(node) !== nodes.includes(node)) this.#tell(node);
  }

  async #answer({ node, drained }: NodeDrain): Promise<Pick<NodeDrain, 'node' | 'drained'>> {
    const { nodes, log } = this.#options;
    if (!nodes().has(node) && !this.#byPeople.has(node))
      throw new TesseraError('TESSERA_USAGE', `there is no node ${JSON.stringify(node)}`, {
        hint: '`tessera nodes` shows them',
      });
    this.#set(node, drained);
    log.info(drained ? `${node} gets no new work` : `${node} gets work again`);
    return { node, drained };
  }

  #set(node: string, isDrained: boolean): void {
    if (this.#byPeople.has(node) === isDrained) return;
    if (isDrained) this.#byPeople.add(node);
    else this.#byPeople.delete(node);
    this.#tell(node);
    const { publisher, topics } = this.#options;
    const message = { v: 1, nodes: [...this.#byPeople].sort() };
    publisher.retain(topics.centralDrained(CENTRAL), JSON.stringify(message));
  }

  #tell(node: string): void {
    this.#options.drain(node, this.#byPeople.has(node) || this.#updating.includes(node));
  }
}

function parsed(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return undefined;
  }
}
