import type { Demands, Objective } from '../../central/planner/query/demands.ts';
import type { Problem } from '../../central/planner/strategy.ts';
import { TesseraError } from '../../shared/errors.ts';
import { nearest } from '../../shared/nearest.ts';
import { TIERS } from '../../shared/plan/plan.ts';

/** Demands as the command line gives them; `X=VALUE` where a machine has a limit. */
export interface DemandOptions {
  readonly top: number;
  readonly use: readonly string[];
  readonly avoid: readonly string[];
  readonly pin: readonly string[];
  readonly maxUpload: readonly string[];
  readonly maxTime: readonly string[];
  readonly maxMemory: readonly string[];
  readonly deadline: number | undefined;
  readonly minAgreement: number | undefined;
  readonly objective: Objective;
}

/** The demands, checked against the machines and blocks of a problem. Throws TESSERA_USAGE. */
export function demandsOf(options: DemandOptions, problem: Problem): Demands & { readonly agreement?: number } {
  const { objective, deadline, minAgreement, top } = options;
  const machine = (flag: string, text: string): string => machineNamed(problem, flag, text);
  const limits = (flag: string, given: readonly string[]): { of: string; bytes: number }[] =>
    given.map((text) => {
      const [of, amount] = pairOf(flag, text, 'X=MB');
      return { of: machine(flag, of), bytes: 1e6 * numberOf(flag, text, amount) };
    });
  if (objective === 'misses' && deadline === undefined)
    throw new TesseraError('TESSERA_USAGE', '--objective misses needs a deadline', {
      hint: 'give --deadline MS: the share of frames that are later is what the best plan has least of',
    });
  return {
    objective,
    top,
    use: options.use.map((text) => machine('--use', text)),
    avoid: options.avoid.map((text) => machine('--avoid', text)),
    pins: options.pin.map((text) => {
      const [block, on] = pairOf('--pin', text, 'BLOCK=X');
      return { block: blockNamed(problem, block), on: machine('--pin', on) };
    }),
    max_upload: limits('--max-upload', options.maxUpload),
    max_time: options.maxTime.map((text) => {
      const [named, amount] = pairOf('--max-time', text, 'X=MS or X=P%');
      const of = machine('--max-time', named);
      if (!amount.endsWith('%')) return { of, ms: numberOf('--max-time', text, amount) };
      const percent = numberOf('--max-time', text, amount.slice(0, -1));
      if (percent > 100) throw new TesseraError('TESSERA_USAGE', `--max-time ${text}: "${amount}" is more than 100%`);
      return { of, share: percent / 100 };
    }),
    max_memory: limits('--max-memory', options.maxMemory),
    ...(deadline === undefined ? {} : { deadline_ms: deadline }),
    ...(minAgreement === undefined ? {} : { agreement: minAgreement }),
  };
}

/** Throws TESSERA_PROFILE where the objective needs figures that nodes lack, and names them. */
export function checkFigures({ nodes, constraints }: Problem): void {
  const { objective, avoid = [] } = constraints;
  const lacking = nodes
    .filter(({ id, tier }) => !avoid.includes(id) && !avoid.includes(tier))
    .filter(({ power_w, times }) =>
      objective === 'energy' ? power_w === undefined : objective === 'misses' && times?.layer_variance === undefined,
    )
    .map(({ id }) => id);
  if (lacking.length === 0) return;
  const [what, field] =
    objective === 'energy' ? ['power figures', 'power_w {idle, busy}'] : ['measured spreads', 'p10_ms and p90_ms'];
  throw new TesseraError('TESSERA_PROFILE', `the profile has no ${what} of ${lacking.join(', ')}`, {
    hint: `add ${field} to these nodes, or leave them out with --avoid`,
  });
}

/** `X=VALUE`; the value is behind the last `=`, as names may have one. */
function pairOf(flag: string, text: string, form: string): [string, string] {
  const at = text.lastIndexOf('=');
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw new TesseraError('TESSERA_USAGE', `${flag} ${text}: expected ${form}`, {
    hint: 'X is a node or a tier of the profile',
  });
}

function numberOf(flag: string, text: string, amount: string): number {
  const number = amount.trim() === '' ? Number.NaN : Number(amount);
  if (Number.isFinite(number) && number >= 0) return number;
  throw new TesseraError('TESSERA_USAGE', `${flag} ${text}: "${amount}" is not a number from 0`);
}

function machineNamed({ nodes }: Problem, flag: string, text: string): string {
  const known = [...TIERS, ...nodes.map(({ id }) => id)];
  if (known.includes(text)) return text;
  const close = nearest(text, known);
  throw new TesseraError('TESSERA_USAGE', `${flag}: the profile has no tier or node "${text}"`, {
    hint: close === undefined ? `known: ${known.join(', ')}` : `did you mean ${close}?`,
  });
}

function blockNamed({ graph: { blocks } }: Problem, text: string): number {
  const named = blocks.findIndex(({ name }) => name === text);
  if (named !== -1) return named;
  const index = Number(text);
  if (text.trim() !== '' && Number.isInteger(index) && index >= 0 && index < blocks.length) return index;
  throw new TesseraError('TESSERA_USAGE', `--pin: the network has no block "${text}"`, {
    hint: `blocks have names, and numbers from 0 to ${blocks.length - 1}`,
  });
}
