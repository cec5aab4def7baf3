import { counted } from '../../shared/counted.ts';
import type { Stage } from '../../shared/plan/plan.ts';
import type { Fallback } from './frame-end.ts';
import { isPlaced, mayStandIn } from './may-run.ts';
import type { Node, PartRun, PlanRun, State } from './state.ts';

/** Why nodes do not do a part, in words for people. */

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

/** A set of nodes of which a plan says that they may do something. */
interface Group {
  /** Whether a node is one of them. */
  readonly has: (node: Node) => boolean;
  /** Their ids, where the plan names each. */
  readonly ids?: readonly string[];
  /** Who they are, as in `no ... is online`. */
  readonly title: string;
}

/** Which named nodes are not there, and since they may be misspelt, which were never seen. */
function absentText(s: State, ids: readonly string[]): string {
  const states = new Map<string, string[]>();
  for (const id of ids) {
    const presence = s.nodes.get(id)?.presence;
    if (presence === 'online') continue;
    const state = presence === undefined ? 'never seen' : presence === 'suspect' ? 'silent' : 'offline';
    states.set(state, [...(states.get(state) ?? []), id]);
  }
  return [...states].map(([state, nodes]) => `${listed(nodes)} ${state}`).join(', ');
}

/** Why none of some nodes does a stage now. */
function whyNot(s: State, { plan }: PlanRun, stage: number, group: Group, lastError: string): Fallback {
  const here = [...s.nodes.values()].filter((node) => group.has(node) && node.presence === 'online');
  const absent = group.ids === undefined ? '' : absentText(s, group.ids);
  const alsoAbsent = absent === '' ? '' : `; ${absent}`;
  if (here.length === 0)
    return { reason: 'no-nodes', text: `no ${group.title} is online${absent === '' ? '' : ` (${absent})`}` };
  const trusted = here.filter((node) => !node.audit.out);
  if (trusted.length === 0)
    return { reason: 'failed', text: `every node that is online answered wrongly and is left out${alsoAbsent}` };
  const refusals = refusalsOf(here, plan.id);
  const usable = trusted.filter((node) => node.readiness.get(plan.id)?.usable.includes(stage) === true).length;
  if (usable > 0) return { reason: 'failed', text: `nodes failed: ${lastError}`.slice(0, MAX_TEXT) };
  const refused = refusals.length === 0 ? '' : refusalText(refusals, here.length);
  if (refusals.length === here.length) return { reason: 'refused', text: `${refused}${alsoAbsent}` };
  const few = `none of ${counted(here.length, 'node')} is ready yet`;
  return { reason: 'not-ready', text: `${refused === '' ? few : `${few}; ${refused}`}${alsoAbsent}` };
}

/** Why the nodes of a part's placement do not do it now. */
export function whyNotPlaced(s: State, run: PlanRun, { id, on }: Stage, { facts, last_error }: PartRun): Fallback {
  const has = (node: Node): boolean => isPlaced(node, on, facts.t_id);
  if (on.parts !== undefined) {
    const pinned = on.parts[facts.t_id]!;
    return whyNot(s, run, id, { has, ids: [pinned], title: `node that part ${facts.t_id} is pinned to` }, last_error);
  }
  if ('tier' in on) return whyNot(s, run, id, { has, title: `node of tier ${on.tier}` }, last_error);
  const named = on.nodes === '*' ? {} : { ids: on.nodes };
  return whyNot(s, run, id, { has, ...named, title: 'node that the plan names' }, last_error);
}

/** Why no node does a part: neither those of its placement nor those that may stand in for them. */
export function whyNone(s: State, run: PlanRun, stage: Stage, part: PartRun): Fallback {
  const { reason, text } = whyNotPlaced(s, run, stage, part);
  const { fallback } = stage;
  if (fallback === 'none') return { reason, text: `${text}; the plan lets no other node do it` };
  const names = typeof fallback === 'string' ? {} : { ids: fallback };
  const group = { has: (node: Node) => mayStandIn(node, stage), ...names, title: 'node that may stand in for them' };
  const instead = whyNot(s, run, stage.id, group, part.last_error);
  if (fallback !== 'central') return { reason, text: `${text}; ${instead.text}` };
  const own = s.central.readiness.get(run.plan.id)?.text ?? '';
  return { reason, text: own !== '' && text.includes(own) ? `${text}; so does central` : `${text}; ${instead.text}` };
}
