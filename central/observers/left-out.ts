import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
import type { LeftOut } from '../../shared/protocol/messages/node.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { NodeChange } from '../coordinator/effects.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** Results that the log names; the topic has them all. */
const NAMED = 3;

/** What `LeftOutNodes` needs. */
export interface LeftOutOptions {
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly topics: Pick<Topics, 'centralLeftOut'>;
  readonly log: Log;
  /** Unix seconds. */
  readonly time: () => number;
}

/** Publishes and logs which nodes answered wrongly in an audit and therefore get no work. */
export class LeftOutNodes implements Observer {
  readonly #options: LeftOutOptions;
  readonly #nodes: LeftOut['nodes'] = {};

  constructor(options: LeftOutOptions) {
    this.#options = options;
  }

  /** Publishes an empty list: verdicts of an earlier central do not count. */
  start(): void {
    this.#publish();
  }

  nodeChanged(change: NodeChange): void {
    const { log, time } = this.#options;
    if (change.type === 'node-event') return;
    if (change.type === 'let-in') {
      delete this.#nodes[change.node];
      log.warn(`${change.node}, which was left out, gets work again`);
      this.#publish();
      return;
    }
    const { plan, stage, t_id } = change;
    const where = `part ${t_id} of stage ${stage} of plan ${plan}`;
    if (change.type === 'audit-undecided') {
      const nodes = change.nodes.join(' and ');
      log.warn(`${nodes} answer differently for ${where}, and central could not compute it to decide`);
      return;
    }
    const { node, frames } = change;
    const reason = `it answered wrongly for ${where}`;
    const used =
      frames.length === 0 ? '' : `; results that used it before: ${frames.slice(-NAMED).reverse().join(', ')}`;
    const more = frames.length > NAMED ? ` and ${frames.length - NAMED} more` : '';
    log.error(
      `${node} gets no more work until its agent is restarted, or \`tessera node readmit ${node}\`: ${reason}${used}${more}`,
    );
    this.#nodes[node] = { since: time(), reason, results: [...frames] };
    this.#publish();
  }

  #publish(): void {
    const { publisher, topics } = this.#options;
    const message: LeftOut = { v: 1, nodes: this.#nodes };
    publisher.retain(topics.centralLeftOut(CENTRAL), JSON.stringify(message));
  }
}
