import { OBJECTIVES } from '../../central/planner/query/demands.ts';
import type { Ranking } from '../../central/planner/query/rank.ts';
import { STRATEGIES } from '../../central/planner/strategies.ts';
import type { Problem } from '../../central/planner/strategy.ts';
import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import {
  connectionOptions,
  connectionSettings,
  flag,
  integer,
  oneOf,
  type Parser,
  positive,
  string,
  usage,
  value,
  valueOr,
  values,
} from '../options.ts';
import type { AskedStrategy } from '../plan/own-strategy.ts';
import { parseShape } from '../shape.ts';

/** Plans of each strategy that are compared with those of others, and from which the picture is drawn. */
const CANDIDATES = 50;
const PICTURED = 500;

/** A share in percent, as 0..1; with its sign, as other commands take shares from 0 to 1. */
const percent: Parser<number> = (text, flag) => {
  const number = Number(/^(.+)%$/.exec(text)?.[1]);
  if (number > 0 && number <= 100) return number / 100;
  throw usage(flag, text, 'a share such as 99%');
};

/** `tessera plan`: where should this network be cut, and what would it cost? */
export const command = defineCommand({
  description:
    'Ranks plans for the network, nodes and links of a profile, says what each stage and hop of the best one costs, and ' +
    'at which speed of a link or node another plan would win. X is a node or a tier (device, edge, cloud). Without ' +
    '--model only whole stages are compared. A strategy is one of the list, a .mjs file that exports one, or ' +
    'exec:COMMAND, a program that reads {"profile", "constraints"} as JSON and prints {"plans"}.',
  options: {
    profile: value('--profile <file>', 'the profile that `tessera profile` wrote', string),
    strategy: value(
      '--strategy <name>',
      `${[...STRATEGIES.keys()].join(', ')}; FILE.mjs or exec:COMMAND; default: all of the list`,
      string,
    ),
    checkStrategy: value('--check-strategy <name>', 'checks that a strategy keeps the rules of all strategies', string),
    model: value('--model <model>', 'the network itself: then tiles and slices of channels are possible', string),
    tensor: value('--tensor <shape>', 'the shape with which the model was profiled, if frames are tensors', parseShape),
    top: valueOr('--top <k>', 'plans in the answer', integer(1, 1000), 5),
    objective: valueOr(
      '--objective <what>',
      `what the best plan has least of: ${OBJECTIVES.join(', ')}`,
      oneOf(...OBJECTIVES),
      'latency',
    ),
    use: values('--use <x>', 'X must compute something', string),
    avoid: values('--avoid <x>', 'X must not compute anything', string),
    pin: values('--pin <block=x>', 'a block, by name or number, must run on X', string),
    maxUpload: values('--max-upload <x=mb>', 'X sends at most so many MB for a frame', string),
    maxTime: values('--max-time <x=ms>', 'X computes at most so many ms for a frame, or P% of all computing', string),
    maxMemory: values('--max-memory <x=mb>', 'each machine of X needs at most so many MB', string),
    deadline: value('--deadline <ms>', 'the longest latency; with --objective misses, when a frame is late', positive),
    minAgreement: value('--min-agreement <p%>', 'least share of answers that stay those of the whole network', percent),
    out: value('--out <file>', 'writes the best plan, for `tessera deploy`', string),
    deploy: flag('--deploy', 'has the central of a running cluster put the best plan to work'),
    ...connectionOptions,
    picture: value('--picture <file>', 'draws latency against bytes as SVG', string),
  },
  examples: [
    ['plan --profile person.profile.json', 'the best five plans, and why the first is the best'],
    [
      'plan --profile person.profile.json --model person --out plan.json',
      'tiles too; the best one for `tessera deploy`',
    ],
    ['plan --profile person.profile.json --model person --deploy', 'and the running cluster serves with the best one'],
    ['plan --profile p.json --pin 0=device --max-upload device=0.5', 'the first block stays at the camera'],
    ['plan --profile p.json --objective misses --deadline 200', 'the fewest frames later than 200 ms'],
    ['plan --check-strategy mine.mjs', 'whether a strategy of your own keeps the rules'],
  ],
  async run({ options, json, out, signal, config }) {
    const [{ listedStrategies, strategyFor }, { problemFor, readProfileFile }] = await Promise.all([
      import('../plan/own-strategy.ts'),
      import('../plan/problem-file.ts'),
    ]);
    const { profile: file, strategy, checkStrategy, top, model } = options;
    if (!options.deploy && [options.broker, options.user, options.passwordFile].some((given) => given !== undefined))
      throw new TesseraError('TESSERA_USAGE', '--broker, --user and --password-file are for --deploy');
    if (checkStrategy !== undefined) {
      const profiled = file === undefined ? [] : [problemFor(await readProfileFile(file), undefined)];
      return check(await strategyFor(checkStrategy, signal), profiled);
    }
    if (file === undefined)
      throw new TesseraError('TESSERA_USAGE', 'plan needs --profile FILE', {
        hint: '`tessera profile --model MODEL` measures one',
      });
    if (options.tensor !== undefined && model === undefined)
      throw new TesseraError('TESSERA_USAGE', '--tensor says how --model is loaded, and there is no --model');
    const profile = await readProfileFile(file);
    if (options.deploy && profile.sha256 === undefined)
      throw new TesseraError('TESSERA_USAGE', `${file} names no network, so its plan cannot be deployed`, {
        hint: '`tessera profile` measures a profile whose plans can be',
      });
    const { demandsOf, checkFigures } = await import('../plan/demands.ts');
    const plain = problemFor(profile, model === undefined ? undefined : await networkNamed(model));
    const problem: Problem = { ...plain, constraints: { ...plain.constraints, ...demandsOf(options, plain) } };
    checkFigures(problem);
    const asked = strategy === undefined ? listedStrategies() : [await strategyFor(strategy, signal)];
    const [{ rank }, { asSent }, { inBlocks }] = await Promise.all([
      import('../../central/planner/query/rank.ts'),
      import('../../central/planner/calibrated.ts'),
      import('../../central/planner/query/in-blocks.ts'),
    ]);
    const ask = (of: Problem) => Promise.all(asSent(of).flatMap((sent) => asked.map((each) => proposalOf(each, sent))));
    const rankTop = async (of: Problem, most: number): Promise<Ranking> => {
      const wanted = { ...of, constraints: { ...of.constraints, top: most } };
      return rank(wanted, await ask(wanted));
    };
    const ranking = await rankTop(problem, Math.max(top, CANDIDATES));
    const { ranked } = ranking;
    if (ranked.length === 0) throw await refusal(problem, strategy, ranking, rankTop);
    const { writeOutput } = await import('../../shared/runtime/whole-file.ts');
    const best = ranked[0]!;
    if (options.out !== undefined) {
      await writeOutput({ what: '--out', path: options.out }, `${JSON.stringify(best.plan, null, 2)}\n`);
      if (profile.sha256 === undefined)
        out.note('note: the profile names no network (sha256), so its plan cannot be deployed');
    }
    if (options.picture !== undefined) {
      const { pictureSvg } = await import('../plan/picture.ts');
      const objectives = (['latency', 'transfer'] as const).map(async (objective) => {
        const of = { ...problem, constraints: { ...problem.constraints, objective } };
        return (await rankTop(of, PICTURED)).ranked;
      });
      const plans = new Map((await Promise.all(objectives)).flat().map((each) => [each.plan.id, each]));
      const svg = pictureSvg(problem, `Plans for ${profile.model}`, [...plans.values()]);
      await writeOutput({ what: '--picture', path: options.picture }, svg);
    }
    const shown = ranked.slice(0, top);
    if (json) {
      const plans = shown.map((each) => ({ ...inBlocks(problem, each), plan: each.plan, prediction: each.prediction }));
      const deployed = options.deploy ? { deployed: await deployBest() } : {};
      out.json({ pipelines: ranking.compared, plans, refusals: ranking.refusals, ...deployed });
      return 0;
    }
    const [{ changesOf }, { reportLines }] = await Promise.all([
      import('../../central/planner/query/changes.ts'),
      import('../plan/report.ts'),
    ]);
    const changes = await changesOf(problem, shown, ask);
    for (const line of reportLines(problem, ranking, top, changes)) out.line(line);
    if (options.deploy) {
      const { deployedLines } = await import('../deploy.ts');
      for (const line of deployedLines(await deployBest())) out.note(line);
    }
    return 0;

    async function deployBest() {
      const [{ deploy }, { config: settings }] = await Promise.all([
        import('../deploy.ts'),
        config(await connectionSettings(options)),
      ]);
      return deploy(settings, 'plan', { plan: best.plan });
    }

    /** Asks about the problems that every strategy is asked about, and about the user's own. */
    async function check(asked: AskedStrategy, profiled: readonly Problem[]): Promise<number> {
      const [{ RULES, violationsOf }, { contractProblems }] = await Promise.all([
        import('../../central/planner/contract.ts'),
        import('../../central/planner/contract-problems.ts'),
      ]);
      const problems = [...contractProblems(), ...profiled.map((problem) => ({ name: file!, problem }))];
      const violations = await violationsOf(asked, problems);
      if (json) out.json({ strategy: asked.name, problems: problems.length, violations });
      else {
        for (const { rule, problem, text } of violations) out.line(`${problem}: ${text} (${rule}: ${RULES[rule]})`);
        const times = violations.length === 1 ? 'once' : `${violations.length} times`;
        const verdict = violations.length === 0 ? 'keeps all rules' : `breaks rules ${times}`;
        out.line(`strategy ${asked.name} ${verdict} at ${problems.length} problems`);
      }
      return violations.length === 0 ? 0 : 1;
    }

    async function networkNamed(name: string) {
      const { config: settings } = await config();
      const [{ loadRequestFor }, { loadAsCentral }, { openLog }] = await Promise.all([
        import('../models.ts'),
        import('../profile/network.ts'),
        import('../connect.ts'),
      ]);
      const form = options.tensor === undefined ? {} : { picture: false, inputShape: options.tensor };
      const { request, notes } = await loadRequestFor(name, settings, { ...form, signal });
      for (const note of notes) out.note(`note: ${note}`);
      return loadAsCentral(request, await openLog(settings, 'plan'), signal);
    }
  },
});

async function proposalOf(strategy: AskedStrategy, problem: Problem) {
  const proposed = await strategy.propose(problem);
  return { strategy: strategy.name, proposed, compared: strategy.compared(problem, proposed) };
}

/** The error where no plan is left: which demands contradict one another, or why there is none at all. */
async function refusal(
  problem: Problem,
  strategy: string | undefined,
  { refusals }: Ranking,
  rankTop: (problem: Problem, most: number) => Promise<Ranking>,
): Promise<TesseraError> {
  const { conflictOf, withoutDemands } = await import('../../central/planner/query/conflict.ts');
  const conflict = await conflictOf(problem, async (of) => (await rankTop(of, 1)).ranked.length > 0);
  if (conflict.length === 0) {
    const why = refusals.map(({ strategy, reason }) => `${strategy}: ${reason}`).join('; ');
    const hints = [...new Set(refusals.flatMap(({ hint }) => hint ?? []))];
    return new TesseraError('TESSERA_PLAN_INVALID', `no strategy has a plan: ${why}`, {
      ...(hints.length === 0 ? {} : { hint: hints.join('; ') }),
    });
  }
  const noPlan = strategy === undefined ? 'no plan meets' : `no plan of ${strategy} meets`;
  const names = conflict.map(({ text }) => text);
  if (conflict.length > 1)
    return new TesseraError('TESSERA_PLAN_INVALID', `${noPlan} ${names.join(' and ')} together`, {
      hint: 'without any one of them there are plans',
    });
  const [best] = (await rankTop(withoutDemands(problem, conflict), 1)).ranked;
  const { msText, bytesText, stagesText } = await import('../plan/report.ts');
  const instead = `${msText(best!.prediction.latency_ms)}, ${bytesText(best!.prediction.transferred_bytes)} sent: ${stagesText(problem, best!)}`;
  return new TesseraError('TESSERA_PLAN_INVALID', `${noPlan} ${names[0]}`, {
    hint: `the best one without it: ${instead}`,
  });
}
