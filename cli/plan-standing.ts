import { plain } from '../shared/log-throttle.ts';
import type { Heartbeat, PlanProgress } from '../shared/protocol/messages/node.ts';

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 && bytes > 0 ? 1 : 0);
}

/** How far a node is with a plan, in a few words: `vgg16 ready`, `vgg16 34 of 59 MB`, `vgg16 refused`. */
export function planState({ model, state, bytes = 0, of = 0 }: PlanProgress): string {
  return `${plain(model)} ${state === 'fetching' ? `${megabytes(bytes)} of ${megabytes(of)} MB` : state}`;
}

/**
 * What a node says of its plans, each model once: the newest of its plans counts, since earlier ones are on their way out.
 */
export function newestPlans(heartbeat: Heartbeat | undefined): PlanProgress[] {
  return [...new Map((heartbeat?.plans ?? []).map((plan) => [plan.model, plan])).values()];
}

/** Why a node refuses a model, in its own words. */
export function refusalOf({ model, text }: PlanProgress): string {
  return `refuses ${plain(model)}: ${text === undefined ? 'it does not say why' : plain(text)}`;
}
