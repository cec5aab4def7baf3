import { type Form, heldBy, type Shape, soloists, tiledForm, wholeForm } from './forms.ts';
import { isDivided, type Stages, type Step } from './stages.ts';

/** Stages to the end of the network, and how long they take one after another. */
export interface Way {
  readonly steps: readonly Step[];
  readonly ms: number;
}

/** The best way on from a place, as a list; without a step at the end of the network, and where no way leads on. */
interface Onward {
  readonly ms: number;
  readonly step?: Step;
  readonly rest?: Onward;
}

/** A stage and the best way on from it; `least`: what both take at least. */
interface Move {
  readonly step: Step;
  readonly rest: Onward;
  readonly least: number;
}

const NOWHERE: Onward = { ms: Number.POSITIVE_INFINITY };

function stepsOf(onward: Onward): Step[] {
  const steps: Step[] = [];
  for (let at: Onward | undefined = onward; at?.step !== undefined; at = at.rest) steps.push(at.step);
  return steps;
}

/**
 * Ways through a network in stages that are whole, in tiles, or, where they have one product, in slices of channels. The
 * fastest way on from a place depends only on who has what there, so it is found by dynamic programming from the end of
 * the network (AOFL, FlexPie). A stage is counted as if it began when all of the one before it has ended.
 */
export class Search {
  readonly #stages: Stages;
  /** The forms in which a stage can end at each place. */
  readonly #forms: readonly (readonly Form[])[];
  /** The best way on from each form, and the best of those in which a stage is divided. */
  readonly #any = new Map<Form, Onward>();
  readonly #split = new Map<Form, Onward>();
  readonly #moves: (readonly Move[])[] = [];

  /** `shapes`: the grids in which tile stages are divided. */
  constructor(stages: Stages, shapes: readonly Shape[]) {
    this.#stages = stages;
    this.#forms = formsOf(stages, shapes);
    for (let place = stages.count - 1; place > 0; place--) {
      const moves = this.#movesFrom(place);
      this.#moves[place] = moves.any;
      for (const form of this.#forms[place]!) {
        this.#any.set(form, this.#best(place, form, moves.any));
        this.#split.set(form, place === stages.count - 1 ? NOWHERE : this.#best(place, form, moves.split));
      }
    }
  }

  /** The best ways in which a stage is divided, the fastest first, no two with the same first stage. */
  ways(): Way[] {
    const found: Way[] = [];
    const frame = this.#stages.frame();
    this.#forms.forEach((forms, to) => {
      for (const form of forms) {
        if (!this.#stages.isAsked(0, to, form)) continue;
        const then = (isDivided(form) ? this.#any : this.#split).get(form)!;
        const ms = this.#stages.stageMs(frame, 0, to, form) + then.ms;
        if (ms < Number.POSITIVE_INFINITY)
          found.push({ ms, steps: stepsOf({ ms, step: { from: 0, to, form }, rest: then }) });
      }
    });
    return found.sort((a, b) => a.ms - b.ms);
  }

  /** The best way on from a place at which a stage ended with a form that need not be one of the search's. */
  after(place: number, form: Form): Way {
    const best = this.#best(place, form, this.#moves[place]!);
    return { ms: best.ms, steps: stepsOf(best) };
  }

  /** The stages that can begin at a place, in the order of the least time that they and what follows take. */
  #movesFrom(from: number): { readonly any: readonly Move[]; readonly split: readonly Move[] } {
    const any: Move[] = [];
    const split: Move[] = [];
    for (let to = from + 1; to < this.#stages.count; to++)
      for (const form of this.#forms[to]!) {
        const ms = this.#stages.partsMs(from, to, form);
        if (ms === undefined || !this.#stages.isAsked(from, to, form)) continue;
        const step = { from, to, form };
        const least = Math.max(...ms);
        const rest = this.#any.get(form)!;
        any.push({ step, rest, least: least + rest.ms });
        const onward = isDivided(form) ? rest : this.#split.get(form)!;
        split.push({ step, rest: onward, least: least + onward.ms });
      }
    const order = (a: Move, b: Move): number => a.least - b.least;
    return { any: any.sort(order), split: split.sort(order) };
  }

  #best(from: number, form: Form, moves: readonly Move[]): Onward {
    const held = heldBy(form);
    if (from === this.#stages.count - 1) return { ms: this.#stages.answerMs(held) };
    let best = NOWHERE;
    for (const { step, rest, least } of moves) {
      if (least >= best.ms) break;
      const ms = this.#stages.stageMs(held, from, step.to, step.form) + rest.ms;
      if (ms < best.ms) best = { ms, step, rest };
    }
    return best;
  }
}

/** The forms in which a stage can end at each place of a network; none at the frame. */
export function formsOf(stages: Stages, shapes: readonly Shape[]): Form[][] {
  const { fleet, places } = stages;
  return places.places.map((_, place) => {
    if (place === 0) return [];
    const whole = soloists(fleet).map((machine) => wholeForm(machine, stages.tensors(place)));
    const tiled = shapes.flatMap((shape) => tiledForm(places.geometry, place, shape) ?? []);
    return [...whole, ...tiled, ...stages.slicedForms(place)];
  });
}
