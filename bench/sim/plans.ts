import type { PartLink, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { CENTRAL, type Placement, type Plan, type Stage, type StageFallback } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';

/** A simulated stage. */
export interface StageSketch {
  readonly tiles: number;
  /** Multiply-adds per tile. */
  readonly cost?: number;
  readonly bytes_in?: number;
  readonly bytes_out?: number;
  readonly on?: Placement;
  /** Central without this. */
  readonly fallback?: StageFallback;
  /** What it reads in place of the stage's before it: `t0` is the frame, `t1` what the first stage makes. */
  readonly reads?: string;
  /** The parts that a part reads of each stage that it reads; all of them without this. */
  readonly needs?: (t_id: number) => readonly number[];
  /** Bytes of each region that it reads of an earlier part; equal shares of its input without this. */
  readonly halo?: number;
  /** Whether its output is an exit beside what goes on. */
  readonly exit?: boolean;
}

/** On every node, shared. */
export const everyNode: Placement = { mode: 'share', nodes: '*' };
/** On central itself. */
export const atCentral: Placement = { mode: 'share', nodes: [CENTRAL] };

/** The box of all that an invented part makes, and where in it the box lies that a part reads. */
export const WHOLE = [[0, 1e6]] as const;
const at = (stage: number, t_id: number): number => 1000 * stage + t_id;

/** A plan of an invented network whose stages run in sequence; `salt` makes plans different. */
export function sketchPlan(
  sketches: readonly StageSketch[],
  salt = 0,
  frame_bytes = 1e6,
  source = CENTRAL,
): SchedulablePlan {
  const model = String(salt).padStart(64, '0');
  const stages = sketches.map(
    (sketch, id): Stage => ({
      id,
      inputs: [sketch.reads ?? `t${id}`],
      outputs: [`t${id + 1}`, ...(sketch.exit ? [`exit${id}`] : [])],
      split:
        sketch.tiles === 1
          ? { kind: 'whole' }
          : { kind: 'tiles', padding: 'halo', rows: [1], cols: new Array(sketch.tiles).fill(1) },
      on: sketch.on ?? everyNode,
      fallback: sketch.fallback ?? 'central',
      codec: {},
      ...(sketch.exit ? { exit: { tensor: `exit${id}`, threshold: 0.9 } } : {}),
    }),
  );
  const body = { model, source, stages };
  const plan: Plan = {
    format: 'tessera-plan/1',
    id: planId(body),
    ...body,
    strategy: 'sketch',
    reason: 'made up',
    predicted: null,
  };
  const exits = stages.flatMap(({ exit }) => (exit === undefined ? [] : [exit.tensor]));
  return {
    plan,
    frame_bytes,
    answers: [`t${stages.length}`, ...exits],
    stages: sketches.map(({ tiles, cost = 1e6, bytes_in = 10_000, bytes_out = 10_000, needs, halo }, id) => {
      const read = stages
        .slice(0, id)
        .filter(({ outputs }) => outputs.some((output) => stages[id]!.inputs.includes(output)));
      const linksOf = (t_id: number): PartLink[] =>
        read.flatMap(({ id: stage, outputs: [tensor] }) => {
          const t_ids = needs?.(t_id) ?? [...new Array(sketches[stage]!.tiles).keys()];
          const bytes = halo ?? Math.floor(bytes_in / (read.length * t_ids.length));
          const box = [[at(id, t_id), at(id, t_id) + 1]] as const;
          return t_ids.map((maker) => ({ stage, t_id: maker, tensor: tensor!, box, bytes }));
        });
      const out = stages[id]!.outputs.map((tensor, k) => ({ tensor, box: WHOLE, bytes: k === 0 ? bytes_out : 0 }));
      return {
        parts: Array.from({ length: tiles }, (_, t_id) => {
          const links = linksOf(t_id);
          return { t_id, cost, bytes_in, bytes_out, reads_frame: stages[id]!.inputs.includes('t0'), links, out };
        }),
      };
    }),
  };
}

/** ADCNN's shape: tiles on every node, a tail on central. */
export function tilesAndTail(tiles: number, sketch: Partial<StageSketch> = {}, salt = 0): SchedulablePlan {
  return sketchPlan(
    [
      { tiles, ...sketch },
      { tiles: 1, cost: 1e5, on: atCentral },
    ],
    salt,
  );
}
