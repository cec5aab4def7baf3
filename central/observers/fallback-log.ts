import type { LogThrottle } from '../../shared/log-throttle.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { EndedFrame } from '../effects.ts';
import type { Observer } from './observer.ts';

/**
 * Logs that stand-ins (central, unless the plan says otherwise) compute parts of a model that its plan assigns to other
 * nodes: once, until these compute them again.
 */
export class FallbackLog implements Observer {
  readonly #log: Pick<LogThrottle, 'warn'>;
  /** By model, why. */
  readonly #reasons = new Map<string, string>();

  constructor(log: Pick<LogThrottle, 'warn'>) {
    this.#log = log;
  }

  frameEnded(_: EndedFrame, { model, fallback, nodes }: ResultObject): void {
    if (fallback === undefined) {
      if (nodes.some((node) => node !== CENTRAL)) this.#reasons.delete(model);
      return;
    }
    if (this.#reasons.get(model) === fallback.reason) return;
    this.#reasons.set(model, fallback.reason);
    const text = `model ${model}: stand-ins compute parts that other nodes should compute: ${fallback.text}`;
    this.#log.warn(`fallback ${model} ${fallback.reason}`, text);
  }
}
