import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { COMPARED, STRATEGIES } from '../../central/planner/strategies.ts';
import { isNoPlan, type NoPlan, type Problem } from '../../central/planner/strategy.ts';
import { TesseraError } from '../../shared/errors.ts';
import { nearest } from '../../shared/nearest.ts';
import { CENTRAL, type Plan } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';
import { parsePlan } from '../../shared/plan/validate.ts';

/** A strategy of the list, or one of the user's. */
export interface AskedStrategy {
  readonly name: string;
  propose(problem: Problem): Promise<readonly Plan[] | NoPlan>;
  compared(problem: Problem, plans: readonly Plan[] | NoPlan): number;
}

/** How a program that makes plans is limited. */
const PROGRAM_LIMITS = { ms: 60_000, bytes: 64e6 } as const;
/** The start of `exec:COMMAND`. */
const EXEC = 'exec:';

/** The strategies of the list whose plans are compared. */
export function listedStrategies(): AskedStrategy[] {
  return COMPARED.map(({ name }) => listed(name));
}

/**
 * The strategy that the user names: one of the list, a `.mjs` file that exports one, or `exec:COMMAND`, a program that
 * reads a problem as JSON and answers plans. Throws TESSERA_USAGE.
 */
export async function strategyFor(text: string, signal: AbortSignal): Promise<AskedStrategy> {
  if (STRATEGIES.has(text)) return listed(text);
  if (text.startsWith(EXEC)) return program(text.slice(EXEC.length), signal);
  if (/\.m?js$/.test(text)) return fromModule(text);
  const close = nearest(text, [...STRATEGIES.keys()]);
  throw new TesseraError('TESSERA_USAGE', `no strategy "${text}"`, {
    hint:
      close === undefined
        ? `known: ${[...STRATEGIES.keys()].join(', ')}; or a .mjs file, or exec:COMMAND`
        : `did you mean ${close}?`,
  });
}

function comparedBy(plans: readonly Plan[] | NoPlan): number {
  return isNoPlan(plans) ? 0 : plans.length;
}

function listed(name: string): AskedStrategy {
  const strategy = STRATEGIES.get(name)!;
  return {
    name,
    propose: async (problem) => strategy.propose(problem),
    compared: (problem, plans) => strategy.compared?.(problem) ?? comparedBy(plans),
  };
}

async function fromModule(file: string): Promise<AskedStrategy> {
  let exported: Record<string, unknown>;
  try {
    exported = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new TesseraError('TESSERA_USAGE', `${file} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
  const found = Object.values(exported).find(
    (value): value is { name: string; propose: (problem: Problem) => unknown } =>
      typeof value === 'object' &&
      value !== null &&
      typeof (value as { name?: unknown }).name === 'string' &&
      typeof (value as { propose?: unknown }).propose === 'function',
  );
  if (found === undefined)
    throw new TesseraError('TESSERA_USAGE', `${file} exports no strategy`, {
      hint: 'export const strategy = { name, propose(problem) { return [plan, ...] } }',
    });
  const { name } = found;
  return {
    name,
    propose: async (problem) => {
      let plans: unknown;
      try {
        plans = await found.propose(problem);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new TesseraError('TESSERA_PLAN_INVALID', `strategy ${name} of ${file} failed: ${why}`, { cause });
      }
      return answerOf(name, problem, { plans });
    },
    compared: (_, plans) => comparedBy(plans),
  };
}

function program(command: string, signal: AbortSignal): AskedStrategy {
  const name = 'exec';
  if (command.trim() === '')
    throw new TesseraError('TESSERA_USAGE', `${EXEC} names no program`, { hint: "such as 'exec:python3 mine.py'" });
  return {
    name,
    propose: async (problem) => {
      const { tiler: _, constraints, ...profile } = problem;
      const text = await output(command, JSON.stringify({ profile, constraints }), signal);
      let answer: unknown;
      try {
        answer = JSON.parse(text);
      } catch (cause) {
        throw new TesseraError('TESSERA_PLAN_INVALID', `${EXEC}${command} answered no JSON`, {
          hint: 'it has to print {"plans": [...]} and nothing else on standard output',
          cause,
        });
      }
      return answerOf(name, problem, answer);
    },
    compared: (_, plans) => comparedBy(plans),
  };
}

/**
 * Plans of a user's strategy, or its NoPlan. Fields that say nothing may be left out: format, id, model, source,
 * strategy, reason, predicted; of stages id, split, fallback, codec. Throws TESSERA_PLAN_INVALID.
 */
function answerOf(strategy: string, { model }: Problem, answer: unknown): readonly Plan[] | NoPlan {
  const plans = (answer as { plans?: unknown } | null)?.plans;
  if (typeof plans === 'object' && plans !== null && !Array.isArray(plans) && 'reason' in plans) {
    const { reason, hint } = plans as { reason: unknown; hint?: unknown };
    return { kind: 'impossible', reason: String(reason), ...(hint === undefined ? {} : { hint: String(hint) }) };
  }
  if (!Array.isArray(plans) || plans.length === 0)
    throw new TesseraError('TESSERA_PLAN_INVALID', `strategy ${strategy} answered no plans`, {
      hint: 'answer {"plans": [plan, ...]}, or {"plans": {"reason": "why there is none"}}',
    });
  return plans.map((given: Partial<Plan> | null) => {
    const stages = Array.isArray(given?.stages) ? given.stages : [];
    const whole = {
      format: 'tessera-plan/1',
      id: `p-${'0'.repeat(12)}`,
      model,
      source: CENTRAL,
      strategy,
      reason: `made by ${strategy}`,
      predicted: null,
      ...given,
      stages: stages.map((stage, id) => ({ id, split: { kind: 'whole' }, fallback: 'central', codec: {}, ...stage })),
    };
    const plan = parsePlan(whole);
    return { ...plan, id: planId(plan) };
  });
}

/** What a program prints when it is given `input`. Throws TESSERA_PLAN_INVALID where it fails or exceeds a limit. */
function output(command: string, input: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, { shell: true, stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    const chunks: Buffer[] = [];
    let bytes = 0;
    const fail = (text: string, hint?: string): void => {
      end();
      if (child.pid !== undefined && child.exitCode === null)
        try {
          process.kill(-child.pid, 'SIGKILL');
        } catch {
          // It has ended.
        }
      reject(new TesseraError('TESSERA_PLAN_INVALID', `${EXEC}${command} ${text}`, hint === undefined ? {} : { hint }));
    };
    const onAbort = (): void => fail('was interrupted');
    const timer = setTimeout(() => fail(`did not answer within ${PROGRAM_LIMITS.ms / 1000} s`), PROGRAM_LIMITS.ms);
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    signal.addEventListener('abort', onAbort);
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > PROGRAM_LIMITS.bytes) fail(`printed more than ${PROGRAM_LIMITS.bytes / 1e6} MB`);
      else chunks.push(chunk);
    });
    child.on('error', (error) => fail(`cannot be started: ${error.message}`));
    child.on('close', (code, by) => {
      if (code === 0) {
        end();
        resolve(Buffer.concat(chunks).toString('utf8'));
      } else fail(`ended with ${code ?? by}`, 'what it printed on standard error says why');
    });
    // A program that reads nothing is judged by its answer.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
