import type {
  CentralModels,
  PlanRanking,
  PlanStatus,
  StatisticsMessage,
} from '../../shared/protocol/messages/central.ts';
import type { LeftOut, PlanPreparation } from '../../shared/protocol/messages/node.ts';
import type { ApiState } from './api.ts';

/** Plans of a model that are remembered. */
export const PLANS_KEPT = 10;

/** What central has published last on each topic, as the API shows it. */
export class Published {
  readonly #base: string;
  readonly #cameras = new Map<string, { status: 'online' | 'offline'; readonly labels: Map<string, string> }>();
  readonly #settings = new Map<string, Record<string, string>>();
  readonly #plans = new Map<string, PlanStatus[]>();
  readonly #progress = new Map<string, PlanPreparation>();
  readonly #rankings = new Map<string, PlanRanking>();
  #models: CentralModels['models'] = {};
  #leftOut: LeftOut['nodes'] = {};
  #stats: StatisticsMessage | null = null;

  constructor(base: string) {
    this.#base = base;
  }

  /** Takes in what central publishes; an empty payload clears a topic. */
  note(topic: string, payload: string): void {
    const [kind, first, second, third] = topic.slice(this.#base.length + 1).split('/');
    if (kind === 'camera' && third === 'state') {
      const known = this.#settings.get(first!) ?? {};
      if (payload === '') this.#settings.delete(first!);
      else this.#settings.set(first!, { ...known, [second!]: payload });
    } else if (kind === 'camera' && second === 'status') {
      if (payload === '') this.#cameras.delete(first!);
      else this.#camera(first!).status = payload as 'online' | 'offline';
    } else if (kind === 'result' && third === 'label') {
      if (payload !== '') this.#camera(first!).labels.set(second!, payload);
    } else if (kind === 'plan') {
      if (second === 'progress') this.#progress.set(first!, JSON.parse(payload) as PlanPreparation);
      else if (second === 'ranking') this.#rankings.set(first!, JSON.parse(payload) as PlanRanking);
      else this.#plan(first!, JSON.parse(payload) as PlanStatus);
    } else if (kind === 'stats') this.#stats = JSON.parse(payload) as StatisticsMessage;
    else if (kind === 'central' && second === 'models') this.#models = (JSON.parse(payload) as CentralModels).models;
    else if (kind === 'central' && second === 'left-out') this.#leftOut = (JSON.parse(payload) as LeftOut).nodes;
  }

  /** Cameras with their states and labels. */
  get cameras(): ReadonlyMap<
    string,
    { readonly status: 'online' | 'offline'; readonly labels: Record<string, string> }
  > {
    return new Map(
      [...this.#cameras].map(([name, { status, labels }]) => [name, { status, labels: Object.fromEntries(labels) }]),
    );
  }

  /** Settings of cameras. */
  get settings(): Record<string, Record<string, string>> {
    return Object.fromEntries(this.#settings);
  }

  /** The parts of the state that are what was published. */
  get states(): Pick<ApiState, 'models' | 'plans' | 'progress' | 'rankings' | 'left_out' | 'stats'> {
    return {
      models: this.#models,
      plans: Object.fromEntries(this.#plans),
      progress: Object.fromEntries(this.#progress),
      rankings: Object.fromEntries(this.#rankings),
      left_out: this.#leftOut,
      stats: this.#stats,
    };
  }

  #camera(name: string): { status: 'online' | 'offline'; readonly labels: Map<string, string> } {
    const known = this.#cameras.get(name) ?? { status: 'offline', labels: new Map<string, string>() };
    this.#cameras.set(name, known);
    return known;
  }

  #plan(model: string, status: PlanStatus): void {
    const before = (this.#plans.get(model) ?? []).filter(({ id, since }) => id !== status.id || since !== status.since);
    this.#plans.set(model, [...before, status].slice(-PLANS_KEPT));
  }
}
