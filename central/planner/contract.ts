import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL, type Plan } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';
import { checkPlan, parsePlan } from '../../shared/plan/validate.ts';
import { candidatesOf } from './cost/places.ts';
import { predict } from './cost/predict.ts';
import { outlineOf } from './cost/sketch.ts';
import { isNoPlan, type NoPlan, type Problem, usableNodes, withoutTimes } from './strategy.ts';

/** What every strategy has to keep, by the name under which a deviation is listed. */
export const RULES = {
  answers: 'answers plans, or why there are none, and does not throw',
  valid: 'its plans are valid and compute all outputs of the network',
  named: 'its plans name it, and say why they are as they are',
  distinct: 'its plans have the ids of what they do, each another one',
  deterministic: 'the same problem gets the same answer',
  pure: 'the problem stays as it is',
  allowed: 'its plans use only nodes that may get work, and splits and codecs that these announce',
  predictable: 'the cost model can predict its plans, and links lead everywhere',
} as const;
/** One of RULES. */
export type Rule = keyof typeof RULES;

/** A rule that a strategy does not keep. */
export interface Violation {
  readonly rule: Rule;
  /** The problem at which it was seen. */
  readonly problem: string;
  readonly text: string;
}

/** A problem with a name for messages. */
export interface NamedProblem {
  readonly name: string;
  readonly problem: Problem;
}

/** Something that answers problems, as strategies do; a program takes its time. */
export interface Answering {
  readonly name: string;
  propose(problem: Problem): readonly Plan[] | NoPlan | Promise<readonly Plan[] | NoPlan>;
}

/** Asks a strategy about some problems, twice about each, and lists the rules that it does not keep. */
export async function violationsOf(strategy: Answering, problems: readonly NamedProblem[]): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const { name: problem, problem: asked } of problems) {
    const report = (rule: Rule, text: string): void => {
      found.push({ rule, problem, text });
    };
    const { tiler: _, ...plain } = asked;
    const before = JSON.stringify(plain);
    let answer: readonly Plan[] | NoPlan;
    try {
      answer = await strategy.propose(asked);
      if (JSON.stringify(await strategy.propose(asked)) !== JSON.stringify(answer))
        report('deterministic', 'a second answer differs from the first');
    } catch (error) {
      report('answers', `it throws: ${(error as Error).message}`);
      continue;
    }
    if (JSON.stringify(plain) !== before) report('pure', 'the problem has changed');
    if (isNoPlan(answer)) {
      if (answer.reason === '') report('answers', 'it has no plan, and does not say why');
      continue;
    }
    if (answer.length === 0) report('answers', 'it answers no plan, and does not say why');
    if (new Set(answer.map(({ id }) => id)).size < answer.length) report('distinct', 'two plans have one id');
    for (const plan of answer) checkOne(strategy.name, asked, plan, report);
  }
  return found;
}

function checkOne(name: string, problem: Problem, plan: Plan, report: (rule: Rule, text: string) => void): void {
  const { graph } = problem;
  try {
    if (planId(parsePlan(JSON.parse(JSON.stringify(plan)))) !== planId(plan))
      report('valid', 'a plan changes when it is written and read');
    checkPlan(plan, graph);
  } catch (error) {
    report('valid', (error as Error).message);
    return;
  }
  if (plan.id !== planId(plan)) report('distinct', `the id of what ${plan.id} does is ${planId(plan)}`);
  if (plan.strategy !== name) report('named', `a plan names strategy "${plan.strategy}"`);
  if (plan.reason === '') report('named', 'a plan has no reason');
  const may = usableNodes(problem);
  for (const { id, on, split, codec } of plan.stages)
    for (const place of candidatesOf(on, may)) {
      const node = may.find((other) => other.id === place);
      if (node === undefined) {
        if (place !== CENTRAL) report('allowed', `stage ${id} runs on "${place}", which may not get work`);
      } else if (!node.splits.includes(split.kind))
        report('allowed', `stage ${id}: ${place} runs no parts of "${split.kind}"`);
      else if (Object.values(codec).some((spec) => !node.codecs.includes(spec.name)))
        report('allowed', `stage ${id}: ${place} does not announce a codec of it`);
    }
  // Without a profile nothing can be predicted.
  if (withoutTimes(may) === undefined) checkPrediction(problem, plan, report);
}

function checkPrediction(problem: Problem, plan: Plan, report: (rule: Rule, text: string) => void): void {
  try {
    const outlined = outlineOf(problem, plan);
    if (isNoPlan(outlined)) report('predictable', outlined.reason);
    else if (!Number.isFinite(predict(problem, outlined).latency_ms))
      report('predictable', 'it sends something where no link leads');
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    report('predictable', error.message);
  }
}
