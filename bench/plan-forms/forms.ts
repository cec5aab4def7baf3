import { TesseraError } from '../../shared/errors.ts';
import { cutPoints, singleCuts } from '../../shared/onnx/cuts.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { CENTRAL, type Placement, type Plan, type Split, type Stage } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';
import { gridSizes } from '../../shared/tiling/grid.ts';
import { explicitCut } from '../../shared/tiling/prefix.ts';
import { buildStage } from '../../shared/tiling/stage.ts';

/** A form of plan: stages on some nodes, from the frame to the answer. */
export interface Form {
  readonly name: FormName;
  /** Undefined where the network has no place for it. */
  readonly plan: Plan | undefined;
}

/** The names of the forms. */
export const FORMS = [
  'device, edge tiles, cloud',
  'two tile stages',
  'three tile stages that stay',
  'tiles, then strips',
  'tiles, then slices of channels',
  'a chain of nodes',
  'a skip from device to cloud',
  'several tensors across a cut',
] as const;
/** One of FORMS. */
export type FormName = (typeof FORMS)[number];

/** A stage without its number. */
type Draft = Omit<Stage, 'id'>;

const on = (...nodes: string[]): Placement => ({ mode: 'share', nodes });

/** Makes plans of some forms for one network on at least four nodes. */
export class Forms {
  readonly #resolved: ResolvedModel;
  readonly #model: string;
  readonly #nodes: readonly string[];
  readonly #inputs: readonly string[];
  readonly #outputs: readonly string[];

  /** `model`: SHA-256 of the model's skeleton. `nodes`: ids of node agents. */
  constructor(resolved: ResolvedModel, model: string, nodes: readonly string[]) {
    this.#resolved = resolved;
    this.#model = model;
    this.#nodes = nodes;
    const { inputs, outputs } = resolved.model.graph;
    this.#inputs = inputs.map(({ name }) => name);
    this.#outputs = outputs.map(({ name }) => name);
  }

  /** All forms, in the order of FORMS. */
  all(): Form[] {
    const drafts: Record<FormName, readonly (Draft | undefined)[] | undefined> = {
      ...this.#tiled(),
      ...this.#chained(),
      ...this.#skips(),
    };
    return FORMS.map((name) => {
      const stages = drafts[name];
      const isWhole = stages?.every((draft): draft is Draft => draft !== undefined) === true;
      return { name, plan: isWhole ? this.#plan(stages) : undefined };
    });
  }

  /** The forms that cut the network at feature maps which tiles can reach. */
  #tiled() {
    const nodes = on(...this.#nodes);
    const [device, ...edge] = this.#nodes as [string, ...string[]];
    const cuts = this.#tileCuts();
    const [a, b, c] = [cuts[Math.floor(cuts.length / 4)]!, cuts[Math.floor(cuts.length / 2)]!, cuts.at(-1)!];
    const forms = {
      'device, edge tiles, cloud': () => [
        this.#whole(this.#inputs, [a], on(device)),
        this.#tiles([a], b, 2, 2, on(...edge)),
        this.#rest([b], CENTRAL),
      ],
      'two tile stages': () => [
        this.#tiles(this.#inputs, a, 2, 2, nodes),
        this.#tiles([a], b, 2, 2, nodes),
        this.#rest([b], CENTRAL),
      ],
      'three tile stages that stay': () => [
        this.#pinned(this.#tiles(this.#inputs, a, 2, 2, nodes)),
        this.#pinned(this.#tiles([a], b, 2, 2, nodes)),
        this.#pinned(this.#tiles([b], c, 2, 2, nodes)),
        this.#rest([c], device),
      ],
      'tiles, then strips': () => [
        this.#tiles(this.#inputs, a, 1, 3, nodes),
        this.#tiles([a], b, 3, 1, nodes),
        this.#rest([b], CENTRAL),
      ],
      'tiles, then slices of channels': () => {
        const slices = this.#slices(b);
        return [this.#tiles(this.#inputs, b, 2, 2, nodes), slices, slices && this.#rest(slices.outputs, CENTRAL)];
      },
    };
    const isPossible = cuts.length > 0 && a !== b && b !== c;
    return Object.fromEntries(
      Object.entries(forms).map(([name, make]) => [name, isPossible ? make() : undefined]),
    ) as Record<keyof typeof forms, readonly (Draft | undefined)[] | undefined>;
  }

  /** Whole stages of about as many operators at three nodes. */
  #chained() {
    const [first, second, third] = this.#nodes as [string, string, string];
    const cuts = singleCuts(this.#resolved).map(({ tensor }) => tensor);
    const [a, b] = [cuts[Math.floor(cuts.length / 3)]!, cuts[Math.floor((2 * cuts.length) / 3)]!];
    return {
      'a chain of nodes':
        a === b
          ? undefined
          : [this.#whole(this.#inputs, [a], on(first)), this.#whole([a], [b], on(second)), this.#rest([b], third)],
    };
  }

  /** The forms in which several tensors cross a cut. */
  #skips() {
    const [device, edge] = this.#nodes as [string, string];
    const skip = this.#skip();
    const several = this.#several();
    return {
      'a skip from device to cloud': skip && [
        this.#whole(this.#inputs, [skip.early], on(device)),
        this.#whole([skip.early], [skip.late], on(edge)),
        this.#rest([skip.early, skip.late], CENTRAL),
      ],
      'several tensors across a cut': several && [
        this.#whole(this.#inputs, several, on(device)),
        this.#rest(several, edge),
      ],
    };
  }

  #plan(drafts: readonly Draft[]): Plan {
    const stages = drafts.map((draft, id): Stage => ({ ...draft, id }));
    const content = { model: this.#model, source: CENTRAL, stages };
    return {
      format: 'tessera-plan/1',
      id: planId(content),
      ...content,
      strategy: 'forms',
      reason: 'by hand',
      predicted: null,
    };
  }

  #rest(inputs: readonly string[], node: string): Draft {
    return this.#whole(inputs, this.#outputs, on(node));
  }

  #whole(inputs: readonly string[], outputs: readonly string[], placement: Placement): Draft {
    return { inputs, outputs, split: { kind: 'whole' }, on: placement, fallback: 'central', codec: {} };
  }

  /** Tiles of the operators between two tensors; undefined where a map has fewer cells than tiles. */
  #tiles(inputs: readonly string[], end: string, rows: number, cols: number, placement: Placement): Draft | undefined {
    const { outputs, reference } = explicitCut(this.#resolved, inputs, [end]);
    if (reference === undefined || reference.rows < rows || reference.cols < cols) return undefined;
    const sizes = gridSizes({ rows, cols }, reference.rows, reference.cols, end);
    const split: Split = { kind: 'tiles', padding: 'halo', ...sizes };
    return { inputs, outputs, split, on: placement, fallback: 'central', codec: {} };
  }

  /** The stage with its parts pinned to its nodes in turn. */
  #pinned(draft: Draft | undefined): Draft | undefined {
    if (draft?.split.kind !== 'tiles') return undefined;
    const count = draft.split.rows.length * draft.split.cols.length;
    const parts = Array.from({ length: count }, (_, part) => this.#nodes[part % this.#nodes.length]!);
    return { ...draft, on: { ...draft.on, parts } };
  }

  /** The operators from a tensor to the next cut that a slice of channels at each of three nodes can compute. */
  #slices(from: string): Draft | undefined {
    const nodes = this.#nodes.slice(0, 3);
    const ends = singleCuts(this.#resolved).map(({ tensor }) => tensor);
    for (const end of ends.slice(ends.indexOf(from) + 1)) {
      const channels = this.#resolved.specs.get(end)?.shape[1] ?? 0;
      const third = Math.floor(channels / 3);
      const split: Split = { kind: 'channels', sizes: [third, third, channels - 2 * third] };
      const draft = { ...this.#whole([from], [end], { ...on(...nodes), parts: nodes }), split };
      if (third > 0 && this.#isPossible(draft)) return draft;
    }
    return undefined;
  }

  #isPossible(draft: Draft): boolean {
    try {
      buildStage(this.#resolved, { ...draft, id: 0 });
      return true;
    } catch (error) {
      if (error instanceof TesseraError) return false;
      throw error;
    }
  }

  /** Feature maps that alone cross a cut, and that 2x2 tiles can reach from the frame. */
  #tileCuts(): string[] {
    const found: string[] = [];
    for (const { tensors, outputs } of cutPoints(this.#resolved)) {
      const [tensor] = tensors;
      if (tensors.length !== 1 || outputs.length > 0 || this.#inputs.includes(tensor!)) continue;
      try {
        const prefix = explicitCut(this.#resolved, this.#inputs, [tensor!]);
        const { reference } = prefix;
        if (prefix.outputs.length === 1 && reference !== undefined && reference.rows >= 4 && reference.cols >= 4)
          found.push(tensor!);
      } catch (error) {
        if (!(error instanceof TesseraError)) throw error;
      }
    }
    return found;
  }

  /** A tensor that is read by a stage and, past it, by a later one: both cross the later cut. */
  #skip(): { readonly early: string; readonly late: string } | undefined {
    const alone = new Set(cutPoints(this.#resolved).flatMap(({ tensors }) => (tensors.length === 1 ? tensors : [])));
    for (const { tensors, outputs } of cutPoints(this.#resolved)) {
      const [early, late] = tensors;
      if (tensors.length !== 2 || outputs.length > 0 || this.#inputs.includes(early!)) continue;
      if (!alone.has(early!) || alone.has(late!)) continue;
      if (
        dagOf(this.#resolved)
          .live([...this.#inputs, early!, late!])
          .join() === tensors.join()
      )
        return { early: early!, late: late! };
    }
    return undefined;
  }

  /** The tensors of the cut that most of them cross. */
  #several(): readonly string[] | undefined {
    const cuts = cutPoints(this.#resolved).filter(
      ({ tensors, outputs }) => outputs.length === 0 && !tensors.some((tensor) => this.#inputs.includes(tensor)),
    );
    const most = cuts.reduce<readonly string[]>(
      (best, { tensors }) => (tensors.length > best.length ? tensors : best),
      [],
    );
    return most.length > 1 ? most : undefined;
  }
}
