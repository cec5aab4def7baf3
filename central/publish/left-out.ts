import { randomInt } from 'node:crypto';
import type { Log } from '../../shared/ports.ts';
import type { LeftOut } from '../../shared/protocol/messages/node.ts';
import type { AuditUndecidedEffect, LeaveOutEffect, LetInEffect } from '../coordinator/effects.ts';

/** A seed for choosing what is audited, which no node can know. */
export function auditSeed(): number {
  return randomInt(2 ** 32);
}

/** Results that the log names; the topic has them all. */
const NAMED = 3;

/** Says which nodes answered wrongly and get no work: in the log, and as what stands on a topic. */
export class LeftOutNodes {
  readonly #log: Log;
  readonly #stand: (standing: LeftOut) => void;
  readonly #nodes: LeftOut['nodes'] = {};

  constructor(log: Log, stand: (standing: LeftOut) => void) {
    this.#log = log;
    this.#stand = stand;
  }

  /** Says that none is left out, as at the start: what an earlier central found is forgotten. */
  start(): void {
    this.#stand({ v: 1, nodes: this.#nodes });
  }

  /** Says what an audit found out; `time` is Unix seconds. */
  say(effect: AuditUndecidedEffect | LeaveOutEffect | LetInEffect, time: number): void {
    if (effect.type === 'let-in') {
      delete this.#nodes[effect.node];
      this.#log.warn(`${effect.node}, which was left out, has been restarted and gets work again`);
      this.start();
      return;
    }
    const { plan, stage, t_id } = effect;
    const where = `tile ${t_id} of stage ${stage} of plan ${plan}`;
    if (effect.type === 'audit-undecided') {
      const nodes = effect.nodes.join(' and ');
      this.#log.warn(`${nodes} answer differently for ${where}, and central could not compute it to decide`);
      return;
    }
    const { node, frames } = effect;
    const reason = `it answered wrongly for ${where}`;
    const used =
      frames.length === 0 ? '' : `; results that used it before: ${frames.slice(-NAMED).reverse().join(', ')}`;
    const more = frames.length > NAMED ? ` and ${frames.length - NAMED} more` : '';
    this.#log.error(`${node} gets no more work until its agent is restarted: ${reason}${used}${more}`);
    this.#nodes[node] = { since: time, reason, results: [...frames] };
    this.start();
  }
}
