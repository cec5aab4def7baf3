import { counted } from '../../shared/counted.ts';
import type { Fallback } from './frame-end.ts';
import { isPlaced } from './plans.ts';
import type { Node, PlanRun, State } from './state.ts';

/** Why nodes do not do a stage, in words for people. */

/** Longest text of a reason, which nodes write and which goes into logs and results. */
const MAX_TEXT = 500;
/** Nodes that a text names. */
const MAX_NAMED = 4;

/** A refusal of a plan. */
export interface Refusal {
  readonly node: string;
  readonly text: string;
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return more > 0 ? `${names.slice(0, MAX_NAMED).join(', ')} and ${more} more` : names.join(', ');
}

/** Which of `of` nodes refuse a plan and why, each reason once: `pi-1, pi-3 refuse: no room`. */
export function refusalText(refusals: readonly Refusal[], of: number): string {
  const byReason = new Map<string, string[]>();
  const sorted = refusals.toSorted((a, b) => a.node.localeCompare(b.node, 'en', { numeric: true }));
  for (const { node, text } of sorted) byReason.set(text, [...(byReason.get(text) ?? []), node]);
  const parts = [...byReason].map(([text, nodes]) => {
    const all = nodes.length === of && of > 1;
    const who = all ? `all ${of} nodes` : listed(nodes);
    return `${who} ${nodes.length === 1 ? 'refuses' : 'refuse'}: ${text}`;
  });
  const text = parts.join('; ');
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 3)}...` : text;
}

/** The refusals of a plan by these nodes. */
export function refusalsOf(nodes: readonly Node[], plan: string): Refusal[] {
  return nodes.flatMap((node) => {
    const readiness = node.readiness.get(plan);
    return readiness?.state === 'refused' ? [{ node: node.id, text: readiness.text }] : [];
  });
}

/** Why nodes do not do a stage now. */
export function whyNotNodes(s: State, { plan }: PlanRun, stage: number, lastError: string): Fallback {
  const { on } = plan.stages[stage]!;
  const here = [...s.nodes.values()].filter(
    (node) => !node.isLocal && isPlaced(node, on) && node.presence === 'online',
  );
  if (here.length === 0) return { reason: 'no-nodes', text: 'no node that the plan names is online' };
  const trusted = here.filter((node) => !node.audit.out);
  if (trusted.length === 0)
    return { reason: 'failed', text: 'every node that is online answered wrongly and is left out' };
  const refusals = refusalsOf(here, plan.id);
  const usable = trusted.filter((node) => node.readiness.get(plan.id)?.usable.includes(stage) === true).length;
  if (usable > 0) return { reason: 'failed', text: `nodes failed: ${lastError}`.slice(0, MAX_TEXT) };
  const refused = refusals.length === 0 ? '' : refusalText(refusals, here.length);
  if (refusals.length === here.length) return { reason: 'refused', text: refused };
  const few = `none of ${counted(here.length, 'node')} is ready yet`;
  return { reason: 'not-ready', text: refused === '' ? few : `${few}; ${refused}` };
}
