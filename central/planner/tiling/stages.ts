import type { ShareBoxes } from '../../../shared/tiling/tiles-between.ts';
import { type ChannelStage, isNoPlan, type PartCost, type Problem } from '../strategy.ts';
import { layersMs } from '../times.ts';
import type { Fleet } from './fleet.ts';
import { ALL, ableTo, crews, type Form, heldBy, proportional, slicedForm } from './forms.ts';
import type { Places } from './places.ts';
import { type Held, stageMs } from './stage-ms.ts';

/** A stage of a way through the network: the places at which it begins and ends, and how it is divided. */
export interface Step {
  readonly from: number;
  readonly to: number;
  readonly form: Form;
}

/** Whether several machines share a stage. */
export function isDivided({ division }: Form): boolean {
  return division.kind !== 'whole';
}

/** What the stages between the places of a network cost. */
export class Stages {
  readonly fleet: Fleet;
  readonly places: Places;
  /** How many places there are, frame and end included. */
  readonly count: number;
  readonly #problem: Problem;
  /** By place and tensor. */
  readonly #bytes: readonly (readonly number[])[];
  /** Multiply-adds before each place, and products. */
  readonly #macs: readonly number[];
  readonly #products: readonly number[];
  /** By beginning and end, and site. */
  readonly #whole: (readonly number[] | undefined)[] = [];
  readonly #known = new Map<Form, (readonly ShareBoxes[])[]>();
  /** What the slices of a form cost, by the place at which their stage begins. */
  readonly #sliced = new Map<Form, ReadonlyMap<number, readonly PartCost[]>>();
  readonly #tileMacs = new Map<Form, readonly Float64Array[]>();

  constructor(problem: Problem, fleet: Fleet, places: Places) {
    this.#problem = problem;
    this.fleet = fleet;
    this.places = places;
    this.count = places.places.length;
    const { tensors, layers } = problem.graph;
    const sizes = new Map(tensors.map(({ name, bytes }) => [name, bytes]));
    this.#bytes = places.places.map((place) => place.tensors.map((tensor) => sizes.get(tensor) ?? 0));
    const before = (of: (macs: number) => number): number[] => {
      const sums = [0];
      for (const { macs } of layers) sums.push(sums.at(-1)! + of(macs));
      return places.places.map(({ after }) => sums[after + 1]!);
    };
    this.#macs = before((macs) => macs);
    this.#products = before((macs) => Number(macs > 0));
  }

  /** What a stage between two places reads and makes. */
  boundary(from: number, to: number): { readonly inputs: readonly string[]; readonly outputs: readonly string[] } {
    const { places } = this.places;
    const made = [...places[to]!.tensors, ...places[to]!.outputs];
    const outputs = [...new Set(made)].filter((name) => !places[from]!.outputs.includes(name));
    return { inputs: places[from]!.tensors, outputs };
  }

  /** How many tensors cross at a place. */
  tensors(place: number): number {
    return this.#bytes[place]!.length;
  }

  /** Whether a stage ends where the user wants tile stages to end, or lies behind them. */
  isAsked(from: number, to: number, { division }: Form): boolean {
    return from >= this.places.asked || (to === from + 1 && division.kind === 'tiles');
  }

  /** The frame, where it is born. */
  frame(): Held {
    return { sites: [this.fleet.source], made: this.#bytes[0]!.map(() => ALL) };
  }

  /** The time of a stage; infinite where no stage with this form lies between the places, and where no link leads. */
  stageMs(held: Held, from: number, to: number, form: Form): number {
    const ms = this.partsMs(from, to, form);
    if (ms === undefined) return Number.POSITIVE_INFINITY;
    const work = { sites: form.machines.map(({ site }) => site), ms, needs: this.#needs(from, to, form) };
    return stageMs(this.fleet, this.#bytes[from]!, held, work);
  }

  /** The time until the network's outputs are where they are needed. */
  answerMs(held: Held): number {
    const { sink } = this.fleet;
    if (sink === undefined) return 0;
    const bytes = this.#bytes.at(-1)!;
    return stageMs(this.fleet, bytes, held, { sites: [sink], ms: [0], needs: bytes.map(() => ALL) });
  }

  /** The time of stages that follow one another from the frame on. */
  wayMs(steps: readonly Step[]): number {
    let held = this.frame();
    let ms = 0;
    for (const { from, to, form } of steps) {
      ms += this.stageMs(held, from, to, form);
      held = heldBy(form);
    }
    return ms + this.answerMs(held);
  }

  /** The times of a stage's parts; undefined where no stage with this form lies between the places. */
  partsMs(from: number, to: number, form: Form): readonly number[] | undefined {
    const { division, machines } = form;
    const sliced = this.#sliced.get(form)?.get(from);
    if (!this.#isStage(from, to) || (division.kind === 'channels' && sliced === undefined)) return undefined;
    const whole = machines.map(({ site }) => this.#wholeMs(from, to, site));
    const all = this.#macs[to]! - this.#macs[from]!;
    if (division.kind === 'whole') return whole;
    // Without multiply-adds, parts share the time evenly.
    if (all === 0) return whole.map((ms) => ms / machines.length);
    if (sliced !== undefined) return whole.map((ms, part) => (ms * sliced[part]!.macs) / all);
    if (division.kind === 'tiles' && division.padding === 'halo') {
      let macs = this.#tileMacs.get(form);
      if (macs === undefined) {
        macs = this.places.geometry.tileMacs(to, division.rows, division.cols);
        this.#tileMacs.set(form, macs);
      }
      const own = macs[from]!;
      return whole.map((ms, part) => (ms * own[part]!) / all);
    }
    return whole.map((ms, part) => ms * area(form.made[0]!, part));
  }

  /**
   * Slices of channels in which a stage can end at a place: it has the last product before the place, and is on the
   * fastest machines, in proportion to their speeds.
   */
  slicedForms(to: number): Form[] {
    const stages = new Map<number, ChannelStage>();
    for (let from = to - 1; from >= 0 && this.#products[to]! - this.#products[from]! <= 1; from--) {
      if (this.#products[from] === this.#products[to] || !this.#isStage(from, to)) continue;
      const { inputs, outputs } = this.boundary(from, to);
      const stage = this.#problem.tiler.channels(inputs, outputs);
      if (!isNoPlan(stage)) stages.set(from, stage);
    }
    const [first] = stages.values();
    if (first === undefined) return [];
    return crews(ableTo(this.fleet, 'channels')).flatMap((crew): Form[] => {
      const speeds = crew.map(({ ms }) => 1 / ms);
      const sizes = proportional(first.channels, speeds, first.step);
      if (sizes === undefined) return [];
      const form = slicedForm(sizes, crew, this.tensors(to));
      const alike = [...stages].filter(([, { channels, step }]) => channels === first.channels && step === first.step);
      this.#sliced.set(form, new Map(alike.map(([from, stage]) => [from, this.#problem.tiler.slices(stage, sizes)])));
      return [form];
    });
  }

  /** Whether a stage can lie between two places: everything that crosses the second one is made in between. */
  #isStage(from: number, to: number): boolean {
    const { places } = this.places;
    return to === this.count - 1 || !places[to]!.tensors.some((tensor) => places[from]!.tensors.includes(tensor));
  }

  /** The time that a machine takes for everything between two places. */
  #wholeMs(from: number, to: number, site: number): number {
    const at = from * this.count + to;
    let known = this.#whole[at];
    if (known === undefined) {
      const first = this.places.places[from]!.after + 1;
      const layers = Array.from({ length: this.places.places[to]!.after + 1 - first }, (_, k) => first + k);
      known = this.fleet.machines.map(({ node }) => layersMs(node, layers));
      this.#whole[at] = known;
    }
    return known[site]!;
  }

  /** What the parts of a stage need of each tensor at the place at which it begins. */
  #needs(from: number, to: number, form: Form): readonly ShareBoxes[] {
    let known = this.#known.get(form);
    if (known === undefined) {
      known = [];
      this.#known.set(form, known);
    }
    known[from] ??= this.#findNeeds(from, to, form);
    return known[from];
  }

  #findNeeds(from: number, to: number, form: Form): readonly ShareBoxes[] {
    const { division, machines, made } = form;
    const tensors = this.#bytes[from]!;
    if (division.kind === 'tiles' && division.padding === 'halo')
      return this.places.geometry.needs(from, to, division.rows, division.cols);
    if (division.kind === 'tiles') return tensors.map(() => made[0]!);
    const bytesIn = this.#sliced.get(form)?.get(from)?.[0]?.bytes_in ?? Number.POSITIVE_INFINITY;
    // Slices that read less than everything read their own channels.
    if (bytesIn < tensors.reduce((sum, bytes) => sum + bytes, 0)) return tensors.map(() => made[0]!);
    const all = Float64Array.from(machines.flatMap(() => [...ALL]));
    return tensors.map(() => all);
  }
}

/** The share of a map that a tile makes. */
function area(boxes: ShareBoxes, part: number): number {
  const [top, bottom, left, right] = boxes.subarray(6 * part, 6 * part + 4) as unknown as [
    number,
    number,
    number,
    number,
  ];
  return (bottom - top) * (right - left);
}
