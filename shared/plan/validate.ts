import { codecSpec } from '../codec/spec.ts';
import { type ErrorCode, TesseraError } from '../errors.ts';
import { isNodeId } from '../protocol/topics.ts';
import { parse, z } from '../schema.ts';
import { MAX_NODES, MAX_PARTS, MAX_REASON, MAX_STAGE_TENSORS, MAX_STAGES, MAX_TENSOR_NAME } from './limits.ts';
import { FALLBACKS, type Plan, type Split, type Stage, TIERS } from './plan.ts';

const CODE: ErrorCode = 'TESSERA_PLAN_INVALID';
const HINT = '`tessera schema plan` prints the form of a plan';

const tensor = z.string().min(1).max(MAX_TENSOR_NAME);
const names = z
  .array(tensor)
  .max(MAX_STAGE_TENSORS)
  .refine((list) => new Set(list).size === list.length, 'names a tensor twice');
const sizes = z.array(z.number().int().positive()).min(1).max(MAX_PARTS);
const node = z.string().refine(isNodeId, 'must be a node id: [a-z0-9-], at most 63 characters');
const mode = z.enum(['share', 'replicate']);

const split = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('whole') }),
  z.object({ kind: z.literal('tiles'), padding: z.enum(['zero', 'halo']), rows: sizes, cols: sizes }),
  z.object({ kind: z.literal('channels'), sizes }),
]);

const nodes = z.union([z.literal('*'), z.array(node).min(1).max(MAX_NODES)]);
const placement = z
  .object({
    mode,
    nodes: nodes.optional(),
    tier: z.enum(TIERS).optional(),
    parts: z.array(node).max(MAX_PARTS).optional(),
  })
  .transform(({ nodes, tier, ...on }, context) => {
    if (nodes !== undefined && tier === undefined) return { ...on, nodes };
    if (tier !== undefined && nodes === undefined) return { ...on, tier };
    context.addIssue({ code: 'custom', message: 'must have exactly one of `nodes` and `tier`' });
    return z.NEVER;
  });

const stage = z.object({
  id: z.number().int().nonnegative(),
  /** Empty where the stage's outputs do not depend on the frame. */
  inputs: names,
  outputs: names.refine((list) => list.length > 0, 'names no tensor'),
  split,
  on: placement,
  fallback: z.union([z.enum(FALLBACKS), z.array(node).min(1).max(MAX_NODES)]).default('central'),
  codec: z.record(z.string(), codecSpec),
  exit: z.object({ tensor, threshold: z.number() }).optional(),
});

/** The schema of a plan, as `tessera schema plan` prints it; `parsePlan` also checks what a schema cannot. */
export const planSchema = z.object({
  format: z.literal('tessera-plan/1'),
  id: z.string().regex(/^p-[0-9a-f]{6,64}$/, 'must be `p-` and at least 6 hex digits'),
  model: z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex'),
  source: node,
  strategy: z.string().max(64),
  reason: z.string().max(MAX_REASON),
  stages: z.array(stage).min(1).max(MAX_STAGES),
  predicted: z.object({ latency_ms: z.number().nonnegative() }).nullable(),
});

function refuse(field: string, problem: string): never {
  throw new TesseraError(CODE, `plan: ${field}: ${problem}`, { hint: HINT });
}

function partsOf(split: Split): number {
  if (split.kind === 'tiles') return split.rows.length * split.cols.length;
  return split.kind === 'channels' ? split.sizes.length : 1;
}

/** Checks that a pinned stage names one node for each part, and only nodes that may run the stage. */
function checkPinned({ on }: Stage, parts: number, field: string): void {
  if (on.parts === undefined) return;
  if (on.parts.length !== parts) refuse(field, `names ${on.parts.length} nodes for ${parts} parts`);
  if (on.mode === 'replicate') refuse(field, 'cannot hold where each frame goes whole to one node (`replicate`)');
  if (!('nodes' in on) || on.nodes === '*') return;
  const { nodes } = on;
  const stranger = on.parts.find((node) => !nodes.includes(node));
  if (stranger !== undefined) refuse(field, `"${stranger}" is not one of the stage's nodes`);
}

/** The tensors with which a frame starts, and those with which it has to end. */
export interface PlanFrame {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * Checks what the schema cannot: stage ids 0, 1, 2, ...; no output made twice; no stage reads an output of its own or of
 * a later stage; codecs and exits only for a stage's own outputs, exits only of whole stages; one node for each pinned
 * part. With `frame` also that all inputs are known and all outputs of the model are made. Throws TESSERA_PLAN_INVALID
 * that names the field.
 */
export function checkPlan(plan: Plan, frame?: PlanFrame): void {
  const maker = new Map<string, number>();
  plan.stages.forEach((stage, index) => {
    const at = `stages[${index}]`;
    if (stage.id !== index)
      refuse(`${at}.id`, `is ${stage.id} where ${index} is expected: stages are numbered in order`);
    for (const output of stage.outputs) {
      if (maker.has(output)) refuse(`${at}.outputs`, `"${output}" is made by stage ${maker.get(output)} already`);
      if (frame?.inputs.includes(output)) refuse(`${at}.outputs`, `"${output}" is an input of the model`);
      maker.set(output, index);
    }
    for (const name of Object.keys(stage.codec))
      if (!stage.outputs.includes(name)) refuse(`${at}.codec`, `"${name}" is not an output of the stage`);
    if (stage.exit !== undefined && !stage.outputs.includes(stage.exit.tensor))
      refuse(`${at}.exit.tensor`, `"${stage.exit.tensor}" is not an output of the stage`);
    if (stage.exit !== undefined && stage.split.kind !== 'whole')
      refuse(`${at}.exit`, 'a frame can only end after a stage that is whole');
    if (stage.split.kind !== 'whole' && stage.inputs.length === 0)
      refuse(`${at}.inputs`, 'is empty, and only a stage that is whole can make something of nothing');
    const parts = partsOf(stage.split);
    if (parts > MAX_PARTS) refuse(`${at}.split`, `has ${parts} parts; at most ${MAX_PARTS} are allowed`);
    checkPinned(stage, parts, `${at}.on.parts`);
  });
  plan.stages.forEach((stage, index) => {
    for (const input of stage.inputs) {
      const made = maker.get(input);
      if (made !== undefined && made >= index)
        refuse(`stages[${index}].inputs`, `"${input}" is made by stage ${made}, not before`);
      if (frame !== undefined && made === undefined && !frame.inputs.includes(input))
        refuse(`stages[${index}].inputs`, `"${input}" is neither an input of the model nor made by an earlier stage`);
    }
  });
  for (const output of frame?.outputs ?? [])
    if (!maker.has(output)) refuse('stages', `no stage makes "${output}", an output of the model`);
}

/**
 * A Plan from JSON or CBOR; unknown keys are dropped. Throws TesseraError TESSERA_PLAN_INVALID with the field, the
 * value and the accepted values. Whether it fits a model only `checkPlan` with a frame and the stage forms can tell.
 */
export function parsePlan(value: unknown): Plan {
  const parsed: Plan = parse(planSchema as z.ZodType<Plan>, value, CODE, 'plan', HINT);
  checkPlan(parsed);
  return parsed;
}
