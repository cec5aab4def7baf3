import { counted } from '../../shared/counted.ts';
import { fetchedText } from '../../shared/protocol/fetched.ts';
import type { PlanProgress } from '../../shared/protocol/messages/node.ts';
import { type Refusal, refusalText } from '../coordinator/fallback-reason.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';

/** Time from the start of preparation to the first line, and between lines, ms. */
const FIRST_MS = 2000;
const AGAIN_MS = 10_000;
/** Nodes that a line names. */
const MAX_NAMED = 4;

/** Answers of the nodes that were asked to prepare a plan. */
export interface PlanAnswers {
  readonly ready: readonly string[];
  readonly preparing: readonly string[];
  readonly refused: readonly (Refusal & { readonly code: string })[];
}

/** A line for the log. */
export interface ReadinessLine {
  readonly level: 'info' | 'warn';
  readonly text: string;
}

/** Which node agents are ready for a plan, preparing it, or refuse it; offline ones are left out. */
export function answersOf(plan: string, { nodes }: Snapshot): PlanAnswers {
  const ready: string[] = [];
  const preparing: string[] = [];
  const refused: (Refusal & { code: string })[] = [];
  for (const [node, { local, presence, plans, refusals }] of Object.entries(nodes)) {
    if (local || presence === 'offline') continue;
    if (plans[plan] === 'ready') ready.push(node);
    else if (plans[plan] === 'preparing') preparing.push(node);
    else if (plans[plan] === 'refused') refused.push({ node, ...refusals[plan]! });
  }
  return { ready, preparing, refused };
}

/** A node's progress with a plan in words: `fetches 34 of 59 MB`, `loads it`. */
export function progressText({ state, ...progress }: Omit<PlanProgress, 'id' | 'model'>): string {
  if (state === 'fetching') return `fetches ${fetchedText(progress)}`;
  return state === 'loading' ? 'loads it' : state === 'waiting' ? 'waits its turn' : state;
}

interface LastLine {
  /** When preparation was first seen; undefined while no node prepares the plan. */
  since: number | undefined;
  at: number;
  text: string;
  refused: string;
}

/**
 * Log lines about the nodes of a plan: how many are ready, the progress of the others, and refusals. A line never repeats
 * the line before it, and comes at most every ten seconds; a refusal comes once no node prepares the plan any more, or
 * after two seconds.
 */
export class ReadinessReport {
  readonly #lines = new Map<string, LastLine>();
  /** Progress by node, from heartbeats. */
  readonly #progress = new Map<string, readonly PlanProgress[]>();

  /** Takes in the progress of a node's heartbeat. */
  hear(node: string, plans: readonly PlanProgress[]): void {
    this.#progress.set(node, plans);
  }

  forget(node: string): void {
    this.#progress.delete(node);
  }

  /**
   * Lines that are due at `now` (ms) for plans that serve or are to serve; `models` by plan. Where a caller waits for the
   * answers (`isAwaited`), the caller reports that all nodes refuse.
   */
  lines(
    models: ReadonlyMap<string, readonly string[]>,
    snapshot: Snapshot,
    now: number,
    isAwaited = false,
  ): ReadinessLine[] {
    for (const plan of this.#lines.keys()) if (!models.has(plan)) this.#lines.delete(plan);
    const lines: ReadinessLine[] = [];
    for (const [plan, names] of models) {
      const answers = answersOf(plan, snapshot);
      const last = this.#lines.get(plan) ?? { since: undefined, at: Number.NEGATIVE_INFINITY, text: '', refused: '' };
      this.#lines.set(plan, last);
      const isBusy = answers.preparing.length > 0;
      if (isBusy) last.since ??= now;
      const refused = answers.refused.map(({ node }) => node).join();
      const isNews = refused !== '' && refused !== last.refused;
      const isEarly = isBusy && now - last.since! < FIRST_MS;
      if (!isBusy) last.since = undefined;
      const text = this.#text(plan, answers);
      if (isAwaited && !isBusy && answers.ready.length === 0) continue;
      if (text === '' || text === last.text || isEarly || (now - last.at < AGAIN_MS && !isNews)) continue;
      last.at = now;
      last.text = text;
      last.refused = refused;
      lines.push({ level: refused === '' ? 'info' : 'warn', text: `model ${names.join(', ')}: ${text}` });
    }
    return lines;
  }

  #text(plan: string, { ready, preparing, refused }: PlanAnswers): string {
    const all = ready.length + preparing.length + refused.length;
    if (all === 0) return '';
    const count = `${ready.length} of ${counted(all, 'node')} ready`;
    const at = preparing.slice(0, MAX_NAMED).map((node) => {
      const progress = this.#progress.get(node)?.find(({ id }) => id === plan);
      return `${node} ${progress === undefined ? 'prepares it' : progressText(progress)}`;
    });
    if (preparing.length > MAX_NAMED) at.push(`${preparing.length - MAX_NAMED} more prepare it`);
    const refusals = refused.length === 0 ? [] : [refusalText(refused, all)];
    return [count, ...at, ...refusals].join('; ');
  }
}
