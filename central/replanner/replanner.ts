import { CENTRAL } from '../../shared/plan/plan.ts';
import { type Change, changesOf, type Fleet } from './fleet.ts';

/** When a plan is replaced. */
export interface ReplannerOptions {
  /** The share by which a measured quantity may change before the plan is reconsidered. */
  readonly band: number;
  /** The share by which another plan has to be faster. */
  readonly least_gain: number;
  /** How long a plan serves at least, ms. */
  readonly hold_ms: number;
  /** How long a change has to last, ms. */
  readonly settle_ms: number;
}

/** How long after a change a search waits for machines that came lately to be measured, ms. */
const WAIT_MS = 10_000;
/** Pause after a search that changed nothing, in units of `settle_ms`. */
const PAUSE = 5;

/** What the replanner is told. `at`: ms of one steady clock. */
export type ReplannerEvent =
  | {
      readonly type: 'measured';
      readonly at: number;
      readonly fleet: Fleet;
      /** Whether machines that came lately have yet to be measured; absent: none. */
      readonly isComing?: boolean;
      /** Machines without which frames of the active plan fail, and which are not there. */
      readonly gone: readonly string[];
    }
  /** The latencies of frames of the active plan, and of the one before it in its last time; medians over enough frames. */
  | { readonly type: 'proved'; readonly at: number; readonly ms: number; readonly before_ms: number }
  /** A plan serves new frames from now on, whoever chose it. */
  | { readonly type: 'active'; readonly at: number; readonly plan: string }
  /** The answer to the effect `plan`: null for `better` where nothing was found, for `active_ms` if it cannot run. */
  | {
      readonly type: 'planned';
      readonly at: number;
      readonly active_ms: number | null;
      readonly better: { readonly plan: string; readonly ms: number } | null;
    };

type Measured = Extract<ReplannerEvent, { type: 'measured' }>;
type ReplannerAnswer = Extract<ReplannerEvent, { type: 'planned' }>;

/** What the replanner asks for. */
export type ReplannerEffect =
  /**
   * Find the best plan for the fleet of the last measurement. `isLocal`: only what D3's local adjustment makes of the plan
   * in use.
   */
  | { readonly type: 'plan'; readonly isLocal: boolean }
  /** Offer the plan that was found, or the one before the active one. `changes`: since the plan in use was chosen. */
  | { readonly type: 'offer'; readonly plan: string; readonly changes: readonly Change[] };

/**
 * Decides when the plan of one model is reconsidered and when it is replaced.
 *
 *   steady --a change has lasted--> planning --clearly better--> switching --the plan serves--> steady
 *                                   planning --nothing better, or the fleet has changed again--> steady
 *   steady --machines have changed--> adjusting --clearly better--> switching --served for the hold time--> planning
 *                                     adjusting --not clearly better--> planning
 *   steady --the plan proves slower than the one before it--> switching back
 *
 * 1. At most one search is under way.
 * 2. Only what left its band counts, and only after `settle_ms`. The band lies around what the last search saw. The
 *    first plan was made without measurements, so that the first ones count.
 * 3. Between the offer or the start of a plan and the next search lie at least `hold_ms`: a change that comes and goes
 *    faster switches at most once in that time. It does not begin before machines that came together are measured, `WAIT_MS` after the first change at the latest:
 *    the first of them would serve, and soon after it the best. Where frames fail, the search does not wait.
 * 4. A plan is offered only if it is faster by `least_gain`, and the fleet is still as the search saw it.
 * 5. A plan that proves slower than the one before it by `least_gain` is replaced by that one, while the fleet is as the
 *    search saw it and unless a node had left. It is not offered again before something has left its band, and a plan
 *    that came back is judged no more.
 * 6. Where no machine came or left, the plan in use is adjusted first. A plan that was found so is followed by a search
 *    among all plans.
 */
export class Replanner {
  readonly #options: ReplannerOptions;
  /** What the last search saw. */
  #seen: Fleet = new Map();
  #fleet: Fleet = new Map();
  /** Changes since the last search, with the time from which on they have lasted. */
  #changes = new Map<string, { readonly change: Change; readonly since: number }>();
  /** What the last search was for. */
  #causes: readonly Change[] = [];
  /** What the search saw that found the active plan, or that first kept it where it was made without measurements. */
  #chosenFor: Fleet = new Map();
  #isSearching = false;
  #isAdjusting = false;
  /** What a plan was adjusted for that no search has seen yet. */
  #unsearched: readonly Change[] = [];
  /** No search before this time, even where frames fail, and otherwise. */
  #pausedUntil = 0;
  #heldUntil = 0;
  #active: string | undefined;
  #offered: { readonly plan: string; readonly fleet: Fleet; readonly isTrial: boolean } | undefined;
  /** The plan before the active one, and what was seen when that was chosen, until the active one has proved itself. */
  #before: { readonly plan: string; readonly fleet: Fleet } | undefined;
  /** The plan that proved slower, and what was seen then. */
  #slower: { readonly plan: string; readonly fleet: Fleet } | undefined;

  constructor(options: ReplannerOptions) {
    this.#options = options;
  }

  /** Takes one event; answers with what is to be done. */
  handle(event: ReplannerEvent): ReplannerEffect | undefined {
    if (event.type === 'measured') return this.#onMeasured(event);
    if (event.type === 'planned') return this.#onPlanned(event);
    if (event.type === 'proved') return this.#onProved(event);
    if (event.plan !== this.#active) {
      const isTrial = this.#active !== undefined && event.plan === this.#offered?.plan && this.#offered.isTrial;
      this.#before = isTrial ? { plan: this.#active!, fleet: this.#chosenFor } : undefined;
      this.#heldUntil = event.at + this.#options.hold_ms;
      this.#chosenFor = event.plan === this.#offered?.plan ? this.#offered.fleet : this.#fleet;
    }
    this.#active = event.plan;
    this.#offered = undefined;
    return undefined;
  }

  #onMeasured({ at, fleet, gone, isComing }: Measured): ReplannerEffect | undefined {
    const { band, settle_ms } = this.#options;
    this.#fleet = fleet;
    const before = this.#changes;
    this.#changes = new Map();
    for (const change of changesOf(this.#seen, fleet, band)) {
      const name = nameOf(change);
      this.#changes.set(name, { change, since: before.get(name)?.since ?? at });
    }
    const lasting = [...this.#changes.values()].filter(({ since }) => at - since >= settle_ms);
    const changes = lasting.length > 0 ? lasting.map(({ change }) => change) : this.#unsearched;
    const causes = gone.length > 0 ? gone.map((node): Change => ({ what: 'node left', node })) : changes;
    if (this.#active === undefined || this.#isSearching || causes.length === 0) return undefined;
    if (at < this.#pausedUntil || (at < this.#heldUntil && gone.length === 0)) return undefined;
    const first = Math.min(...lasting.map(({ since }) => since));
    if (gone.length === 0 && isComing === true && at - first < WAIT_MS) return undefined;
    this.#isSearching = true;
    this.#causes = causes;
    const areTheSame = causes.every(({ what }) => what !== 'node joined' && what !== 'node left');
    return this.#plan(areTheSame && this.#unsearched.length === 0);
  }

  #plan(isLocal: boolean): ReplannerEffect {
    this.#isAdjusting = isLocal;
    this.#seen = this.#fleet;
    this.#changes = new Map();
    this.#unsearched = isLocal ? this.#causes : [];
    return { type: 'plan', isLocal };
  }

  #onPlanned({ at, ...found }: ReplannerAnswer): ReplannerEffect | undefined {
    const plan = this.#clearlyBetter(found);
    if (this.#isAdjusting && plan === undefined) return this.#plan(false);
    this.#isSearching = false;
    this.#pausedUntil = at + PAUSE * this.#options.settle_ms;
    if (plan === undefined) {
      if (this.#chosenFor.size === 0) this.#chosenFor = this.#seen;
      return undefined;
    }
    const isTrial = this.#causes.every(({ what }) => what !== 'node left');
    this.#offered = { plan, fleet: this.#seen, isTrial };
    this.#heldUntil = at + this.#options.hold_ms;
    return { type: 'offer', plan, changes: this.#sinceChosen() };
  }

  #onProved({ at, ms, before_ms }: Extract<ReplannerEvent, { type: 'proved' }>): ReplannerEffect | undefined {
    const { band, least_gain, hold_ms } = this.#options;
    const before = this.#before;
    // The answer of a search that is under way would be about another plan.
    if (before === undefined || this.#isSearching) return undefined;
    this.#before = undefined;
    if (ms <= (1 + least_gain) * before_ms || changesOf(this.#chosenFor, this.#fleet, band).length > 0)
      return undefined;
    this.#slower = { plan: this.#active!, fleet: this.#fleet };
    this.#offered = { plan: before.plan, fleet: this.#fleet, isTrial: false };
    this.#heldUntil = at + hold_ms;
    return { type: 'offer', plan: before.plan, changes: [{ what: 'slower', node: CENTRAL }] };
  }

  /** The id of the plan that was found, if the active one is to be replaced by it. */
  #clearlyBetter({ active_ms, better }: Pick<ReplannerAnswer, 'active_ms' | 'better'>): string | undefined {
    const { band, least_gain } = this.#options;
    if (better === null || better.plan === this.#active || better.plan === this.#offered?.plan) return undefined;
    if (this.#slower !== undefined && changesOf(this.#slower.fleet, this.#seen, band).length > 0)
      this.#slower = undefined;
    if (better.plan === this.#slower?.plan) return undefined;
    // Without times of a machine that it needs, and that is there, nobody knows what the plan in use takes.
    if (active_ms === null && !this.#causes.some(({ what }) => what === 'node left')) return undefined;
    if (active_ms !== null && better.ms > (1 - least_gain) * active_ms) return undefined;
    // What has changed since the search is a change of its own, once it has lasted.
    return changesOf(this.#seen, this.#fleet, band).length > 0 ? undefined : better.plan;
  }

  /**
   * What has changed since the active plan was chosen, and not only since the last search: an earlier one may have seen
   * the change that counts, and have found nothing better yet.
   */
  #sinceChosen(): readonly Change[] {
    const gone = this.#causes.filter(({ what }) => what === 'node left');
    const changes = changesOf(this.#chosenFor, this.#seen, this.#options.band);
    const all = new Map([...gone, ...changes].map((change) => [nameOf(change), change]));
    return all.size > 0 ? [...all.values()] : this.#causes;
  }
}

function nameOf({ what, node }: Change): string {
  return `${what} ${node}`;
}
