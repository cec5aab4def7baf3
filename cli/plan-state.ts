import { plain } from '../shared/log-throttle.ts';
import { fetchedText } from '../shared/protocol/fetched.ts';
import type { Heartbeat, PlanProgress } from '../shared/protocol/messages/node.ts';

/** A node's progress with a plan in a few words: `vgg16 ready`, `vgg16 34 of 59 MB`, `vgg16 refused`. */
export function planState({ model, state, ...progress }: PlanProgress): string {
  return `${plain(model)} ${state === 'fetching' ? fetchedText(progress) : state}`;
}

/** The newest plan of each model in a heartbeat; earlier ones are about to be released. */
export function newestPlans(heartbeat: Heartbeat | undefined): PlanProgress[] {
  return [...new Map((heartbeat?.plans ?? []).map((plan) => [plan.model, plan])).values()];
}

/** Why a node refuses a model, in its own words. */
export function refusalOf({ model, text }: PlanProgress): string {
  return `refuses ${plain(model)}: ${text === undefined ? 'no reason given' : plain(text)}`;
}
